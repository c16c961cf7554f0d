package centrifugetest

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
)

// TransportPeer is the client's end of a connection of a transport under test. It speaks
// JSON of generation V2, and receives only when it is asked to. It belongs to one
// goroutine, Close excepted.
type TransportPeer interface {
	// Send sends one message.
	Send(message []byte) error
	// Receive waits for the next message. An error means that the connection has ended.
	Receive() ([]byte, error)
	// Reason returns the code and the reason of the end, once Receive has returned an
	// error; zero if the connection ended without.
	Reason() centrifuge.Disconnect
	// Close ends the connection as a client does that goes away.
	Close() error
}

// TransportServer serves the connections of a node and returns a function that dials it.
// It ends what it started by t.Cleanup, after the node was shut down.
type TransportServer func(t *testing.T, n *centrifuge.Node) (dial func(t *testing.T) TransportPeer)

// TestTransport checks that a transport keeps the contract of centrifuge.Transport. It
// does not look at what the bytes on the wire are. Some cases run in parallel.
func TestTransport(t *testing.T, serve TransportServer) { testTransport(t, serve, false) }

// TestUnidirectionalTransport is TestTransport for a transport whose client sends one message,
// a connect request in JSON. What the peer receives are bare pushes in JSON.
func TestUnidirectionalTransport(t *testing.T, serve TransportServer) { testTransport(t, serve, true) }

func testTransport(t *testing.T, serve TransportServer, uni bool) {
	t.Helper()
	for _, c := range []struct {
		name     string
		run      func(s *transportSuite, t *testing.T)
		waits    bool // most of its time, so that it runs beside others
		commands bool // needs a transport on which clients send commands
	}{
		{"connect", (*transportSuite).connects, false, true},
		{"publications", (*transportSuite).publications, false, false},
		{"ping", (*transportSuite).pings, true, false},
		{"no pong", (*transportSuite).noPong, true, true},
		{"close code", (*transportSuite).closeCode, false, false},
		{"close after the queue", (*transportSuite).closeAfterQueue, false, false},
		{"order", (*transportSuite).order, false, false},
		{"subscription options", (*transportSuite).options, false, true},
		{"large message", (*transportSuite).largeMessage, false, false},
		{"slow reader", (*transportSuite).slowReader, false, false},
		{"stuck writer", (*transportSuite).stuckWriter, true, false},
		{"queue overflow", (*transportSuite).overflow, false, false},
		{"stuck at shutdown", (*transportSuite).stuckAtShutdown, true, false},
		{"peer leaves", (*transportSuite).peerLeaves, false, false},
		{"concurrent close", (*transportSuite).concurrentClose, false, false},
		{"panic in a handler", (*transportSuite).panicInHandler, false, true},
	} {
		if uni && c.commands {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			if c.waits {
				t.Parallel()
			}
			c.run(&transportSuite{serve: serve, uni: uni}, t)
		})
	}
}

// channelUnderTest is the channel that peers of the suite subscribe to.
const channelUnderTest = "suite"

// transportSuite is one case: a node and the connections to it.
type transportSuite struct {
	serve TransportServer
	uni   bool
	node  *centrifuge.Node
	dial  func(t *testing.T) TransportPeer

	clients      chan *centrifuge.Client // those that have connected
	told         chan struct{}           // one for each of them, if they are unidirectional
	disconnected chan centrifuge.Disconnect
}

// start runs a node. At the end of the case it must shut down within waitLimit.
func (s *transportSuite) start(t *testing.T, config centrifuge.Config) {
	t.Helper()
	s.clients, s.disconnected = make(chan *centrifuge.Client, 100), make(chan centrifuge.Disconnect, 100)
	s.told = make(chan struct{}, 100)
	config.LogLevel = centrifuge.LogNone
	config.Handlers = centrifuge.Handlers{
		Connecting: func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			subscriptions := make(map[string]centrifuge.SubscribeOptions)
			for _, channel := range e.Channels {
				subscriptions[channel] = subscriptionOptions(channel)
			}
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}, Subscriptions: subscriptions}, nil
		},
		Connected: func(_ context.Context, e centrifuge.ConnectedEvent) {
			s.clients <- e.Client
			if s.uni {
				s.told <- struct{}{}
			}
		},
		Subscribe: func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: subscriptionOptions(e.Channel)}, nil
		},
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			if e.Method == "panic" {
				panic("as the case asks")
			}
			return centrifuge.RPCReply{Data: e.Data}, nil
		},
		Disconnected: func(_ context.Context, e centrifuge.DisconnectedEvent) { s.disconnected <- e.Disconnect },
	}
	node, err := centrifuge.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	s.node = node
	s.dial = s.serve(t, node)
	t.Cleanup(func() { s.shutdown(t) })
}

