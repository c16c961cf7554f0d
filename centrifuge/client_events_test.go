package centrifuge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// ledger pairs the events of a node's connections as an application does.
type ledger struct {
	mu     sync.Mutex
	open   map[string]int // by connection, or connection and channel: one between its two events
	counts map[string]int
	faults []string
}

func newLedger() *ledger { return &ledger{open: make(map[string]int), counts: make(map[string]int)} }

// begin and end are called at the beginning and at the end of a callback, so that
// overlapping ones are seen.
func (l *ledger) note(event, key string, from, to int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[event]++
	if l.open[key] != from {
		l.faults = append(l.faults, fmt.Sprintf("%s of %s in state %d", event, key, l.open[key]))
	}
	l.open[key] = to
}

// States of a pair: its first callback is 1 while it runs and 2 afterwards, its
// second is 3 while it runs.
func (l *ledger) first(event, key string, pause func()) {
	l.note(event, key, 0, 1)
	pause()
	l.note(event+" returns", key, 1, 2)
}

func (l *ledger) second(event, key string, pause func()) {
	l.note(event, key, 2, 3)
	pause()
	l.note(event+" returns", key, 3, 0)
}

// keep makes an application keep the ledger. Pause is called in each callback.
func (l *ledger) keep(h *centrifuge.Handlers, pause func(event string)) {
	if pause == nil {
		pause = func(string) {}
	}
	key := func(c *centrifuge.Client, channel string) string { return c.ID() + " " + channel }
	h.Connected = func(_ context.Context, e centrifuge.ConnectedEvent) {
		l.first("Connected", key(e.Client, ""), func() { pause("Connected") })
	}
	h.Disconnected = func(_ context.Context, e centrifuge.DisconnectedEvent) {
		l.second("Disconnected", key(e.Client, ""), func() { pause("Disconnected") })
		l.mu.Lock()
		defer l.mu.Unlock()
		for pair, state := range l.open {
			if state != 0 && strings.HasPrefix(pair, e.Client.ID()) {
				l.faults = append(l.faults, fmt.Sprintf("disconnected with %s in state %d", pair, state))
			}
		}
	}
	h.Subscribed = func(_ context.Context, e centrifuge.SubscribedEvent) {
		l.first("Subscribed", key(e.Client, e.Channel), func() { pause("Subscribed") })
	}
	h.Unsubscribed = func(_ context.Context, e centrifuge.UnsubscribedEvent) {
		if !e.ServerSide {
			l.second("Unsubscribed", key(e.Client, e.Channel), func() { pause("Unsubscribed") })
		}
	}
}

// check reports what did not pair; every connection must have ended.
func (l *ledger) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for pair, state := range l.open {
		if state != 0 {
			l.faults = append(l.faults, fmt.Sprintf("%s is left in state %d", pair, state))
		}
	}
	if len(l.faults) > 0 {
		t.Errorf("%d faults, the first: %q; want none", len(l.faults), l.faults[:min(len(l.faults), 10)])
	}
	if l.counts["Connected"] != l.counts["Disconnected"] || l.counts["Subscribed"] != l.counts["Unsubscribed"] {
		t.Errorf("events do not pair: %v; want %v and %v", l.counts, l.counts["Disconnected"], l.counts["Unsubscribed"])
	}
}

// TestEventsPair over thousands of connections that end at once, by themselves or
// by the server, while they connect, subscribe and unsubscribe.
func TestEventsPair(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		t.Run(fmt.Sprint(concurrency), func(t *testing.T) {
			books := newLedger()
			handlers := connectingTo("srv", allow(centrifuge.SubscribeOptions{Presence: true, JoinLeave: true}))
			books.keep(&handlers, nil)
			s := newSite(t, centrifuge.Config{Concurrency: concurrency, PingInterval: -1}, handlers)
			var work sync.WaitGroup
			for worker := range 8 {
				work.Go(func() {
					for run := range 500 {
						user := fmt.Sprint("u", worker)
						p := s.dial(jsonV2, transport(jsonV2), user)
						target := centrifuge.Target{User: user}
						p.SendRaw([]byte(`{"id":1,"connect":{}}` + "\n" + subscribeA + "\n" + `{"id":3,"unsubscribe":{"channel":"a"}}` + "\n" + `{"id":4,"subscribe":{"channel":"a"}}`))
						switch run % 4 {
						case 1:
							_ = s.Unsubscribe(context.Background(), target, "", centrifuge.UnsubscribeServer)
						case 2:
							_ = s.Disconnect(context.Background(), target, centrifuge.DisconnectForceNoReconnect)
						case 3:
							p.Next() // the connect reply, or the end
						}
						p.Cut()
					}
				})
			}
			work.Wait()
			must(t, s.Shutdown(context.Background()))
			books.check(t)
			if books.counts["Subscribed"] == 0 || books.counts["Connected"] == 0 {
				t.Errorf("the test tests nothing: %v; want more than 0 and more than 0", books.counts)
			}
		})
	}
}

