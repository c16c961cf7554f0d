package centrifuge_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// boom is what panics in these tests.
const boom = "boom"

// panicking is an application of which one handler panics.
func panicking(name string) centrifuge.Handlers {
	may := func(handler string) {
		if handler == name {
			panic(boom)
		}
	}
	handlers := allow(centrifuge.SubscribeOptions{Presence: true, JoinLeave: true, ExpireAt: 946684800 + 10}) // 2000-01-01
	subscribe := handlers.Subscribe
	handlers.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
		may("Connecting")
		return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u", Exp: 946684800 + 10}}, nil
	}
	handlers.Connected = func(context.Context, centrifuge.ConnectedEvent) { may("Connected") }
	handlers.Subscribe = func(ctx context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
		may("Subscribe")
		return subscribe(ctx, e)
	}
	handlers.Subscribed = func(context.Context, centrifuge.SubscribedEvent) { may("Subscribed") }
	handlers.Unsubscribed = func(context.Context, centrifuge.UnsubscribedEvent) { may("Unsubscribed") }
	handlers.RPC = func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
		may("RPC")
		return centrifuge.RPCReply{}, nil
	}
	handlers.Refresh = func(context.Context, centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
		may("Refresh")
		return centrifuge.RefreshReply{}, nil
	}
	handlers.SubRefresh = func(context.Context, centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
		may("SubRefresh")
		return centrifuge.SubRefreshReply{}, nil
	}
	handlers.Alive = func(context.Context, centrifuge.AliveEvent) { may("Alive") }
	handlers.Disconnected = func(context.Context, centrifuge.DisconnectedEvent) { may("Disconnected") }
	return handlers
}

// TestPanics of handlers end the connection that they worked for, and only that.
func TestPanics(t *testing.T) {
	for _, handler := range []string{
		"Connecting", "Connected", "Subscribe", "Subscribed", "Unsubscribed", "RPC", "Refresh", "SubRefresh", "Alive", "Disconnected",
	} {
		for _, concurrency := range []int{1, 4} {
			t.Run(handler, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					config := noPings
					config.Concurrency = concurrency
					s := newSite(t, config, panicking(handler))
					p := s.dial(jsonV2, transport(jsonV2), "u")
					p.commands(`{"id":1,"connect":{}}`)
					p.received()
					for _, command := range []string{subscribeA, `{"id":3,"subscribe":{"channel":"b"}}`, `{"id":4,"rpc":{}}`, `{"id":5,"unsubscribe":{"channel":"a"}}`} {
						if _, ended := p.Ended(); !ended {
							p.commands(command)
						}
						synctest.Wait()
					}
					time.Sleep(40 * time.Second) // expiry and a tick
					why, ended := p.Ended()
					if handler == "Disconnected" {
						p.Cut()
					} else if !ended || why.Code != centrifuge.DisconnectServerError.Code {
						t.Errorf("ended %v with %v; want true with %v", ended, why, centrifuge.DisconnectServerError)
					}
					synctest.Wait()
					if stats := s.Stats(); stats.Clients+stats.Users+stats.Channels+stats.Subscriptions != 0 {
						t.Errorf("left behind: %+v; want 0", stats)
					}
					if presence, err := s.PresenceStats(t.Context(), "b"); err != nil || presence.NumClients != 0 {
						t.Errorf("presence %+v, %v; want NumClients 0", presence, err)
					}
					if logged := s.logged(); len(logged) == 0 || !strings.Contains(logged[0], boom) {
						t.Errorf("logged %q; want %q in it", logged, boom)
					}
				})
			})
		}
	}
}

