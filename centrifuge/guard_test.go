package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// engineFaults are the ways in which a call of an engine goes wrong.
var engineFaults = map[string]func(ctx context.Context) error{
	"error": func(context.Context) error { return errEngine },
	"panic": func(context.Context) error { panic(boom) },
	// The connection ends, the call is cancelled, and takes effect all the same.
	"late": func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), errLate)
		case <-time.After(time.Hour):
			return nil
		}
	},
	// Only the end of the node helps, or the bound on a join.
	"late without end": func(ctx context.Context) error {
		time.Sleep(10 * time.Second)
		return ctx.Err()
	},
}

// TestEngineFaults: whatever goes wrong in an engine, for a connection that stays
// or ends, nothing of the connection is left, and the next one is served.
func TestEngineFaults(t *testing.T) {
	calls := []string{
		"Subscribe", "Unsubscribe", "Publish", "PublishJoin", "PublishLeave", "History", "RemoveHistory",
		"AddPresence", "RemovePresence", "Presence", "PresenceStats",
	}
	for _, call := range calls {
		for fault, fails := range engineFaults {
			if call == "Unsubscribe" && strings.HasPrefix(fault, "late") {
				continue // nothing cancels it, and the next Subscribe of the channel waits for it
			}
			for _, stays := range []bool{false, true} {
				t.Run(call+"/"+fault, func(t *testing.T) {
					inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
						engineFault(t, format, call, fails, stays)
					})
				})
			}
		}
	}
}

func engineFault(t *testing.T, format protocol.Format, call string, fails func(context.Context) error, stays bool) {
	t.Helper()
	engine := newFaultyEngine()
	s := newSite(t, engine.config(), connectingTo("srv", allow(centrifuge.SubscribeOptions{
		Presence: true, Recovery: true, JoinLeave: true, PushJoinLeave: true,
	})))
	p := s.connect(format, "u")
	var reached atomic.Bool
	engine.on(func(ctx context.Context, c string) error {
		if c != call {
			return nil
		}
		reached.Store(true)
		return fails(ctx)
	})
	if call == "RemoveHistory" {
		_ = s.RemoveHistory(t.Context(), "a")
	}
	for _, command := range []string{
		subscribeA, `{"id":3,"publish":{"channel":"a","data":1}}`, `{"id":4,"presence":{"channel":"a"}}`,
		`{"id":5,"presence_stats":{"channel":"a"}}`, `{"id":6,"history":{"channel":"a","limit":1}}`, `{"id":7,"unsubscribe":{"channel":"a"}}`,
		`{"id":8,"subscribe":{"channel":"a"}}`,
	} {
		p.commands(command)
		synctest.Wait()
	}
	if stays {
		time.Sleep(time.Minute) // ticks
	}
	p.Cut()
	time.Sleep(2 * time.Minute) // entries whose removal failed expire
	if !reached.Load() {
		t.Fatalf("%s was not called; want a call", call)
	}
	engine.fail("", nil)
	if stats := s.Stats(); stats.Clients+stats.Users+stats.Channels+stats.Subscriptions != 0 {
		t.Errorf("left behind: %d connections, %d users, %d channels, %d subscriptions; want 0",
			stats.Clients, stats.Users, stats.Channels, stats.Subscriptions)
	}
	if n := engine.subscribed.Load(); n != 0 && call != "Unsubscribe" {
		t.Errorf("the broker is subscribed to %d channels; want none", n)
	}
	if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 0 {
		t.Errorf("presence %+v, %v; want NumClients 0", stats, err)
	}
	s.logged()
	next := s.connect(format, "next")
	next.commands(subscribeA)
	next.received()
	s.publish("a", `"after"`, history)
	if got := next.received(); len(got) != 1 || !strings.Contains(got[0], "after") {
		t.Errorf("the next subscriber got %q; want length 1 and \"after\" in it", got)
	}
	next.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
	next.received()
	if n := engine.subscribed.Load(); n != 1 || s.NumSubscribers("a") != 0 {
		t.Errorf("%d channels at the broker and %d subscribers are left; want 1 and 0", n, s.NumSubscribers("a"))
	}
}

// faultyTransport panics in one of its methods.
type faultyTransport struct {
	*centrifugetest.Transport
	info  centrifuge.TransportInfo
	panic atomic.Pointer[string]
}

func (f *faultyTransport) may(method string) {
	if at := f.panic.Load(); at != nil && *at == method {
		panic(boom)
	}
}

// Info implements centrifuge.Transport.
func (f *faultyTransport) Info() centrifuge.TransportInfo { return f.info }

// Write implements centrifuge.Transport.
func (f *faultyTransport) Write(context.Context, []*protocol.Encoded) (int, error) {
	f.may("Write")
	return 0, nil
}

// Ping implements centrifuge.Transport.
func (f *faultyTransport) Ping() error {
	f.may("Ping")
	return nil
}

// Resume implements centrifuge.Transport.
func (f *faultyTransport) Resume() { f.may("Resume") }

// Close implements centrifuge.Transport.
func (f *faultyTransport) Close(uint32, string) { f.may("Close") }

