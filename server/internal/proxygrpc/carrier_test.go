package proxygrpc

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/reflect/protoreflect"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
	"centrifugo/proxypb"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/proxy"
)

// backend is the server of an application.
type backend struct {
	proxypb.UnimplementedCentrifugoProxyServer
	rpc    func(context.Context, *proxypb.RPCRequest) (*proxypb.RPCResponse, error)
	stream func(request *proxypb.SubscribeRequest, s streamServer) error
}

// streamServer is a stream of either kind, as its backend sees it. Recv is nil for a
// unidirectional one.
type streamServer struct {
	grpc.ServerStream
	recv func() (*proxypb.StreamSubscribeRequest, error)
}

func (s streamServer) allow(result *proxypb.SubscribeResult) error {
	return s.SendMsg(&proxypb.StreamSubscribeResponse{SubscribeResponse: &proxypb.SubscribeResponse{Result: result}})
}

func (s streamServer) publish(data string) error {
	return s.SendMsg(&proxypb.StreamSubscribeResponse{Publication: &proxypb.Publication{Data: []byte(data), Tags: map[string]string{"t": "1"}}})
}

func (b *backend) RPC(ctx context.Context, r *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
	return b.rpc(ctx, r)
}

func (b *backend) SubscribeUnidirectional(r *proxypb.SubscribeRequest, s grpc.ServerStreamingServer[proxypb.StreamSubscribeResponse]) error {
	return b.stream(r, streamServer{ServerStream: s})
}

func (b *backend) SubscribeBidirectional(s grpc.BidiStreamingServer[proxypb.StreamSubscribeRequest, proxypb.StreamSubscribeResponse]) error {
	first, err := s.Recv()
	if err != nil {
		return err
	}
	return b.stream(first.GetSubscribeRequest(), streamServer{ServerStream: s, recv: s.Recv})
}

// serve runs a backend and returns its address.
func serve(t *testing.T, b *backend, o ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(o...)
	proxypb.RegisterCentrifugoProxyServer(s, b)
	go func() { _ = s.Serve(l) }()
	t.Cleanup(s.Stop)
	return l.Addr().String()
}

// dial returns a carrier for an address.
func dial(t *testing.T, address string, change func(*config.Proxy), o ...*tls.Config) proxy.StreamCarrier {
	t.Helper()
	c := config.Proxy{Endpoint: address, Timeout: time.Minute}
	if change != nil {
		change(&c)
	}
	var secure *tls.Config
	if len(o) > 0 {
		secure = o[0]
	}
	carried, err := Dial(c, secure)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = carried.Close() })
	return carried.(proxy.StreamCarrier)
}

// TestSchema: every field of the schema is one of package proxy, and the other way round.
// Encode and decode go by names, so a field that only one side has would be lost.
func TestSchema(t *testing.T) {
	user := "u"
	full := &proxy.Request{
		Client: "c", Transport: "t", Protocol: "p", Encoding: "e", User: &user, Name: "n", Version: "v", Channels: []string{"a"},
		Channel: "c", Method: "m", Token: "t", Data: []byte("1"), B64Data: "b", Meta: []byte("2"),
	}
	seen := map[protoreflect.Name]bool{}
	for event, m := range methods {
		message := encode(full, m.request).ProtoReflect()
		for i := range message.Descriptor().Fields().Len() {
			field := message.Descriptor().Fields().Get(i)
			seen[field.Name()] = true
			if !message.Has(field) {
				t.Errorf("%v: field %s of the request is not filled; want a value", event, field.Name())
			}
		}
	}
	if len(seen) != 14 {
		t.Errorf("%d fields of requests; want the 14 of proxy.Request", len(seen))
	}
	known := "user expire_at expired info b64info data b64data meta skip_history idempotency_key delta version version_epoch override channels subs tags"
	for event, m := range methods {
		result := m.response.ProtoReflect().Descriptor().Fields().ByName("result").Message()
		for i := range result.Fields().Len() {
			if name := string(result.Fields().Get(i).Name()); !strings.Contains(" "+known+" ", " "+name+" ") {
				t.Errorf("%v: field %s of the result is not decoded; want %q in it", event, name, " "+name+" ")
			}
		}
	}
}