// TestEngineFails: error 100, and nothing of the attempt is left.
func TestEngineFails(t *testing.T) {
	options := centrifuge.SubscribeOptions{Presence: true, Recovery: true, JoinLeave: true, PushJoinLeave: true}
	for _, test := range []struct {
		call, command string
		succeeds      bool // the failure is logged and no reason to refuse
	}{
		{call: "Subscribe", command: subscribeA},
		{call: "AddPresence", command: subscribeA},
		{call: "History", command: subscribeA},
		{call: "PublishJoin", command: subscribeA, succeeds: true},
		{call: "Publish", command: `{"id":2,"publish":{"channel":"a","data":1}}`},
		{call: "History", command: `{"id":2,"history":{"channel":"a"}}`},
		{call: "Presence", command: `{"id":2,"presence":{"channel":"a"}}`},
		{call: "PresenceStats", command: `{"id":2,"presence_stats":{"channel":"a"}}`},
	} {
		for _, failure := range []error{errEngine, context.DeadlineExceeded} {
			t.Run(test.call, func(t *testing.T) {
				inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
					engine := newFaultyEngine()
					s := newSite(t, engine.config(), allow(options))
					p := s.connect(format, "u")
					engine.fail(test.call, failure)
					p.commands(test.command)
					if test.succeeds {
						if got := p.received(); len(got) != 1 || strings.Contains(got[0], "error") {
							t.Errorf("got %q; want length 1 and no \"error\" in it", got)
						}
						return
					}
					p.expect(refused(2, centrifuge.ErrorInternal))
					if got := len(s.logged()); got != 1 {
						t.Errorf("the cause was not logged once: len(s.logged()) = %v; want 1", got)
					}
					engine.fail("", nil)
					if n, m := engine.subscribed.Load(), s.NumSubscribers("a"); n != 0 || m != 0 {
						t.Errorf("%d subscriptions of the broker and %d of the hub are left; want 0 and 0", n, m)
					}
					if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 0 {
						t.Errorf("presence %+v, %v; want NumClients 0", stats, err)
					}
					p.commands(`{"id":3,"subscribe":{"channel":"a"}}`)
					if got := p.received(); len(got) == 0 || strings.Contains(got[0], "error") {
						t.Errorf("subscribing afterwards: %q; want no \"error\" in it", got)
					}
				})
			})
		}
	}
}

// TestEngineFailsAtConnect: the whole connect fails (protocol.md 5.6).
func TestEngineFailsAtConnect(t *testing.T) {
	for _, call := range []string{"Subscribe", "AddPresence", "History"} {
		inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
			engine := newFaultyEngine()
			options := centrifuge.SubscribeOptions{Presence: true, Recovery: true}
			s := newSite(t, engine.config(), connecting(centrifuge.ConnectingReply{
				Subscriptions: map[string]centrifuge.SubscribeOptions{"a": options, "b": options, "c": options},
			}, nil))
			engine.fail(call, errEngine)
			p := s.dial(format, transport(format), "u")
			p.commands(`{"id":1,"connect":{}}`)
			p.expect(refused(1, centrifuge.ErrorInternal))
			if n := engine.subscribed.Load(); n != 0 || s.Stats().Subscriptions != 0 || len(s.logged()) != 1 {
				t.Errorf("%d subscriptions are left; want 0, 0 and 1", n)
			}
		})
	}
}

// TestClientLeaves in the middle of every stage of a subscribe and of a connect:
// what blocks is released, and nothing is left.
func TestClientLeaves(t *testing.T) {
	options := centrifuge.SubscribeOptions{Presence: true, Recovery: true, JoinLeave: true, PushJoinLeave: true}
	for _, stage := range []string{"Connecting", "connect:Subscribe", "connect:AddPresence", "connect:History", "connect:PublishJoin",
		"handler", "Subscribe", "AddPresence", "History", "PublishJoin"} {
		for _, ignores := range []bool{false, true} { // the end of the context
			t.Run(stage, func(t *testing.T) {
				inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
					engine := newFaultyEngine()
					var entered atomic.Bool
					block := func(ctx context.Context, at string) error {
						if !strings.HasSuffix(stage, at) {
							return nil
						}
						entered.Store(true)
						<-ctx.Done()
						if ignores {
							time.Sleep(time.Second)
							return nil
						}
						return ctx.Err()
					}
					engine.on(func(ctx context.Context, call string) error { return block(ctx, call) })
					handlers := allow(options)
					subscribe := handlers.Subscribe
					handlers.Subscribe = func(ctx context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
						if err := block(ctx, "handler"); err != nil {
							return centrifuge.SubscribeReply{}, err
						}
						return subscribe(ctx, e)
					}
					handlers.Connecting = func(ctx context.Context, _ centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
						reply := centrifuge.ConnectingReply{}
						if strings.HasPrefix(stage, "connect:") {
							reply.Subscriptions = map[string]centrifuge.SubscribeOptions{"a": options}
						}
						return reply, block(ctx, "Connecting")
					}
					s := newSite(t, engine.config(), handlers)
					p := s.dial(format, transport(format), "u")
					p.commands(`{"id":1,"connect":{}}`, subscribeA, `{"id":3,"rpc":{}}`)
					synctest.Wait()
					if !entered.Load() {
						t.Fatal("the stage was not reached; want it reached")
					}
					p.Cut()
					time.Sleep(10 * time.Second)
					if stats := s.Stats(); stats.Clients+stats.Users+stats.Channels+stats.Subscriptions != 0 || engine.subscribed.Load() != 0 {
						t.Errorf("left behind: %d connections, %d users, %d channels, %d at the broker; want 0 and 0",
							stats.Clients, stats.Users, stats.Channels, engine.subscribed.Load())
					}
					engine.fail("", nil)
					if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 0 {
						t.Errorf("presence %+v, %v; want NumClients 0", stats, err)
					}
				})
			})
		}
	}
}

