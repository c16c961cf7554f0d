package centrifuge_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestSubscribeAgain checks that Node.Subscribe updates a subscription that exists, whether
// the client or the server made it, and logs what it did not change.
func TestSubscribeAgain(t *testing.T) {
	in := func(d time.Duration) int64 { return time.Now().Add(d).Unix() }
	const push = `{"push":{"channel":"a","subscribe":`
	for _, test := range []struct {
		name   string
		was    centrifuge.SubscribeOptions
		opts   func() centrifuge.SubscribeOptions
		client bool // also true of a client-side subscription
		gets   []string
		warns  string
		lasts  time.Duration // how long the subscription lives on; 0: without a limit
		check  func(t *testing.T, s *site, p *peer)
	}{
		{name: "nothing", client: true, opts: func() centrifuge.SubscribeOptions { return centrifuge.SubscribeOptions{} }},
		{name: "expiry", client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{ExpireAt: in(time.Hour)}
		}, lasts: time.Hour},
		{name: "later expiry", was: centrifuge.SubscribeOptions{ExpireAt: 946684800 + 60}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{ExpireAt: in(time.Hour)}
		}, lasts: time.Hour},
		{name: "sooner expiry", was: centrifuge.SubscribeOptions{ExpireAt: 946684800 + 7200}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{ExpireAt: in(time.Minute)}
		}, lasts: time.Minute},
		{name: "no expiry", was: centrifuge.SubscribeOptions{ExpireAt: 946684800 + 60}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{}
		}},
		{name: "past expiry", client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{ExpireAt: in(-time.Minute)}
		}, warns: "expired"},
		{name: "info", was: centrifuge.SubscribeOptions{Presence: true, Info: []byte(`1`)}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{Presence: true, Info: []byte(`2`)}
		}, check: func(t *testing.T, s *site, p *peer) {
			presence, err := s.Presence(t.Context(), "a")
			must(t, err)
			if info := presence[p.Client.Client().ID()]; info == nil || string(info.ChanInfo) != `2` {
				t.Errorf("presence %+v; want ChanInfo %q", info, `2`)
			}
		}},
		{name: "info kept", was: centrifuge.SubscribeOptions{Presence: true, Info: []byte(`1`)}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{Presence: true}
		}, check: func(t *testing.T, s *site, p *peer) {
			presence, err := s.Presence(t.Context(), "a")
			must(t, err)
			if info := presence[p.Client.Client().ID()]; info == nil || string(info.ChanInfo) != `1` {
				t.Errorf("presence %+v; want ChanInfo %q", info, `1`)
			}
		}},
		{name: "presence on", client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{Presence: true}
		}, check: func(t *testing.T, s *site, _ *peer) {
			time.Sleep(10 * time.Minute) // it is renewed
			if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 1 {
				t.Errorf("presence %+v, %v; want NumClients 1", stats, err)
			}
		}},
		{name: "presence off", was: centrifuge.SubscribeOptions{Presence: true}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{}
		}, check: func(t *testing.T, s *site, _ *peer) {
			time.Sleep(10 * time.Minute)
			if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 0 {
				t.Errorf("presence %+v, %v; want NumClients 0", stats, err)
			}
		}},
		{name: "joins and leaves", client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{JoinLeave: true, PushJoinLeave: true}
		}, gets: []string{`{"push":{"channel":"a","join":{"info":{"user":"u","client":"<id>"}}}}`}, check: func(t *testing.T, s *site, p *peer) {
			s.BrokerEvents().HandleLeave("a", &centrifuge.ClientInfo{User: "other"})
			p.expect(`{"push":{"channel":"a","leave":{"info":{"user":"other","client":""}}}}`)
		}},
		{name: "no joins", was: centrifuge.SubscribeOptions{PushJoinLeave: true}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{}
		}, check: func(_ *testing.T, s *site, p *peer) {
			s.BrokerEvents().HandleJoin("a", &centrifuge.ClientInfo{User: "other"})
			p.expect()
		}},
		{name: "data", opts: func() centrifuge.SubscribeOptions { return centrifuge.SubscribeOptions{Data: []byte(`[1]`)} },
			gets: []string{push + `{"data":[1]}}}`}},
		{name: "data and position", was: centrifuge.SubscribeOptions{Recovery: true}, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{Recovery: true, Data: []byte(`[1]`)}
		}, gets: []string{push + `{"recoverable":true,"epoch":"<e>","offset":3,"positioned":true,"data":[1]}}}`}},
		{name: "fewer", was: centrifuge.SubscribeOptions{Recovery: true}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{}
		}},
		{name: "recovery", was: centrifuge.SubscribeOptions{Positioning: true}, client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{Recovery: true}
		}, warns: "but for its recovery"},
		{name: "positioning", client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{Positioning: true, RecoverSince: &centrifuge.StreamPosition{}}
		}, warns: "but for its positioning, position to recover from"},
		{name: "filter", client: true, opts: func() centrifuge.SubscribeOptions {
			return centrifuge.SubscribeOptions{ServerTagsFilter: &centrifuge.FilterNode{}}
		}, warns: "but for its tags filter of the server"},
	} {
		for _, client := range []bool{false, true} {
			if client && !test.client {
				continue
			}
			t.Run(test.name, func(t *testing.T) {
				inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
					s := newSite(t, centrifuge.Config{PingInterval: -1, LogLevel: centrifuge.LogWarn, ExpiredSubCloseDelay: -1}, allow(test.was))
					s.publishRun("a", 3, 10)
					p := s.connect(format, "u")
					target := centrifuge.Target{User: "u"}
					if client {
						p.commands(subscribeA)
					} else {
						must(t, s.Subscribe(t.Context(), target, "a", test.was))
					}
					p.received()
					must(t, s.Subscribe(t.Context(), target, "a", test.opts()))
					p.expect(test.gets...)
					if logged := s.logged(); (len(logged) > 0) != (test.warns != "") || test.warns != "" && !strings.Contains(logged[0], test.warns) {
						t.Errorf("logged %q; want %q", logged, test.warns)
					}
					if test.check != nil {
						test.check(t, s, p)
					}
					if test.lasts == 0 {
						time.Sleep(24 * time.Hour)
					} else {
						time.Sleep(test.lasts - time.Second)
					}
					if !p.Client.Client().IsSubscribed("a") {
						t.Error("it has ended before its time; want it to last")
					}
					time.Sleep(time.Minute)
					if test.lasts != 0 && p.Client.Client().IsSubscribed("a") {
						t.Error("it has not expired; want it ended")
					}
				})
			})
		}
	}
}

