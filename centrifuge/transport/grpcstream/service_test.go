package grpcstream

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixedWindow keeps a client from taking more than 64 KiB that its application does not read.
// Without it gRPC doubles the window whenever it measures that more is under way, up to 16 MiB,
// so that what a client must leave unread would depend on the machine.
var fixedWindow = grpc.WithInitialWindowSize(64 << 10)

// raw is the client's codec: messages are bytes.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

// served is a node behind a gRPC server.
type served struct {
	t       *testing.T
	node    *centrifuge.Node
	client  *grpc.ClientConn
	clients chan *centrifuge.Client
	ended   chan centrifuge.Disconnect
}

// serve runs a node. The user of a connection is its token; the token "wrong" is refused,
// and "panic" makes the handler panic.
func serve(t *testing.T, nodeConfig centrifuge.Config, config Config) *served {
	t.Helper()
	s := &served{t: t, clients: make(chan *centrifuge.Client, 100), ended: make(chan centrifuge.Disconnect, 100)}
	nodeConfig.LogLevel, nodeConfig.Version = centrifuge.LogNone, "1"
	nodeConfig.Handlers = centrifuge.Handlers{
		Connecting: func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			switch e.Token {
			case "wrong":
				return centrifuge.ConnectingReply{}, centrifuge.ErrorTokenExpired
			case "panic":
				panic("as the test asks")
			}
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: e.Token},
				Subscriptions: map[string]centrifuge.SubscribeOptions{"news": {}}}, nil
		},
		Connected:    func(_ context.Context, e centrifuge.ConnectedEvent) { s.clients <- e.Client },
		Disconnected: func(_ context.Context, e centrifuge.DisconnectedEvent) { s.ended <- e.Disconnect },
	}
	node, err := centrifuge.New(nodeConfig)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	s.node = node
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.ForceServerCodecV2(Codec()))
	NewService(node, config).Register(server)
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	s.client, err = grpc.NewClient(listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()), fixedWindow)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.shutdown()
		_ = s.client.Close()
		server.Stop()
		if err := <-served; err != nil {
			t.Errorf("Serve = %v", err)
		}
	})
	return s
}

func (s *served) shutdown() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.WaitLimit)
	defer cancel()
	if err := s.node.Shutdown(ctx); err != nil {
		s.t.Errorf("Shutdown = %v; every connection must have ended", err)
	}
}

// consumer is a client's end of a stream.
type consumer struct {
	t      *testing.T
	stream grpc.ClientStream
	cancel context.CancelFunc
	client *centrifuge.Client // of connected
}

// call opens a stream and sends nothing.
func (s *served) call() *consumer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*transporttest.WaitLimit)
	s.t.Cleanup(cancel)
	stream, err := s.client.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true},
		"/centrifugal.centrifugo.unistream.CentrifugoUniStream/Consume", grpc.ForceCodecV2(raw{}))
	if err != nil {
		s.t.Fatal(err)
	}
	return &consumer{t: s.t, stream: stream, cancel: cancel}
}

// consume opens a stream with a request in Protobuf.
func (s *served) consume(request string) *consumer {
	s.t.Helper()
	c := s.call()
	if err := c.stream.SendMsg([]byte(request)); err != nil {
		s.t.Fatal(err)
	}
	if err := c.stream.CloseSend(); err != nil {
		s.t.Fatal(err)
	}
	return c
}

// token is a connect request with a token: field 1 (protocol.md 4.2).
func token(t string) string { return "\x0a" + string(rune(len(t))) + t }

// connected opens a stream and takes its connect push. The node has then told the
// application of the connection, so that it tells of its end too, however soon that comes.
func (s *served) connected() *consumer {
	s.t.Helper()
	c := s.consume(token("u"))
	if push, err := c.next(); err != nil || push.Connect == nil || push.Connect.Session == "" || push.Connect.Client == "" {
		s.t.Fatalf("first push: got %+v, %v; want a connect push with a session", push, err)
	}
	c.client = await.Receive(s.t, s.clients, "a connection")
	return c
}

// next returns the next push, nil for a ping.
func (c *consumer) next() (*protocol.Push, error) {
	var message []byte
	if err := c.stream.RecvMsg(&message); err != nil {
		return nil, err
	}
	if len(message) == 0 {
		return nil, nil
	}
	reply, err := clientcodec.DecodeReply(protocol.FormatProtobuf|protocol.FormatUni, message)
	if err != nil {
		return nil, err
	}
	return reply.Push, nil
}