// TestTransportPanics: on the goroutine of a command, a lane, a delay or the
// wheel, a panic of a transport ends its connection and nothing else.
func TestTransportPanics(t *testing.T) {
	for _, test := range []struct {
		name, method string
		config       centrifuge.Config
		do           func(s *site, c *centrifuge.Conn)
		fresh        bool // it does not connect
	}{
		{name: "command", method: "Write", do: func(_ *site, c *centrifuge.Conn) { c.Receive([]byte(`{"id":3,"rpc":{}}`)) }},
		{name: "lane", method: "Write", do: func(s *site, _ *centrifuge.Conn) { s.publish("a", `1`, history) }},
		{name: "delay", method: "Write", config: centrifuge.Config{WriteDelay: time.Millisecond}, do: func(s *site, _ *centrifuge.Conn) { s.publish("a", `1`, history) }},
		{name: "wheel", method: "Write", do: func(*site, *centrifuge.Conn) { time.Sleep(30 * time.Second) }},
		{name: "wheel, ping", method: "Ping", do: func(*site, *centrifuge.Conn) { time.Sleep(30 * time.Second) }},
		{name: "wheel, close", method: "Close", fresh: true, do: func(*site, *centrifuge.Conn) { time.Sleep(30 * time.Second) }},
		{name: "closed", method: "Close", do: func(_ *site, c *centrifuge.Conn) { c.Closed(errEngine) }},
		{name: "disconnect", method: "Close", do: func(_ *site, c *centrifuge.Conn) { c.Client().Disconnect(centrifuge.DisconnectForceReconnect) }},
		{name: "resume", method: "Resume", do: func(_ *site, c *centrifuge.Conn) {
			for c.Receive([]byte(`{"id":2,"rpc":{"data":"` + strings.Repeat("x", 32<<10) + `"}}`)) {
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				test.config.PongTimeout = -1 // no pong is expected
				s := newSite(t, test.config, allow(centrifuge.SubscribeOptions{Presence: true}))
				other := s.dial(jsonV2, transport(jsonV2), "v")
				other.commands(`{"id":1,"connect":{}}`, subscribeA)
				time.Sleep(time.Second) // writes may be delayed
				other.received()
				faulty := &faultyTransport{info: transport(jsonV2)}
				faulty.info.NativePing = test.method == "Ping"
				c, err := s.Accept(centrifuge.SetCredentials(t.Context(), &centrifuge.Credentials{}), faulty)
				must(t, err)
				if !test.fresh {
					c.Receive([]byte(`{"id":1,"connect":{}}` + "\n" + subscribeA))
				}
				time.Sleep(time.Second)
				faulty.panic.Store(&test.method)
				test.do(s, c)
				time.Sleep(time.Second)
				if c.Client().IsSubscribed("a") || s.NumClients() > 1 {
					t.Errorf("the client is subscribed: %v, the node has %d clients; want false, at most 1", c.Client().IsSubscribed("a"), s.NumClients())
				}
				if logged := strings.Join(s.logged(), ""); !strings.Contains(logged, boom) {
					t.Errorf("logged %q; want %q in it", logged, boom)
				}
				other.received()
				s.publish("a", `"after"`, history)
				time.Sleep(time.Second)
				if got := other.received(); len(got) != 1 {
					t.Errorf("another subscriber got %q; want length 1", got)
				}
			})
		})
	}
}

// TestCallbacksOfConfigPanic: those that are called with a lock held leave none.
func TestCallbacksOfConfigPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fails atomic.Bool
		may := func() {
			if fails.Load() {
				panic(boom)
			}
		}
		s := newSite(t, centrifuge.Config{
			MatchChannel: func(string) (func(string) bool, error) {
				return func(string) bool { may(); return true }, nil
			},
			ChannelBatch: func(string) centrifuge.BatchOptions {
				may()
				return centrifuge.BatchOptions{MaxDelay: time.Millisecond}
			},
		}, allow(centrifuge.SubscribeOptions{}))
		p, other := s.connect(jsonV2, "u"), s.connect(jsonV2, "v")
		p.commands(subscribeA)
		p.received()
		fails.Store(true)
		if _, err := s.Channels(t.Context(), "*"); err == nil {
			t.Error("no error of a matcher that panics; want an error")
		}
		other.commands(`{"id":2,"subscribe":{"channel":"b"}}`)
		other.expect(refused(2, centrifuge.ErrorInternal))
		fails.Store(false)
		if logged := s.logged(); len(logged) != 2 {
			t.Errorf("logged %q; want length 2", logged)
		}
		if channels, err := s.Channels(t.Context(), "*"); err != nil || len(channels) != 1 {
			t.Errorf("channels %v, %v; want length 1", channels, err)
		}
		for _, channel := range []string{"a", "b"} { // the shard of either is not locked
			other.commands(`{"id":2,"subscribe":{"channel":"` + channel + `"}}`)
			other.expect(`{"id":2,"subscribe":{}}`)
			s.publish(channel, `1`, centrifuge.PublishOptions{})
			time.Sleep(time.Second)
			if got := other.received(); len(got) != 1 {
				t.Errorf("%s: got %q; want length 1", channel, got)
			}
		}
	})
}