// TestEventsWait: each callback in turn is held while something ends what it is
// about. What ends does not wait; the next event does.
func TestEventsWait(t *testing.T) {
	cut := func(p *peer) { p.Cut() }
	for _, test := range []struct {
		held string
		do   string // command that leads to it; connect is sent before
		end  func(p *peer)
		want string // the events when the callback returns, in their order
	}{
		{"Connected", "", cut, "Connected, Disconnected"},
		{"Connected", "", func(p *peer) { p.Client.Client().Disconnect(centrifuge.DisconnectForceReconnect) }, "Connected, Disconnected"},
		{"Subscribed", subscribeA, cut, "Connected, Subscribed, Unsubscribed, Disconnected"},
		{"Subscribed", subscribeA, func(p *peer) { p.Client.Client().Unsubscribe("a", centrifuge.UnsubscribeServer) },
			"Connected, Subscribed, Unsubscribed"},
		{"Subscribed", subscribeA, func(p *peer) {
			p.Client.Client().Unsubscribe("a", centrifuge.UnsubscribeServer)
			p.Cut()
		}, "Connected, Subscribed, Unsubscribed, Disconnected"},
		{"Unsubscribed", subscribeA + "\n" + `{"id":3,"unsubscribe":{"channel":"a"}}`, cut,
			"Connected, Subscribed, Unsubscribed, Disconnected"},
		{"Alive", subscribeA, cut, "Connected, Subscribed, Unsubscribed, Disconnected"},
	} {
		t.Run(test.held, func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				release := make(chan struct{})
				var mu sync.Mutex
				var events []string
				called := func() []string {
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(events)
				}
				books := newLedger()
				handlers := allow(centrifuge.SubscribeOptions{Presence: true, JoinLeave: true})
				books.keep(&handlers, func(event string) {
					if event == test.held {
						<-release
					}
					mu.Lock()
					defer mu.Unlock()
					events = append(events, event)
				})
				if test.held == "Alive" {
					handlers.Alive = func(context.Context, centrifuge.AliveEvent) { <-release }
				}
				config := noPings
				s := newSite(t, config, handlers)
				p := s.dial(format, transport(format), "u")
				p.commands(append([]string{`{"id":1,"connect":{}}`}, strings.Fields(test.do)...)...)
				if test.held == "Alive" {
					time.Sleep(30 * time.Second)
				}
				synctest.Wait()
				test.end(p)
				time.Sleep(10 * time.Second)
				if got := s.NumSubscribers("a"); got != 0 {
					t.Errorf("the end waited for the callback: s.NumSubscribers(\"a\") = %v; want 0", got)
				}
				if got := called(); slices.Contains(got, "Disconnected") {
					t.Errorf("before the callback returned: %v; want no call of Disconnected", got)
				}
				close(release)
				synctest.Wait()
				if got := strings.Join(called(), ", "); got != test.want {
					t.Errorf("events %s, want %s", got, test.want)
				}
				p.Cut()
				synctest.Wait()
				books.check(t)
			})
		})
	}
}

// TestEndWithinCallback: a callback may itself end what it is about.
func TestEndWithinCallback(t *testing.T) {
	for _, in := range []string{"Connected", "Subscribed", "Unsubscribed"} {
		for what, end := range map[string]func(c *centrifuge.Client){
			"Client.Unsubscribe": func(c *centrifuge.Client) { c.Unsubscribe("a", centrifuge.UnsubscribeServer) },
			"Client.Disconnect":  func(c *centrifuge.Client) { c.Disconnect(centrifuge.DisconnectForceReconnect) },
			"Node.Unsubscribe": func(c *centrifuge.Client) {
				_ = c.Node().Unsubscribe(context.Background(), centrifuge.Target{User: "u"}, "", centrifuge.UnsubscribeServer)
			},
			"Node.Subscribe": func(c *centrifuge.Client) {
				_ = c.Node().Subscribe(context.Background(), centrifuge.Target{User: "u"}, "b", centrifuge.SubscribeOptions{})
			},
		} {
			t.Run(in+"/"+what, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					books := newLedger()
					handlers := allow(centrifuge.SubscribeOptions{})
					var client *centrifuge.Client
					books.keep(&handlers, func(event string) {
						if event == in {
							end(client)
						}
					})
					s := newSite(t, centrifuge.Config{PingInterval: -1}, handlers)
					p := s.dial(jsonV2, transport(jsonV2), "u")
					client = p.Client.Client()
					start := time.Now()
					p.commands(`{"id":1,"connect":{}}`, subscribeA, `{"id":3,"unsubscribe":{"channel":"a"}}`, `{"id":4,"subscribe":{"channel":"a"}}`)
					got := p.received()
					if waited := time.Since(start); waited != 0 {
						t.Errorf("waited %v for itself; want 0", waited)
					}
					if last := got[len(got)-1]; strings.HasPrefix(last, "close 3004") {
						t.Errorf("got %q; want no prefix \"close 3004\"", got)
					}
					p.Cut()
					synctest.Wait()
					books.check(t)
				})
			})
		}
	}
}