// wantEnd reads up to the end, which must be a disconnect push and status OK.
func (c *consumer) wantEnd(want centrifuge.Disconnect) {
	c.t.Helper()
	var last *protocol.Push
	for {
		push, err := c.next()
		if err != nil {
			if !errors.Is(err, io.EOF) || last == nil || last.Disconnect == nil || last.Disconnect.Code != want.Code || last.Disconnect.Reason != want.Reason {
				c.t.Errorf("the stream ended with %v after %+v; want status OK after a push of %v", err, last, want)
			}
			return
		}
		if push != nil {
			last = push
		}
	}
}

func TestConsume(t *testing.T) {
	s := serve(t, centrifuge.Config{PingInterval: time.Second, PongTimeout: time.Second / 2}, Config{})
	c := s.connected()
	for i := range 3 {
		data := fmt.Appendf(nil, "\x00binary %d", i)
		if _, err := s.node.Publish(t.Context(), "news", data, centrifuge.PublishOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for i := 0; i < 3; {
		push, err := c.next()
		if err == nil && push == nil {
			continue // a ping
		}
		if want := fmt.Sprintf("\x00binary %d", i); err != nil || push.Channel != "news" || push.Pub == nil || string(push.Pub.Data) != want {
			t.Fatalf("got %+v, %v; want publication %q", push, err, want)
		}
		i++
	}
	for range 2 { // no pong is expected
		if push, err := c.next(); push != nil || err != nil {
			t.Fatalf("got %+v, %v; want a ping", push, err)
		}
	}
	d := centrifuge.Disconnect{Code: 4100, Reason: "stay away"}
	if err := s.node.Disconnect(t.Context(), centrifuge.Target{User: "u"}, d); err != nil {
		t.Fatal(err)
	}
	c.wantEnd(d)
	if got := await.Receive(t, s.ended, "the end of the connection"); got != d {
		t.Errorf("Disconnected got %v; want %v", got, d)
	}
}

// TestCloseAfterQueue: what was queued before the end arrives before it.
func TestCloseAfterQueue(t *testing.T) {
	s := serve(t, centrifuge.Config{WriteTimeout: transporttest.WaitLimit}, Config{})
	c := s.connected()
	for i := range 100 {
		if err := c.client.Send(fmt.Appendf(nil, "%d", i)); err != nil {
			t.Fatal(err)
		}
	}
	c.client.Disconnect(centrifuge.DisconnectForceReconnect)
	for i := range 100 {
		if push, err := c.next(); err != nil || push == nil || push.Message == nil || string(push.Message.Data) != fmt.Sprint(i) {
			t.Fatalf("got %+v, %v; want message %d", push, err, i)
		}
	}
	c.wantEnd(centrifuge.DisconnectForceReconnect)
}

func TestRefusedConnects(t *testing.T) {
	refused := make(chan string, 10)
	s := serve(t, centrifuge.Config{}, Config{
		ConnectTimeout: 100 * time.Millisecond,
		OnRefused:      func(_ context.Context, _ string, answer *status.Status) { refused <- answer.Message() },
	})
	t.Run("malformed", func(t *testing.T) {
		c := s.consume("\x0a\x05x")
		if _, err := c.next(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("got %v; want %v", err, codes.InvalidArgument)
		}
		if got := await.Receive(t, refused, "a refusal"); got != "connect request is malformed" {
			t.Errorf("refused with %q; want \"connect request is malformed\"", got)
		}
	})
	t.Run("nothing sent", func(t *testing.T) {
		c := s.call()
		if _, err := c.next(); status.Code(err) != codes.DeadlineExceeded {
			t.Errorf("got %v; want %v", err, codes.DeadlineExceeded)
		}
		await.Receive(t, refused, "a refusal")
	})
	t.Run("error of connect", func(t *testing.T) {
		c := s.consume(token("wrong"))
		push, err := c.next()
		if err != nil || push == nil || push.Disconnect == nil || push.Disconnect.Code < 3000 {
			t.Errorf("got %+v, %v; want a disconnect push", push, err)
		}
		if _, err := c.next(); !errors.Is(err, io.EOF) {
			t.Errorf("behind the disconnect push: got %v; want the end with status OK", err)
		}
	})
	t.Run("panic", func(t *testing.T) {
		s.consume(token("panic")).wantEnd(centrifuge.DisconnectServerError)
		s.connected() // others go on
	})
	t.Run("shutdown", func(t *testing.T) {
		s.shutdown()
		s.consume(token("u")).wantEnd(centrifuge.DisconnectShutdown)
	})
}

func TestAdmit(t *testing.T) {
	s := serve(t, centrifuge.Config{}, Config{Admit: func(context.Context) error {
		return status.Error(codes.ResourceExhausted, "enough")
	}})
	if _, err := s.consume(token("u")).next(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v; want %v", err, codes.ResourceExhausted)
	}
}

// TestSilentStreams: streams that have sent nothing are bounded. Those that have sent a message
// do not count, nor do those that have ended.
func TestSilentStreams(t *testing.T) {
	refused := make(chan *status.Status, 10)
	s := serve(t, centrifuge.Config{}, Config{
		MaxSilentStreams: 2, ConnectTimeout: transporttest.WaitLimit,
		OnRefused: func(_ context.Context, _ string, answer *status.Status) { refused <- answer },
	})
	for range 5 {
		s.connected()
	}
	silent := []*consumer{s.call(), s.call(), s.call()} // the server sees them in any order
	if got := await.Receive(t, refused, "a refusal"); got.Code() != codes.ResourceExhausted || got.Message() != "2 streams of this connection have not sent a message yet" {
		t.Errorf("refused with %v; want %v because of 2 streams", got, codes.ResourceExhausted)
	}
	for _, c := range silent {
		c.cancel()
	}
	await.Until(t, "one that ends no longer counts", func() bool {
		push, err := s.consume(token("u")).next()
		return err == nil && push.Connect != nil
	})
}

// TestShutdown: streams end by a disconnect push, and Shutdown waits for them.
func TestShutdown(t *testing.T) {
	s := serve(t, centrifuge.Config{}, Config{})
	c := s.connected()
	s.shutdown()
	c.wantEnd(centrifuge.DisconnectShutdown)
}

// TestClientLeaves: a cancelled call releases everything.
func TestClientLeaves(t *testing.T) {
	s := serve(t, centrifuge.Config{}, Config{})
	s.connected().cancel()
	await.Receive(t, s.ended, "the end of the connection")
	await.Until(t, "the connection is released", func() bool { return s.node.NumClients() == 0 && s.node.Stats().Subscriptions == 0 })
}

// TestStuck: a client that takes nothing is disconnected, by the time or by the size of its
// queue, and holds up neither its neighbours nor Shutdown.
func TestStuck(t *testing.T) {
	for _, c := range []struct {
		name   string
		config centrifuge.Config
	}{
		{"time", centrifuge.Config{QueueSize: 1 << 30, QueueTotalSize: -1, WriteTimeout: 300 * time.Millisecond}},
		{"size", centrifuge.Config{QueueSize: 1 << 20, WriteTimeout: time.Second}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.config, Config{})
			stuck := s.connected()
			data := []byte(strings.Repeat("x", 64<<10))
			for range 64 {
				if _, err := s.node.Publish(t.Context(), "news", data, centrifuge.PublishOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			d := await.Receive(t, s.ended, "the end of the connection")
			if d != centrifuge.DisconnectWriteError && d != centrifuge.DisconnectSlow && d != centrifuge.DisconnectConnectionClosed {
				t.Errorf("Disconnected got %v; want a write error, a slow client or a closed connection", d)
			}
			await.Until(t, "the connection is released", func() bool { return s.node.NumClients() == 0 })
			for { // what was sent before arrives, then the end
				if _, err := stuck.next(); err != nil {
					break
				}
			}
			s.connected() // on the same HTTP/2 connection
		})
	}
}

// TestOtherServices: the codec leaves the messages of other services alone.
func TestOtherServices(t *testing.T) {
	s := serve(t, centrifuge.Config{}, Config{})
	answer, err := grpc_health_v1.NewHealthClient(s.client).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	if err != nil || answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("Check = %v, %v; want SERVING", answer, err)
	}
}