// TestMatcherMayUseTheNode: no lock is held while it runs.
func TestMatcherMayUseTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *site
		s = newSite(t, centrifuge.Config{ChannelLimit: -1, MatchChannel: func(string) (func(string) bool, error) {
			return func(channel string) bool {
				if channel != "a" {
					return true
				}
				for i := range 500 { // so many that some share the shard
					_ = s.Subscribe(context.Background(), centrifuge.Target{User: "u"}, fmt.Sprint(channel, i), centrifuge.SubscribeOptions{})
				}
				return s.NumSubscribers(channel) == 1
			}, nil
		}}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		if channels, err := s.Channels(t.Context(), "a"); err != nil || len(channels) == 0 {
			t.Errorf("channels %v, %v; want one at least", channels, err)
		}
	})
}

// TestControllerPanics: a panic of a controller is an error, whoever calls it.
func TestControllerPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, at := range []string{"Start", "PublishControl", "Close"} {
			var logged atomic.Int32
			node, err := centrifuge.New(centrifuge.Config{
				Controller: panickingController{at},
				LogHandler: func(centrifuge.LogEntry) { logged.Add(1) },
			})
			must(t, err)
			if err := node.Run(); (err != nil) != (at == "Start") {
				t.Errorf("Run with a panic in %s: %v; want an error if Start panics", at, err)
			}
			time.Sleep(10 * time.Second) // it tells the others about itself
			if at == "PublishControl" {
				if err := node.Disconnect(t.Context(), centrifuge.Target{User: "u"}, centrifuge.DisconnectForceReconnect); err == nil {
					t.Error("no error of a controller that panics; want an error")
				}
			}
			_ = node.Shutdown(t.Context())
			if logged.Load() == 0 {
				t.Errorf("a panic in %s was not logged; want more than 0", at)
			}
		}
	})
}

type panickingController struct{ at string }

func (c panickingController) may(method string) {
	if c.at == method {
		panic(boom)
	}
}

// Start implements centrifuge.Controller.
func (c panickingController) Start(string, centrifuge.ControlHandler) error {
	c.may("Start")
	return nil
}

// PublishControl implements centrifuge.Controller.
func (c panickingController) PublishControl(context.Context, string, []byte) error {
	c.may("PublishControl")
	return nil
}

// Close implements centrifuge.Controller.
func (c panickingController) Close(context.Context) error {
	c.may("Close")
	return nil
}

// TestRunPanics: a broker that panics when it is started leaves nothing running.
func TestRunPanics(t *testing.T) {
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogNone, Broker: panickingBroker{centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}})
	must(t, err)
	if err := node.Run(); err == nil || !strings.Contains(err.Error(), boom) {
		t.Errorf("Run: %v; want an error and %q in it", err, boom)
	}
	must(t, node.Shutdown(t.Context()))
}

type panickingBroker struct{ *centrifuge.MemoryBroker }

// Start implements centrifuge.Broker.
func (panickingBroker) Start(centrifuge.BrokerHandler) error { panic(boom) }

// Close implements centrifuge.Broker.
func (panickingBroker) Close(context.Context) error { panic(boom) }

// TestEngineDeliversNothing: nil where something must be is logged, not passed on.
func TestEngineDeliversNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{PushJoinLeave: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		s.BrokerEvents().HandlePublication("a", nil, "", nil)
		s.BrokerEvents().HandleJoin("a", nil)
		s.BrokerEvents().HandleLeave("a", nil)
		s.publish("a", `1`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"a","pub":{"data":1}}}`)
		if logged := s.logged(); len(logged) != 3 {
			t.Errorf("logged %q; want length 3", logged)
		}
	})
}

// TestLogHandlerPanics: nothing depends on it, on whatever goroutine it is called.
func TestLogHandlerPanics(t *testing.T) {
	stderr := os.Stderr
	r, w, err := os.Pipe()
	must(t, err)
	os.Stderr = w
	defer func() { os.Stderr = stderr }()
	node, err := centrifuge.New(centrifuge.Config{
		LogHandler: func(centrifuge.LogEntry) { panic(boom) }, LogLevel: centrifuge.LogTrace, Controller: panickingController{"PublishControl"},
	})
	must(t, err)
	handlers := allow(centrifuge.SubscribeOptions{})
	handlers.RPC = func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) { panic(boom) }
	node.Handle(handlers)
	must(t, node.Run())
	p := centrifugetest.Connect(t.Context(), t, node, jsonV2, "u")
	p.Send(&protocol.Command{RPC: &protocol.RPCRequest{}})
	p.Closed()
	node.BrokerEvents().HandlePublication("a", nil, "", nil)
	must(t, node.Shutdown(t.Context()))
	must(t, w.Close())
	printed, err := io.ReadAll(r)
	must(t, err)
	if !strings.Contains(string(printed), "the log handler panicked (boom) at entry \"panic\"") {
		t.Errorf("printed %q; want %q in it", printed, "the log handler panicked (boom) at entry \"panic\"")
	}
}
