package app

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"centrifugo/centrifuge/transport/grpcstream"
	_ "centrifugo/clientpb"      // the schemas, for reflection
	_ "centrifugo/clientpb/v1pb" // the schema of V1
	"centrifugo/internal/logsample"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/requestid"
)

// grpcTransports are the transports over gRPC. Each has a listener of its own and a section of
// the configuration.
var grpcTransports = []struct {
	section, title string
	bidirectional  bool
	of             func(*config.Config) grpcTransport
}{
	{"grpc", "bidirectional gRPC", true, func(c *config.Config) grpcTransport {
		return grpcTransport{c.GRPC.Enabled, c.GRPC.Address, c.GRPC.Port, c.GRPC.MaxReceiveMessageSize, c.GRPC.Reflection, c.GRPC.TLS}
	}},
	{"uni_grpc", "unidirectional gRPC", false, func(c *config.Config) grpcTransport {
		return grpcTransport{c.UniGRPC.Enabled, c.UniGRPC.Address, c.UniGRPC.Port, c.UniGRPC.MaxReceiveMessageSize, false, c.UniGRPC.TLS}
	}},
}

// grpcTransport is what the sections have in common.
type grpcTransport struct {
	enabled     bool
	address     string
	port        int
	messageSize int
	reflection  bool
	tls         config.TLS
}

// Bounds of a gRPC connection of clients. A proxy that carries many clients in one opens
// another for those beyond the number of streams. What a stream may send before the server
// reads it, and what it may send in one message unless the configuration says otherwise, are
// the same size: streams that have not connected are not counted by any other limit. A
// connection that is silent for clientKeepaliveTime is pinged, and closed if it does not
// answer within clientKeepaliveTimeout. Clients may ping as often as every
// minClientKeepalive.
const (
	maxClientStreams        = 1024
	clientWindow            = 64 << 10
	clientMessageSize       = 64 << 10
	clientHandshakeTimeout  = 10 * time.Second
	maxClientHeaderBytes    = 64 << 10
	clientKeepaliveTime     = time.Minute
	clientKeepaliveTimeout  = 20 * time.Second
	minClientKeepalive      = 10 * time.Second
	refusedGRPCLinesASecond = 10
)

// planGRPCTransports plans the listeners of the transports over gRPC.
func (a *App) planGRPCTransports() []plan {
	var plans []plan
	for _, t := range grpcTransports {
		c := t.of(a.config)
		if !c.enabled {
			continue
		}
		plans = append(plans, plan{
			name: t.section, address: address(c.address, c.port), endpoints: []string{t.title}, insecure: a.insecureModes("client."),
			section: t.section, tls: func(c *config.Config) config.TLS { return t.of(c).tls }, tlsBy: true,
			service: func(tlsConfig *tls.Config) service {
				return a.newGRPCTransport(c, tlsConfig, grpcstream.Config{
					Bidirectional: t.bidirectional, Admit: a.admitGRPC,
					OnError:   func(err error) { a.log.Error(t.title, "error", err) },
					OnRefused: a.grpcRefused(t.section),
				})
			},
		})
	}
	return plans
}

func (a *App) newGRPCTransport(c grpcTransport, t *tls.Config, transport grpcstream.Config) *grpcService {
	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(grpcstream.Codec()),
		grpc.MaxConcurrentStreams(maxClientStreams),
		grpc.InitialWindowSize(clientWindow), // and no more: it would grow to megabytes
		grpc.ConnectionTimeout(clientHandshakeTimeout),
		grpc.MaxHeaderListSize(maxClientHeaderBytes),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: clientKeepaliveTime, Timeout: clientKeepaliveTimeout}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: minClientKeepalive, PermitWithoutStream: true}),
		grpc.MaxRecvMsgSize(firstOf(c.messageSize, clientMessageSize)),
		grpc.StreamInterceptor(keepRequestID),
	}
	if t != nil {
		options = append(options, grpc.Creds(credentials.NewTLS(t)))
	}
	server := grpc.NewServer(options...)
	grpcstream.NewService(a.node, transport).Register(server)
	if c.reflection {
		reflection.Register(server)
	}
	return &grpcService{server}
}

// keepRequestID keeps the id that a call of a client has in its metadata.
func keepRequestID(services any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
	if ids := metadata.ValueFromIncomingContext(stream.Context(), requestid.Metadata); len(ids) > 0 {
		if ctx, ok := requestid.Keep(stream.Context(), ids[0]); ok {
			stream = identified{stream, ctx}
		}
	}
	return next(services, stream)
}

// identified is a stream with another context.
type identified struct {
	grpc.ServerStream

	ctx context.Context //nolint:containedctx // that of the stream
}

// Context implements grpc.ServerStream.
func (s identified) Context() context.Context { return s.ctx }

// grpcRefused counts and logs calls that were refused.
func (a *App) grpcRefused(transport string) func(context.Context, string, *status.Status) {
	sampler := logsample.New(refusedGRPCLinesASecond, time.Second)
	return func(ctx context.Context, client string, answer *status.Status) {
		a.metrics.refused.WithLabelValues(answer.Code().String()).Inc()
		if ok, suppressed := sampler.Take(logsample.Key{}); ok {
			a.log.Log(ctx, slog.LevelInfo, "connection refused", "client", client, "status", answer.Code().String(),
				"reason", answer.Message(), "transport", transport, "suppressed", suppressed)
		}
	}
}

// admitGRPC applies the limits that HTTP connections have too.
func (a *App) admitGRPC(context.Context) error {
	key := a.gate.Admit()
	if key == "" {
		return nil
	}
	a.metrics.connectionLimit.Inc()
	return status.Error(codes.ResourceExhausted, key+" is reached")
}

// grpcService is a gRPC server as a service of a listener.
type grpcService struct{ server *grpc.Server }

// Serve implements service.
func (s *grpcService) Serve(listener net.Listener) error {
	if err := s.server.Serve(listener); err != nil {
		return fmt.Errorf("serving gRPC: %w", err)
	}
	return nil
}

// Shutdown implements service. The node ends the streams.
func (s *grpcService) Shutdown(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.server.GracefulStop()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		s.server.Stop()
		<-done
		return fmt.Errorf("waiting for gRPC streams: %w", ctx.Err())
	}
}

// Close implements service.
func (s *grpcService) Close() error {
	s.server.Stop()
	return nil
}
