package proxygrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/proxy"
)

// How a connection to an endpoint that is down is made again. Calls fail at once meanwhile.
const (
	reconnectFirst = 100 * time.Millisecond
	reconnectLast  = 2 * time.Second
)

// A connection whose peer acknowledges nothing for the time silence is given up by the kernel (gRPC
// proposal A18), where it supports that. A ping finds peers that acknowledge and do not answer;
// servers close connections that ping them more often than every five minutes.
const (
	silence      = 10 * time.Second
	pingInterval = 6 * time.Minute
)

// maxLoggedMessage bounds the message of a status in the log, in bytes.
const maxLoggedMessage = 256

// carrier is a connection to a gRPC endpoint.
type carrier struct {
	// Static after construction.
	conn    *grpc.ClientConn
	options []grpc.CallOption
}

var _ proxy.StreamCarrier = (*carrier)(nil)

// Dial returns a carrier for the endpoint of c, with TLS unless t is nil. It connects with
// the first call.
func Dial(c config.Proxy, t *tls.Config) (proxy.Carrier, error) {
	transport := insecure.NewCredentials()
	if t != nil {
		transport = credentials.NewTLS(t)
	}
	pause := backoff.DefaultConfig
	pause.BaseDelay, pause.MaxDelay = reconnectFirst, reconnectLast
	options := []grpc.DialOption{
		grpc.WithTransportCredentials(transport),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pause, MinConnectTimeout: c.Timeout}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingInterval, Timeout: silence}),
	}
	if c.GRPC.CredentialsKey != "" {
		options = append(options, grpc.WithPerRPCCredentials(pair{c.GRPC.CredentialsKey, c.GRPC.CredentialsValue}))
	}
	conn, err := grpc.NewClient(strings.TrimPrefix(c.Endpoint, "grpc://"), options...)
	if err != nil {
		return nil, fmt.Errorf("connecting to the endpoint: %w", err)
	}
	carried := &carrier{conn: conn, options: []grpc.CallOption{grpc.MaxCallRecvMsgSize(proxy.MaxResponse)}}
	if c.GRPC.Compression {
		carried.options = append(carried.options, grpc.UseCompressor(gzip.Name))
	}
	return carried, nil
}

// pair is metadata that goes with each call.
type pair struct{ key, value string }

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (p pair) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{strings.ToLower(p.key): p.value}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials. Whether the
// connection has TLS is up to the configuration.
func (pair) RequireTransportSecurity() bool { return false }

// Protocol implements proxy.Carrier.
func (*carrier) Protocol() string { return "grpc" }

// Close implements proxy.Carrier.
func (c *carrier) Close() error {
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("closing a gRPC connection: %w", err)
	}
	return nil
}

// Call implements proxy.Carrier.
func (c *carrier) Call(ctx context.Context, e proxy.Event, r *proxy.Request, headers http.Header) (*proxy.Response, error) {
	m, ok := methods[e]
	if !ok {
		return nil, fmt.Errorf("event %v is a stream", e)
	}
	response := m.response.ProtoReflect().New().Interface()
	if err := c.conn.Invoke(withMetadata(ctx, headers), service+m.name, encode(r, m.request), response, c.options...); err != nil {
		return nil, failure(err)
	}
	return decode(response), nil
}

// failure describes an error of gRPC.
func failure(err error) *proxy.Failure {
	s := status.Convert(err)
	message := s.Message()
	f := &proxy.Failure{Reason: proxy.BadStatus, Status: s.Code().String(), Err: errors.New(message[:min(len(message), maxLoggedMessage)])}
	switch s.Code() {
	case codes.DeadlineExceeded:
		f.Reason, f.Down = proxy.Timeout, true
	case codes.Unavailable:
		f.Reason, f.Down = proxy.Unreachable, true
	case codes.ResourceExhausted:
		if f.Down = !strings.HasPrefix(message, "grpc: received message larger than max"); !f.Down {
			f.Reason = proxy.TooLarge
		}
	case codes.Unknown, codes.Internal, codes.DataLoss, codes.Aborted:
		f.Down = true
	}
	return f
}

// withMetadata adds headers to a call as metadata with lower-case keys (server.md 5.2).
// gRPC would refuse the whole call for a value that it cannot send, so such values of clients
// are left out.
func withMetadata(ctx context.Context, headers http.Header) context.Context {
	md := make(metadata.MD, len(headers))
	for name, values := range headers {
		key := strings.ToLower(name)
		if strings.HasPrefix(key, "grpc-") || !validKey(key) {
			continue
		}
		for _, value := range values {
			if printable(value) {
				md[key] = append(md[key], value)
			}
		}
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// validKey reports whether gRPC allows a key of metadata.
func validKey(key string) bool {
	for i := range len(key) {
		if c := key[i]; !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' || c == '.') {
			return false
		}
	}
	return key != ""
}

// printable reports whether gRPC can send a value as metadata.
func printable(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}