// TestResubscribedAfterUnsubscribed: the application is told of the end of a
// subscription before it is told of the next one in the same channel.
func TestResubscribedAfterUnsubscribed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		books := newLedger()
		handlers := allow(centrifuge.SubscribeOptions{})
		books.keep(&handlers, func(event string) {
			if event == "Unsubscribed" {
				<-release
			}
		})
		s := newSite(t, centrifuge.Config{ChannelLimit: 1, PingInterval: -1}, handlers)
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.expect(`{"id":2,"subscribe":{}}`)
		must(t, s.Unsubscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.UnsubscribeInsufficient))
		p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`)
		p.commands(`{"id":3,"subscribe":{"channel":"a"}}`) // its end is still being told of, which takes no place
		time.Sleep(time.Second)                            // replies wait a little for each other
		p.expect(`{"id":3,"subscribe":{}}`)
		if got := books.counts["Subscribed"]; got != 1 {
			t.Errorf("subscribed again before it was unsubscribed: books.counts[\"Subscribed\"] = %v; want 1", got)
		}
		p.Cut()
		synctest.Wait()
		if got := books.counts["Disconnected"]; got != 0 {
			t.Errorf("disconnected before it was unsubscribed: books.counts[\"Disconnected\"] = %v; want 0", got)
		}
		close(release)
		synctest.Wait()
		books.check(t)
	})
}

// TestLeaveFollowsJoin: whenever a connection or a subscription ends, the channel
// is told of its end only if it was told of its beginning, and presence is empty.
func TestLeaveFollowsJoin(t *testing.T) {
	target := centrifuge.Target{User: "u"}
	for _, test := range []struct {
		name string
		fail string // a call of the engine
		end  func(s *site, p *peer)
	}{
		{"closed at once", "", func(_ *site, p *peer) { p.Cut() }},
		{"disconnected", "", func(s *site, p *peer) {
			_ = s.Disconnect(context.Background(), target, centrifuge.DisconnectForceReconnect)
			p.Cut()
		}},
		{"unsubscribed by the server", "", func(s *site, p *peer) {
			_ = s.Unsubscribe(context.Background(), target, "a", centrifuge.UnsubscribeServer)
			p.Cut()
		}},
		{"unsubscribed", "", func(_ *site, p *peer) {
			p.SendRaw([]byte(`{"id":3,"unsubscribe":{"channel":"a"}}`))
			p.Cut()
		}},
		{"the join fails", "PublishJoin", func(_ *site, p *peer) { p.Cut() }},
		{"presence fails", "AddPresence", func(_ *site, p *peer) { p.Cut() }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := newFaultyEngine()
				s := newSite(t, engine.config(), connectingTo("srv", allow(centrifuge.SubscribeOptions{
					Presence: true, JoinLeave: true, PushJoinLeave: true,
				})))
				watcher := s.connect(jsonV2, "watcher")
				watcher.commands(subscribeA)
				watcher.received()
				if test.fail != "" {
					engine.fail(test.fail, errEngine)
				}
				for run := range 200 {
					p := s.dial(jsonV2, transport(jsonV2), "u")
					p.SendRaw([]byte(`{"id":1,"connect":{}}` + "\n" + subscribeA))
					test.end(s, p)
					joined := false
					for _, line := range watcher.received() {
						switch {
						case strings.Contains(line, `"join"`):
							joined = true
						case !joined:
							t.Fatalf("run %d: a leave without a join: %s; want one before it", run, line)
						default:
							joined = false
						}
					}
					if joined {
						t.Fatalf("run %d: a join without a leave; want one", run)
					}
				}
				s.logged()
				if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 1 {
					t.Errorf("presence %+v, %v; want NumClients 1", stats, err)
				}
			})
		})
	}
}

// TestBlockedHandler of a connection that is gone keeps nothing else of it alive,
// nor its place among the connections of its user.
func TestBlockedHandler(t *testing.T) {
	for _, blocked := range []string{"Subscribe", "Subscribed", "Unsubscribed", "RPC", "Alive"} {
		for _, concurrency := range []int{1, 4} {
			t.Run(fmt.Sprint(blocked, concurrency), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					release := make(chan struct{})
					block := func(handler, channel string) {
						if handler == blocked && (channel == "blocked" || channel == "") {
							<-release
						}
					}
					handlers := allow(centrifuge.SubscribeOptions{})
					handlers.Subscribe = func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
						block("Subscribe", e.Channel)
						return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Presence: true, JoinLeave: true}}, nil
					}
					handlers.Subscribed = func(_ context.Context, e centrifuge.SubscribedEvent) { block("Subscribed", e.Channel) }
					handlers.Unsubscribed = func(_ context.Context, e centrifuge.UnsubscribedEvent) { block("Unsubscribed", e.Channel) }
					handlers.RPC = func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
						block("RPC", "")
						return centrifuge.RPCReply{}, nil
					}
					handlers.Alive = func(context.Context, centrifuge.AliveEvent) { block("Alive", "") }
					config := noPings
					config.Concurrency, config.UserConnectionLimit = concurrency, 1
					s := newSite(t, config, handlers)
					p := s.connect(jsonV2, "u")
					p.commands(subscribeA, `{"id":3,"subscribe":{"channel":"b"}}`)
					p.received()
					p.commands(`{"id":4,"subscribe":{"channel":"blocked"}}`)
					synctest.Wait()
					p.commands(`{"id":5,"rpc":{}}`)
					time.Sleep(30 * time.Second)
					p.Cut()
					time.Sleep(10 * time.Second) // commands that came before may take a few seconds
					for _, channel := range []string{"a", "b", "blocked"} {
						if n := s.NumSubscribers(channel); n != 0 {
							t.Errorf("%d subscribers of %s; want 0", n, channel)
						}
						if stats, err := s.PresenceStats(t.Context(), channel); err != nil || stats.NumClients != 0 {
							t.Errorf("presence of %s: %+v, %v; want NumClients 0", channel, stats, err)
						}
					}
					again := s.dial(jsonV2, transport(jsonV2), "u")
					again.commands(`{"id":1,"connect":{}}`)
					if got := again.received(); len(got) != 1 || !strings.Contains(got[0], `"client"`) {
						t.Errorf("connecting again: %q; want length 1 and %q in it", got, `"client"`)
					}
					close(release)
				})
			})
		}
	}
}

// TestBlockedHandlerAndOrders: what the server does to the connections of a user
// does not wait for one whose handler hangs, nor for a callback.
func TestBlockedHandlerAndOrders(t *testing.T) {
	target := centrifuge.Target{User: "u"}
	for _, blocked := range []string{"Subscribe", "Subscribed", "Unsubscribed"} {
		for name, do := range map[string]func(s *site) error{
			"subscribe": func(s *site) error {
				return s.Subscribe(context.Background(), target, "a", centrifuge.SubscribeOptions{Presence: true})
			},
			"unsubscribe": func(s *site) error {
				return s.Unsubscribe(context.Background(), target, "a", centrifuge.UnsubscribeServer)
			},
			"unsubscribe from all": func(s *site) error {
				return s.Unsubscribe(context.Background(), target, "", centrifuge.UnsubscribeServer)
			},
		} {
			t.Run(blocked+"/"+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					release := make(chan struct{})
					first := ""
					block := func(handler string, c *centrifuge.Client) {
						if handler == blocked && c.ID() == first {
							<-release
						}
					}
					handlers := allow(centrifuge.SubscribeOptions{})
					handlers.Subscribe = func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
						block("Subscribe", e.Client)
						return centrifuge.SubscribeReply{}, nil
					}
					handlers.Subscribed = func(_ context.Context, e centrifuge.SubscribedEvent) { block("Subscribed", e.Client) }
					handlers.Unsubscribed = func(_ context.Context, e centrifuge.UnsubscribedEvent) { block("Unsubscribed", e.Client) }
					s := newSite(t, centrifuge.Config{PingInterval: -1}, handlers)
					var peers []*peer
					for range 3 {
						p := s.connect(jsonV2, "u")
						if first == "" {
							first = p.Client.Client().ID()
						}
						p.commands(subscribeA)
						synctest.Wait()
						peers = append(peers, p)
					}
					var work sync.WaitGroup
					work.Go(func() {
						if err := do(s); err != nil {
							t.Error(err)
						}
					})
					synctest.Wait()
					for i, p := range peers[1:] {
						subscribed := p.Client.Client().IsSubscribed("a")
						if subscribed != (name == "subscribe") {
							t.Errorf("connection %d is subscribed: %v; want %v", i+1, subscribed, name == "subscribe")
						}
					}
					if stats, err := s.PresenceStats(t.Context(), "a"); name == "subscribe" && (err != nil || stats.NumClients < 2) {
						t.Errorf("presence %+v, %v; want at least 2 clients", stats, err)
					}
					close(release)
					work.Wait()
				})
			})
		}
	}
}