// TestFailures: a status that is not OK is a failure; some say that the backend is down
// (server.md 5.3).
func TestFailures(t *testing.T) {
	tests := []struct {
		code   codes.Code
		reason proxy.Reason
		down   bool
	}{
		{codes.Unavailable, proxy.Unreachable, true},
		{codes.DeadlineExceeded, proxy.Timeout, true},
		{codes.ResourceExhausted, proxy.BadStatus, true},
		{codes.Internal, proxy.BadStatus, true},
		{codes.Unknown, proxy.BadStatus, true},
		{codes.PermissionDenied, proxy.BadStatus, false},
		{codes.Unauthenticated, proxy.BadStatus, false},
		{codes.InvalidArgument, proxy.BadStatus, false},
		{codes.Unimplemented, proxy.BadStatus, false},
	}
	for _, test := range tests {
		b := &backend{rpc: func(context.Context, *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
			return nil, status.Error(test.code, strings.Repeat("x", 1000))
		}}
		_, err := dial(t, serve(t, b), nil).Call(t.Context(), proxy.RPC, new(proxy.Request), nil)
		var f *proxy.Failure
		if !errors.As(err, &f) || f.Reason != test.reason || f.Down != test.down || f.Status != test.code.String() || len(f.Error()) > 400 {
			t.Errorf("%v: %v; want reason %s, down %v, the status, and a short message", test.code, err, test.reason, test.down)
		}
	}
}

func TestTooLarge(t *testing.T) {
	b := &backend{rpc: func(context.Context, *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
		return &proxypb.RPCResponse{Result: &proxypb.RPCResult{Data: make([]byte, proxy.MaxResponse+1)}}, nil
	}}
	_, err := dial(t, serve(t, b), nil).Call(t.Context(), proxy.RPC, new(proxy.Request), nil)
	var f *proxy.Failure
	if !errors.As(err, &f) || f.Reason != proxy.TooLarge || f.Down {
		t.Errorf("error %v; want reason %s, not down", err, proxy.TooLarge)
	}
}

// TestUnreachable: a call to a backend that is not there fails at once, and a backend that
// comes back is used again.
func TestUnreachable(t *testing.T) {
	address := testprocess.FreeAddress(t)
	c := dial(t, "grpc://"+address, nil)
	_, err := c.Call(t.Context(), proxy.RPC, new(proxy.Request), nil)
	var f *proxy.Failure
	if !errors.As(err, &f) || f.Reason != proxy.Unreachable || !f.Down {
		t.Errorf("error %v; want reason %s, down", err, proxy.Unreachable)
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	proxypb.RegisterCentrifugoProxyServer(s, &backend{rpc: func(context.Context, *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
		return new(proxypb.RPCResponse), nil
	}})
	go func() { _ = s.Serve(l) }()
	defer s.Stop()
	await.Until(t, "a call succeeds", func() bool {
		_, err := c.Call(t.Context(), proxy.RPC, new(proxy.Request), nil)
		return err == nil
	})
}

// compressed records whether a request was compressed.
type compressed struct {
	mu  sync.Mutex
	was string
}

func (c *compressed) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context   { return ctx }
func (c *compressed) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }
func (c *compressed) HandleConn(context.Context, stats.ConnStats)                       {}
func (c *compressed) HandleRPC(_ context.Context, s stats.RPCStats) {
	if h, ok := s.(*stats.InHeader); ok {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.was = h.Compression
	}
}

