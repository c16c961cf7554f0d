package apigrpc

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	_ "google.golang.org/grpc/encoding/gzip" // calls may be compressed (server.md 2)
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/api"
	"centrifugo/server/internal/config"
)

// Bounds of a connection. A client whose calls wait for a stream is slowed down, not
// refused.
const (
	maxConcurrentStreams = 1024
	handshakeTimeout     = 10 * time.Second
	maxHeaderBytes       = 64 << 10
	// windowSize is what a caller may send before it is read, in bytes. A fixed one spares
	// the pings by which gRPC estimates another.
	windowSize = 256 << 10
	// streamWorkers are goroutines that serve calls one after another. A goroutine of its
	// own has to grow its stack for every call, which is a sixth of the CPU of a publish.
	// Calls that find no free worker get one, as long ones do.
	streamWorkers = 64
	// A connection that is silent for keepaliveTime is pinged, and closed if it does not
	// answer within keepaliveTimeout. Clients may ping as often as every minKeepalive.
	keepaliveTime    = time.Minute
	keepaliveTimeout = 20 * time.Second
	minKeepalive     = 10 * time.Second
)

// refusalLines bounds the log lines of a kind in a second. Any client can provoke them.
const refusalLines = 10

// Options of a Server.
type Options struct {
	// API executes the calls. Its payloads must be binary.
	API *api.API
	// Config of the endpoint. The caller handles Enabled, Address, Port and TLS.
	Config config.GRPCAPI
	// TLS of the connections; nil means none.
	TLS *tls.Config
	// Log receives errors and refused calls; nil means slog.Default.
	Log *slog.Logger
}

// Server serves the API, the standard health service and, if it is configured,
// reflection. Only calls of the API need the key.
type Server struct {
	// Static after construction.
	api           *api.API
	transportMode bool
	log           *slog.Logger
	refusals      *logsample.Sampler
	grpc          *grpc.Server
	health        *health.Server
	stopping      chan struct{} // Shutdown and Close close it
	stop          func()

	keys atomic.Pointer[keyring] // SetKey replaces it
}

// New returns a server that serves nothing yet.
func New(o Options) *Server {
	s := &Server{
		api: o.API, transportMode: o.Config.ErrorMode == errorModeTransport, log: o.Log,
		refusals: logsample.New(refusalLines, time.Second), health: health.NewServer(),
		stopping: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.stop = sync.OnceFunc(func() { close(s.stopping) })
	s.SetKey(o.Config.Key, o.Config.Insecure)
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(newCodec()),
		grpc.MaxConcurrentStreams(maxConcurrentStreams),
		grpc.ConnectionTimeout(handshakeTimeout),
		grpc.MaxHeaderListSize(maxHeaderBytes),
		grpc.InitialWindowSize(windowSize),
		grpc.InitialConnWindowSize(windowSize),
		grpc.NumStreamWorkers(streamWorkers),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minKeepalive, PermitWithoutStream: true}),
	}
	if o.Config.MaxReceiveMessageSize > 0 {
		options = append(options, grpc.MaxRecvMsgSize(o.Config.MaxReceiveMessageSize))
	}
	if o.TLS != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(o.TLS)))
	}
	s.grpc = grpc.NewServer(options...)
	s.register(s.grpc)
	grpc_health_v1.RegisterHealthServer(s.grpc, s.health)
	if o.Config.Reflection {
		reflection.Register(s.grpc)
	}
	return s
}

// Serve serves the connections of a listener until Shutdown or Close, after which it
// returns nil. It closes the listener.
func (s *Server) Serve(listener net.Listener) error {
	if err := s.grpc.Serve(listener); err != nil {
		return fmt.Errorf("serving gRPC: %w", err)
	}
	return nil
}

// Shutdown accepts no new calls, ends streams, and waits for the calls that run. If ctx ends first, the remaining calls are cancelled.
func (s *Server) Shutdown(ctx context.Context) error {
	s.stop()
	s.health.Shutdown()
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.grpc.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.grpc.Stop()
		<-done
		return fmt.Errorf("waiting for gRPC calls: %w", ctx.Err())
	}
}

// Close cancels the calls and closes the connections.
func (s *Server) Close() error {
	s.stop()
	s.grpc.Stop()
	return nil
}

// recovered answers a call that panics with an internal error.
func (s *Server) recovered(ctx context.Context, call string, err *error) {
	if reason := recover(); reason != nil {
		s.log.Log(ctx, slog.LevelError, "panic in a call of the gRPC API", "method", call, "reason", reason, "stack", string(debug.Stack()))
		*err = status.Error(codes.Internal, "internal server error")
	}
}