// TestSubscribeAgainWithToken checks that a subscription which its client refreshes keeps
// its expiry if a call does not name one.
func TestSubscribeAgainWithToken(t *testing.T) {
	for name, expireAt := range map[string]int64{"no expiry": 0, "expiry": 946684800 + 600} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				handlers := allow(centrifuge.SubscribeOptions{})
				handlers.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
					return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{ExpireAt: 946684800 + 60}, ClientSideRefresh: true}, nil
				}
				s := newSite(t, centrifuge.Config{PingInterval: -1, ExpiredSubCloseDelay: -1}, handlers)
				p := s.connect(format, "u")
				p.commands(subscribeA)
				p.received()
				must(t, s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.SubscribeOptions{ExpireAt: expireAt}))
				time.Sleep(5 * time.Minute)
				if subscribed := p.Client.Client().IsSubscribed("a"); subscribed != (expireAt != 0) {
					t.Errorf("subscribed after five minutes: %v; want %v", subscribed, expireAt != 0)
				}
				time.Sleep(10 * time.Minute)
				p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`)
			})
		})
	}
}

// TestSubscribeAgainData checks that a client-side subscription is not sent data.
func TestSubscribeAgainData(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{LogLevel: centrifuge.LogWarn}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		must(t, s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.SubscribeOptions{Data: []byte(`1`)}))
		p.expect()
		if logged := s.logged(); len(logged) != 1 || !strings.Contains(logged[0], "but for its data (only server-side") {
			t.Errorf("logged %q; want length 1 and \"but for its data (only server-side\" in it", logged)
		}
	})
}

// TestSubscribeAgainWaits checks that a call waits for a subscription that is being made,
// and makes one if that fails.
func TestSubscribeAgainWaits(t *testing.T) {
	for name, err := range map[string]error{"made": nil, "refused": centrifuge.ErrorPermissionDenied} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				handlers := allow(centrifuge.SubscribeOptions{})
				handlers.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
					time.Sleep(time.Second)
					return centrifuge.SubscribeReply{}, err
				}
				s := newSite(t, centrifuge.Config{LogLevel: centrifuge.LogWarn, PingInterval: -1}, handlers)
				p := s.connect(jsonV2, "u")
				p.commands(subscribeA)
				synctest.Wait()
				must(t, s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.SubscribeOptions{Presence: true}))
				p.received()
				if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 1 {
					t.Errorf("presence %+v, %v; want NumClients 1", stats, err)
				}
				if server := len(p.Client.Client().ServerSideChannels()) == 1; server != (err != nil) {
					t.Errorf("the subscription is the server's: %v; want %v", server, err != nil)
				}
			})
		})
	}
}

// TestSubscribeAgainRaces runs calls together with the end of the subscription and of the
// connection, and with renewals. Presence, joins and leaves agree in the end.
func TestSubscribeAgainRaces(t *testing.T) {
	books := newLedger()
	handlers := allow(centrifuge.SubscribeOptions{Presence: true, JoinLeave: true})
	books.keep(&handlers, nil)
	s := newSite(t, centrifuge.Config{PingInterval: -1, PresenceInterval: time.Millisecond}, handlers)
	var work sync.WaitGroup
	for _, user := range []string{"u", "v", "w", "x"} {
		work.Go(func() {
			target, ctx := centrifuge.Target{User: user}, context.Background()
			for run := range 300 {
				p := s.dial(jsonV2, transport(jsonV2), user)
				p.SendRaw([]byte(`{"id":1,"connect":{}}` + "\n" + subscribeA))
				p.Next()
				var acts sync.WaitGroup
				acts.Go(func() {
					_ = s.Subscribe(ctx, target, "a", centrifuge.SubscribeOptions{Presence: run%2 == 0, JoinLeave: run%3 == 0, Info: []byte(`1`)})
				})
				acts.Go(func() { _ = s.Unsubscribe(ctx, target, "a", centrifuge.UnsubscribeServer) })
				acts.Go(func() {
					p.SendRaw([]byte(`{"id":3,"unsubscribe":{"channel":"a"}}` + "\n" + `{"id":4,"subscribe":{"channel":"a"}}`))
				})
				acts.Wait()
				p.Cut()
			}
		})
	}
	work.Wait()
	if stats, err := s.PresenceStats(t.Context(), "a"); err == nil && stats.NumClients != 0 && s.NumClients() == 0 {
		t.Errorf("presence %+v; want 0 once no client is left", stats)
	}
	must(t, s.Shutdown(context.Background()))
	if sent := s.Stats(); sent.JoinsSent != sent.LeavesSent || sent.JoinsSent == 0 {
		t.Errorf("%d joins, %d leaves; want as many, and some", sent.JoinsSent, sent.LeavesSent)
	}
	books.check(t)
}