func (s *transportSuite) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := s.node.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown = %v; every connection must have ended", err)
	}
}

// suitePeer is a peer with what it has received.
type suitePeer struct {
	TransportPeer
	t     *testing.T
	uni   bool
	lines []string // received and not taken
}

// wrapped returns a push as it is on the wire.
func (p *suitePeer) wrapped(push string) string {
	if p.uni {
		return push
	}
	return `{"push":` + push + `}`
}

// connected dials, connects and subscribes.
func (s *transportSuite) connected(t *testing.T) *suitePeer {
	t.Helper()
	p := &suitePeer{TransportPeer: s.dial(t), t: t, uni: s.uni}
	t.Cleanup(func() { _ = p.Close() })
	if s.uni {
		p.send(`{"subs":{"` + channelUnderTest + `":{}}}`)
		p.wantPrefix(`{"connect":{"client":"`)
		// Otherwise it may be ended before the application was told of it, which is then
		// not told of the end.
		await.Receive(t, s.told, "Connected")
		return p
	}
	p.send(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"subscribe":{"channel":"` + channelUnderTest + `"}}`)
	p.wantPrefix(`{"id":1,"connect":{"client":"`)
	p.wantPrefix(`{"id":2,"subscribe":`)
	return p
}

func (p *suitePeer) send(message string) {
	p.t.Helper()
	if err := p.Send([]byte(message)); err != nil {
		p.t.Fatalf("Send(%s) = %v", message, err)
	}
}

// next returns the next reply or push that is no ping; ok is false at the end.
func (p *suitePeer) next() (line string, ok bool) {
	p.t.Helper()
	for {
		if len(p.lines) == 0 {
			message, err := p.Receive()
			if err != nil {
				return "", false
			}
			p.lines = strings.Split(string(bytes.TrimRight(message, "\n")), "\n")
		}
		line, p.lines = p.lines[0], p.lines[1:]
		if line != "{}" {
			return line, true
		}
	}
}

func (p *suitePeer) wantPrefix(prefix string) {
	p.t.Helper()
	if line, ok := p.next(); !ok || !strings.HasPrefix(line, prefix) {
		p.t.Fatalf("received %.100q, %v; want %q", line, ok, prefix)
	}
}

// end reads up to the end of the connection and returns its reason.
func (p *suitePeer) end() centrifuge.Disconnect {
	p.t.Helper()
	for {
		if _, ok := p.next(); !ok {
			return p.Reason()
		}
	}
}

// publish sends a payload with a number to the channel of the suite.
func (s *transportSuite) publish(t *testing.T, number int, size int) {
	t.Helper()
	data := fmt.Sprintf(`[%d,"%s"]`, number, strings.Repeat("x", size))
	if _, err := s.node.Publish(t.Context(), channelUnderTest, []byte(data), centrifuge.PublishOptions{}); err != nil {
		t.Fatalf("Publish = %v", err)
	}
}

// wantNumbers reads the publications of from to to-1, in order and whole.
func (p *suitePeer) wantNumbers(from, to, size int) {
	p.t.Helper()
	for number := from; number < to; number++ {
		line, ok := p.next()
		want := p.wrapped(fmt.Sprintf(`{"channel":"%s","pub":{"data":[%d,"%s"]}}`, channelUnderTest, number, strings.Repeat("x", size)))
		if !ok {
			p.t.Fatalf("the connection ended before message %d, with %v", number, p.Reason())
		}
		if line != want {
			p.t.Fatalf("received %.100q of %d bytes; want %.100q of %d bytes", line, len(line), want, len(want))
		}
	}
}

// wantDisconnected waits until the application was told of the end.
func (s *transportSuite) wantDisconnected(t *testing.T, codes ...uint32) {
	t.Helper()
	timeout := time.NewTimer(waitLimit)
	defer timeout.Stop()
	select {
	case d := <-s.disconnected:
		for _, code := range codes {
			if d.Code == code {
				return
			}
		}
		t.Errorf("Disconnected got %v; want one of the codes %v", d, codes)
	case <-timeout.C:
		t.Fatalf("the connection did not end within %v", waitLimit)
	}
}

// wantReleased waits until nothing is left of any connection.
func (s *transportSuite) wantReleased(t *testing.T) {
	t.Helper()
	await.Until(t, "every connection is released", func() bool { return s.node.NumClients() == 0 })
	if stats := s.node.Stats(); stats.Subscriptions != 0 {
		t.Errorf("%d subscriptions are left; want 0", stats.Subscriptions)
	}
}

func (s *transportSuite) connects(t *testing.T) {
	s.start(t, centrifuge.Config{})
	p := s.connected(t)
	p.send(`{"id":3,"rpc":{"data":"hello"}}`)
	p.wantPrefix(`{"id":3,"rpc":{"data":"hello"}}`)
}

func (s *transportSuite) publications(t *testing.T) {
	s.start(t, centrifuge.Config{})
	p := s.connected(t)
	s.publish(t, 1, 10)
	s.publish(t, 2, 10)
	p.wantNumbers(1, 3, 10)
}

// quickPings is a configuration in which pings come often.
var quickPings = centrifuge.Config{PingInterval: time.Second, PongTimeout: 700 * time.Millisecond}

func (s *transportSuite) pings(t *testing.T) {
	s.start(t, quickPings)
	p := s.connected(t)
	for range 2 {
		message, err := p.Receive()
		if err != nil || strings.TrimSpace(string(message)) != "{}" {
			t.Fatalf("Receive = %q, %v; want a ping", message, err)
		}
		if !s.uni {
			p.send("{}")
		}
	}
	s.publish(t, 1, 10)
	p.wantNumbers(1, 2, 10)
}

func (s *transportSuite) noPong(t *testing.T) {
	s.start(t, quickPings)
	p := s.connected(t)
	if got := p.end(); got != centrifuge.DisconnectNoPong {
		t.Errorf("the connection ended with %v; want %v", got, centrifuge.DisconnectNoPong)
	}
	s.wantDisconnected(t, centrifuge.DisconnectNoPong.Code)
	s.wantReleased(t)
}

func (s *transportSuite) closeCode(t *testing.T) {
	s.start(t, centrifuge.Config{})
	for _, d := range []centrifuge.Disconnect{{Code: 4000, Reason: "come back"}, {Code: 4999, Reason: "stay away"}, centrifuge.DisconnectShutdown} {
		p := s.connected(t)
		if err := s.node.Disconnect(t.Context(), centrifuge.Target{User: "u"}, d); err != nil {
			t.Fatal(err)
		}
		if got := p.end(); got != d {
			t.Errorf("the connection ended with %v; want %v", got, d)
		}
		s.wantDisconnected(t, d.Code)
	}
	s.wantReleased(t)
}

// closeAfterQueue: a client that reads gets everything that was queued before the end.
func (s *transportSuite) closeAfterQueue(t *testing.T) {
	s.start(t, centrifuge.Config{WriteTimeout: waitLimit})
	p := s.connected(t)
	client := <-s.clients
	for i := range 100 {
		if err := client.Send(fmt.Appendf(nil, `%d`, i)); err != nil {
			t.Fatal(err)
		}
	}
	client.Disconnect(centrifuge.DisconnectForceReconnect)
	for i := range 100 {
		p.wantPrefix(p.wrapped(fmt.Sprintf(`{"message":{"data":%d}}`, i)))
	}
	if got := p.end(); got != centrifuge.DisconnectForceReconnect {
		t.Errorf("the connection ended with %v; want %v", got, centrifuge.DisconnectForceReconnect)
	}
}

func (s *transportSuite) order(t *testing.T) {
	s.start(t, centrifuge.Config{QueueSize: 16 << 20})
	p := s.connected(t)
	const total = 2000
	var publishing sync.WaitGroup
	publishing.Go(func() {
		for i := range total {
			if _, err := s.node.Publish(context.Background(), channelUnderTest, fmt.Appendf(nil, `[%d,""]`, i), centrifuge.PublishOptions{}); err != nil {
				t.Errorf("Publish = %v", err)
			}
		}
	})
	p.wantNumbers(0, total, 0)
	publishing.Wait()
}

func (s *transportSuite) largeMessage(t *testing.T) {
	s.start(t, centrifuge.Config{WriteTimeout: waitLimit}) // the client may be slow on a loaded machine
	p := s.connected(t)
	s.publish(t, 0, 8<<20)
	p.wantNumbers(0, 1, 8<<20)
	s.publish(t, 1, 10)
	p.wantNumbers(1, 2, 10)
}

// slowReader: one that is behind, but within its limits, gets everything.
func (s *transportSuite) slowReader(t *testing.T) {
	const total, size = 300, 64 << 10
	s.start(t, centrifuge.Config{QueueSize: 2 * total * size, QueueTotalSize: -1, WriteTimeout: waitLimit})
	p := s.connected(t)
	for i := range total {
		s.publish(t, i, size)
	}
	p.wantNumbers(0, total, size)
}

// fill publishes until the connection has taken nothing for a while, or has ended.
func (s *transportSuite) fill(t *testing.T) {
	t.Helper()
	for i := 0; i < 500 && s.node.NumSubscribers(channelUnderTest) > 0; i++ {
		s.publish(t, i, 256<<10)
	}
}

// stuckWriter: the peer takes nothing; the connection ends by WriteTimeout.
func (s *transportSuite) stuckWriter(t *testing.T) {
	s.start(t, centrifuge.Config{QueueSize: 1 << 30, QueueTotalSize: -1, WriteTimeout: 300 * time.Millisecond})
	p := s.connected(t)
	s.fill(t)
	s.wantDisconnected(t, centrifuge.DisconnectWriteError.Code, centrifuge.DisconnectConnectionClosed.Code)
	s.wantReleased(t)
	_ = p.end() // the peer learns of it when it reads on
}

// overflow: the peer takes nothing; the connection ends when too much waits for it.
func (s *transportSuite) overflow(t *testing.T) {
	s.start(t, centrifuge.Config{QueueSize: 1 << 20, WriteTimeout: 5 * time.Second})
	p := s.connected(t)
	s.fill(t)
	s.wantDisconnected(t, centrifuge.DisconnectSlow.Code, centrifuge.DisconnectConnectionClosed.Code, centrifuge.DisconnectWriteError.Code)
	s.wantReleased(t)
	_ = p.end() // waits for the end
}

// stuckAtShutdown: a connection that takes nothing does not hold up Shutdown for long.
func (s *transportSuite) stuckAtShutdown(t *testing.T) {
	s.start(t, centrifuge.Config{QueueSize: 1 << 30, QueueTotalSize: -1, WriteTimeout: time.Second})
	p := s.connected(t)
	s.fill(t)
	s.shutdown(t)
	_ = p.end() // waits for the end
}

func (s *transportSuite) peerLeaves(t *testing.T) {
	s.start(t, centrifuge.Config{})
	for range 5 {
		p := s.connected(t)
		s.publish(t, 0, 10)
		if err := p.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
		s.wantDisconnected(t, centrifuge.DisconnectConnectionClosed.Code, centrifuge.DisconnectWriteError.Code)
	}
	s.wantReleased(t)
}

// concurrentClose: both sides end the connection while messages are on their way.
func (s *transportSuite) concurrentClose(t *testing.T) {
	s.start(t, centrifuge.Config{})
	for i := range 10 {
		p := s.connected(t)
		var all sync.WaitGroup
		for j := range 3 {
			all.Go(func() {
				d := centrifuge.Disconnect{Code: 4000 + uint32(j), Reason: strconv.Itoa(j)} //nolint:gosec // small
				_ = s.node.Disconnect(context.Background(), centrifuge.Target{User: "u"}, d)
			})
		}
		all.Go(func() {
			for n := range 20 {
				_, _ = s.node.Publish(context.Background(), channelUnderTest, fmt.Appendf(nil, `%d`, n), centrifuge.PublishOptions{})
			}
		})
		if i%2 == 0 {
			all.Go(func() { _ = p.Close() })
		}
		all.Wait()
		_ = p.end() // waits for the end
		s.wantDisconnected(t, 4000, 4001, 4002, centrifuge.DisconnectConnectionClosed.Code, centrifuge.DisconnectWriteError.Code)
	}
	s.wantReleased(t)
}

func (s *transportSuite) panicInHandler(t *testing.T) {
	s.start(t, centrifuge.Config{})
	p, other := s.connected(t), s.connected(t)
	p.send(`{"id":3,"rpc":{"method":"panic"}}`)
	if got := p.end(); got != centrifuge.DisconnectServerError {
		t.Errorf("the connection ended with %v; want %v", got, centrifuge.DisconnectServerError)
	}
	s.wantDisconnected(t, centrifuge.DisconnectServerError.Code)
	s.publish(t, 0, 10)
	other.wantNumbers(0, 1, 10)
}