// TestUnsubscribeDuringSubscribe by the server waits for it, or gives up after
// five seconds (protocol.md 6.3). Commands of the client come one after another.
func TestUnsubscribeDuringSubscribe(t *testing.T) {
	for _, delay := range []time.Duration{time.Second, 10 * time.Second} {
		inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
			handlers := allow(centrifuge.SubscribeOptions{})
			handlers.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
				time.Sleep(delay)
				return centrifuge.SubscribeReply{}, nil
			}
			s := newSite(t, centrifuge.Config{Concurrency: 4, PingInterval: -1}, handlers)
			p := s.connect(format, "u")
			p.commands(subscribeA)
			p.expect()
			must(t, s.Unsubscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.UnsubscribeServer))
			if delay > 5*time.Second {
				p.expect(p.closes(centrifuge.DisconnectServerError))
				return
			}
			time.Sleep(20 * time.Second)
			p.expect(`{"id":2,"subscribe":{}}`, `{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
			if got := s.NumSubscribers("a"); got != 0 {
				t.Errorf("still subscribed: s.NumSubscribers(\"a\") = %v; want 0", got)
			}
		})
	}
}

// TestWriteError: the transport is closed and the connection forgotten.
func TestWriteError(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.Refuse(errors.New("broken pipe"))
		p.commands(subscribeA)
		p.expect(p.closes(centrifuge.DisconnectWriteError))
		if s.NumClients() != 0 || s.Stats().Disconnects[3009] != 1 {
			t.Errorf("%d connections are left; want 0 and s.Stats().Disconnects[3009] 1", s.NumClients())
		}
	})
}

// TestUnsubscribeRace: the server unsubscribes while the client subscribes
// again. In the end both have the same state, whichever was faster.
func TestUnsubscribeRace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Positioning: true, Presence: true, JoinLeave: true}))
		for run := range 2000 {
			p := s.connect(jsonV2, "u")
			var work sync.WaitGroup
			work.Go(func() {
				for range 1 + rand.IntN(3) {
					must(t, s.Unsubscribe(context.Background(), centrifuge.Target{User: "u"}, "a", centrifuge.UnsubscribeServer))
				}
			})
			work.Go(func() {
				for range 1 + rand.IntN(3) {
					p.Client.Conn().Receive([]byte("{\"id\":2,\"subscribe\":{\"channel\":\"a\"}}\n{\"id\":3,\"unsubscribe\":{\"channel\":\"a\"}}\n{\"id\":4,\"subscribe\":{\"channel\":\"a\"}}"))
				}
			})
			work.Wait()
			subscribed := false // as the client sees it
			for _, line := range p.received() {
				switch {
				case strings.Contains(line, "error"):
				case strings.Contains(line, `"unsubscribe"`):
					subscribed = false
				case strings.Contains(line, `"subscribe"`):
					subscribed = true
				}
			}
			if is := p.Client.Client().IsSubscribed("a"); is != subscribed {
				t.Fatalf("run %d: the client believes that it is subscribed: %v; want %v, as on the server", run, subscribed, is)
			}
			p.Cut()
			synctest.Wait()
			if s.NumSubscribers("a") != 0 {
				t.Fatalf("run %d: a subscription has leaked; want 0", run)
			}
		}
	})
}

// TestShutdownRaces: connections come, subscribe and go while the node goes down.
func TestShutdownRaces(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, centrifuge.Config{}, connectingTo("srv", allow(centrifuge.SubscribeOptions{Presence: true, JoinLeave: true, Recovery: true})))
			var work sync.WaitGroup
			for range 8 {
				p := s.dial(jsonV2, transport(jsonV2), "u")
				work.Go(func() {
					p.SendRaw([]byte(`{"id":1,"connect":{}}` + "\n" + subscribeA + "\n" + `{"id":3,"publish":{"channel":"a","data":1}}`))
					if rand.IntN(4) == 0 {
						p.Cut()
					}
				})
			}
			work.Go(func() { must(t, s.Shutdown(context.Background())) })
			work.Wait()
			synctest.Wait()
			s.logged() // a publish may have failed for the shutdown
		})
	}
}

// TestRunFails: what had been started is stopped.
func TestRunFails(t *testing.T) {
	for _, config := range []centrifuge.Config{
		{Broker: brokenBroker{centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}},
		{Controller: brokenController{}},
	} {
		node, err := centrifuge.New(config)
		must(t, err)
		if err := node.Run(); !errors.Is(err, errEngine) {
			t.Errorf("Run: %v; want %v", err, errEngine)
		}
		if err := node.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
	}
	if _, err := centrifuge.New(centrifuge.Config{PingInterval: time.Second, PongTimeout: time.Second}); err == nil {
		t.Error("a pong timeout that is not below the ping interval was taken; want an error")
	}
}

type brokenBroker struct{ *centrifuge.MemoryBroker }

// Start implements centrifuge.Broker.
func (brokenBroker) Start(centrifuge.BrokerHandler) error { return errEngine }

type brokenController struct{}

// Start implements centrifuge.Controller.
func (brokenController) Start(string, centrifuge.ControlHandler) error { return errEngine }

// PublishControl implements centrifuge.Controller.
func (brokenController) PublishControl(context.Context, string, []byte) error { return errEngine }

// Close implements centrifuge.Controller.
func (brokenController) Close(context.Context) error { return nil }

// TestEngineCallsAreBounded: a call of an engine that does not answer ends, whatever
// the context of the caller.
func TestEngineCallsAreBounded(t *testing.T) {
	ctx := context.Background()
	for call, do := range map[string]func(s *site) error{
		"Publish": func(s *site) error {
			_, err := s.Publish(ctx, "a", []byte(`1`), history)
			return err
		},
		"History": func(s *site) error {
			_, err := s.History(ctx, "a", centrifuge.HistoryOptions{})
			return err
		},
		"RemoveHistory": func(s *site) error { return s.RemoveHistory(ctx, "a") },
		"Presence": func(s *site) error {
			_, err := s.Presence(ctx, "a")
			return err
		},
		"PresenceStats": func(s *site) error {
			_, err := s.PresenceStats(ctx, "a")
			return err
		},
	} {
		t.Run(call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := newFaultyEngine()
				s := newSite(t, engine.config(), allow(centrifuge.SubscribeOptions{}))
				engine.on(func(ctx context.Context, c string) error {
					if c == call {
						<-ctx.Done()
					}
					return ctx.Err()
				})
				start := time.Now()
				if err := do(s); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("error = %v, want the deadline", err)
				}
				if took := time.Since(start); took > 10*time.Second {
					t.Errorf("the call took %v, want at most 10s", took)
				}
			})
		})
	}
	for _, call := range []string{"Subscribe", "AddPresence", "History"} {
		t.Run("subscribe command/"+call, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := newFaultyEngine()
				s := newSite(t, engine.config(), allow(centrifuge.SubscribeOptions{Presence: true, Recovery: true}))
				p := s.connect(jsonV2, "u")
				engine.on(func(ctx context.Context, c string) error {
					if c == call {
						<-ctx.Done()
					}
					return ctx.Err()
				})
				p.commands(subscribeA)
				time.Sleep(11 * time.Second)
				p.expect(refused(2, centrifuge.ErrorInternal))
				if got := len(s.logged()); got != 1 {
					t.Errorf("the cause was not logged once: len(s.logged()) = %v; want 1", got)
				}
				engine.fail("", nil)
			})
		})
	}
}