// TestMetadata: what goes with a call (server.md 5.2). Keys: credentials_key,
// credentials_value, compression.
func TestMetadata(t *testing.T) {
	var got metadata.MD
	b := &backend{rpc: func(ctx context.Context, _ *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
		got, _ = metadata.FromIncomingContext(ctx)
		return new(proxypb.RPCResponse), nil
	}}
	var seen compressed
	address := serve(t, b, grpc.StatsHandler(&seen))
	headers := http.Header{"X-Two": {"1", "2"}, "X-Latin": {"caf\xe9"}, "Grpc-Timeout": {"1n"}, "X~y": {"1"}, "Content-Type": {"a/b"}, "Te": {"x"}}
	for _, credentials := range []bool{false, true} {
		c := dial(t, address, func(c *config.Proxy) {
			if credentials {
				c.GRPC.CredentialsKey, c.GRPC.CredentialsValue, c.GRPC.Compression = "X-Key", "secret", true
			}
		})
		if _, err := c.Call(t.Context(), proxy.RPC, &proxy.Request{Data: make([]byte, 100)}, headers.Clone()); err != nil {
			t.Fatal(err)
		}
		relevant := map[string]string{}
		for key, values := range got {
			if strings.HasPrefix(key, "x-") || strings.HasPrefix(key, "x~") || key == "te" {
				relevant[key] = strings.Join(values, ",")
			}
		}
		want := map[string]string{"x-two": "1,2"}
		compression := ""
		if credentials {
			want["x-key"], compression = "secret", gzip.Name
		}
		if !maps.Equal(relevant, want) || strings.Join(got["content-type"], ",") != "application/grpc" {
			t.Errorf("metadata %v; want %v, and the content type of gRPC", got, want)
		}
		seen.mu.Lock()
		if seen.was != compression {
			t.Errorf("compression %q; want %q", seen.was, compression)
		}
		seen.mu.Unlock()
	}
}

// openTest opens a stream on a backend.
func openTest(t *testing.T, bidirectional bool, serving func(*proxypb.SubscribeRequest, streamServer) error) (proxy.Stream, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	s, err := dial(t, serve(t, &backend{stream: serving}), nil).Open(ctx, bidirectional, &proxy.Request{Channel: "a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, cancel
}

// TestStreams: both kinds of streams, from the answer to the end (server.md 5.10).
func TestStreams(t *testing.T) {
	for _, bidirectional := range []bool{false, true} {
		s, _ := openTest(t, bidirectional, func(r *proxypb.SubscribeRequest, s streamServer) error {
			if err := s.allow(&proxypb.SubscribeResult{Data: []byte(r.GetChannel())}); err != nil {
				return err
			}
			if s.recv != nil {
				m, err := s.recv()
				if err != nil {
					return err
				}
				return s.publish("echo " + string(m.GetPublication().GetData()))
			}
			return s.publish("hello")
		})
		first, err := s.Recv()
		if err != nil || first.Response == nil || string(first.Response.Result.Data) != "a" {
			t.Fatalf("first message %+v, error %v; want the answer", first, err)
		}
		want := "hello"
		if err := s.Send([]byte("x")); bidirectional != (err == nil) {
			t.Errorf("bidirectional %v: Send = %v; want %v", bidirectional, err, err == nil)
		}
		if bidirectional {
			want = "echo x"
		}
		m, err := s.Recv()
		if err != nil || m.Publication == nil || string(m.Publication.Data) != want || m.Publication.Tags["t"] != "1" {
			t.Errorf("second message %+v, error %v; want %q with a tag", m, err, want)
		}
		if _, err := s.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("the end: %v; want %v", err, io.EOF)
		}
	}
}

func TestStreamFails(t *testing.T) {
	s, _ := openTest(t, false, func(*proxypb.SubscribeRequest, streamServer) error { return status.Error(codes.Internal, "broken") })
	_, err := s.Recv()
	var f *proxy.Failure
	if !errors.As(err, &f) || f.Status != "Internal" {
		t.Errorf("error %v; want a failure with the status", err)
	}
}

// TestStreamIsCancelled: the backend learns that the subscription has ended.
func TestStreamIsCancelled(t *testing.T) {
	ended := make(chan struct{}, 1)
	s, cancel := openTest(t, true, func(_ *proxypb.SubscribeRequest, s streamServer) error {
		if err := s.allow(nil); err != nil {
			return err
		}
		<-s.Context().Done()
		ended <- struct{}{}
		return nil
	})
	if _, err := s.Recv(); err != nil {
		t.Fatal(err)
	}
	cancel()
	await.Receive(t, ended, "the end of the stream at the backend")
}
