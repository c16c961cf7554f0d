package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// refreshing is an application whose connections and subscriptions expire in
// ten seconds. The handlers are asked for a new expiry.
func refreshing(clientSide bool, refresh func(centrifuge.RefreshEvent) (centrifuge.RefreshReply, error), subRefresh func(centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error)) centrifuge.Handlers {
	handlers := centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			reply := centrifuge.ConnectingReply{ClientSideRefresh: clientSide}
			if refresh != nil {
				reply.Credentials = &centrifuge.Credentials{UserID: "u", Exp: time.Now().Unix() + 10}
			}
			return reply, nil
		},
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{
				Options: centrifuge.SubscribeOptions{ExpireAt: time.Now().Unix() + 10}, ClientSideRefresh: clientSide,
			}, nil
		},
	}
	if refresh != nil {
		handlers.Refresh = func(_ context.Context, e centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) { return refresh(e) }
	}
	if subRefresh != nil {
		handlers.SubRefresh = func(_ context.Context, e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
			return subRefresh(e)
		}
	}
	return handlers
}

// noPings keeps a client that does nothing connected.
var noPings = centrifuge.Config{PingInterval: -1}

// TestRefreshCommand: protocol.md 5.4.
func TestRefreshCommand(t *testing.T) {
	for _, test := range []struct {
		name   string
		reply  centrifuge.RefreshReply
		in     time.Duration // ExpireAt, from now
		err    error
		want   string
		closed centrifuge.Disconnect
		logged int
	}{
		{name: "prolonged", in: time.Minute, want: `{"id":2,"refresh":{"client":"<id>","version":"test","expires":true,"ttl":60}}`},
		{name: "without expiry", want: `{"id":2,"refresh":{"client":"<id>","version":"test"}}`},
		{name: "expired token", reply: centrifuge.RefreshReply{Expired: true}, closed: centrifuge.DisconnectExpired},
		{name: "in the past", in: -time.Second, want: refused(2, centrifuge.ErrorExpired)},
		{name: "invalid token", err: centrifuge.DisconnectInvalidToken, closed: centrifuge.DisconnectInvalidToken},
		{name: "backend down", err: errEngine, want: refused(2, centrifuge.ErrorInternal), logged: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, noPings, refreshing(true, func(e centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
					if !e.ClientSideRefresh || e.Token != "new" {
						t.Errorf("event %+v; want a refresh by the client with token \"new\"", e)
					}
					if test.in != 0 {
						test.reply.ExpireAt = time.Now().Add(test.in).Unix()
					}
					return test.reply, test.err
				}, nil))
				p := s.connect(format, "u")
				p.commands(`{"id":2,"refresh":{"token":"new"}}`)
				if test.want == "" {
					p.expect(p.closes(test.closed))
				} else {
					p.expect(test.want)
				}
				if logged := s.logged(); len(logged) != test.logged {
					t.Errorf("logged %q; want length %v", logged, test.logged)
				}
				if test.name == "without expiry" {
					time.Sleep(time.Hour)
					p.expect()
				}
			})
		})
	}
}

func TestRefreshWithoutToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, noPings, refreshing(true, func(centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
			return centrifuge.RefreshReply{}, nil
		}, nil))
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"refresh":{}}`)
		p.expect(badRequest)
	})
}

// TestSubRefreshByServer: a client may ask for what the server does when a subscription that
// it refreshes itself has expired (protocol.md 6.8).
func TestSubRefreshByServer(t *testing.T) {
	for _, test := range []struct {
		name  string
		reply centrifuge.SubRefreshReply
		in    time.Duration
		err   error
		want  string
	}{
		{name: "prolonged", in: time.Minute, want: `{"id":3,"sub_refresh":{"expires":true,"ttl":60}}`},
		{name: "expired", reply: centrifuge.SubRefreshReply{Expired: true}, want: refused(3, centrifuge.ErrorExpired)},
		{name: "not known", err: centrifuge.ErrorNotAvailable, want: refused(3, centrifuge.ErrorBadRequest)},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				s := newSite(t, noPings, refreshing(false, nil, func(e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
					if e.ClientSideRefresh || e.Token != "" {
						t.Errorf("event %+v; want that of the server", e)
					}
					if test.in != 0 {
						test.reply.ExpireAt = time.Now().Add(test.in).Unix()
					}
					return test.reply, test.err
				}))
				p := s.connect(format, "u")
				p.commands(subscribeA)
				p.expect(`{"id":2,"subscribe":{}}`)
				p.commands(`{"id":3,"sub_refresh":{"channel":"a"}}`)
				p.expect(test.want)
			})
		})
	}
}

// TestSubRefreshCommand: protocol.md 6.8.
func TestSubRefreshCommand(t *testing.T) {
	for _, test := range []struct {
		name    string
		request string
		reply   centrifuge.SubRefreshReply
		in      time.Duration
		err     error
		want    string
		closed  centrifuge.Disconnect
	}{
		{name: "prolonged", request: `"channel":"a","token":"t"`, in: time.Minute, want: `{"id":3,"sub_refresh":{"expires":true,"ttl":60}}`},
		{name: "without expiry", request: `"channel":"a","token":"t"`, want: `{"id":3,"sub_refresh":{}}`},
		{name: "expired token", request: `"channel":"a","token":"t"`, reply: centrifuge.SubRefreshReply{Expired: true}, want: refused(3, centrifuge.ErrorExpired)},
		{name: "in the past", request: `"channel":"a","token":"t"`, in: -time.Second, want: refused(3, centrifuge.ErrorExpired)},
		{name: "not subscribed", request: `"channel":"b","token":"t"`, want: refused(3, centrifuge.ErrorPermissionDenied)},
		{name: "no token", request: `"channel":"a"`, want: refused(3, centrifuge.ErrorBadRequest)},
		{name: "track", request: `"channel":"a","token":"t","type":1`, want: refused(3, centrifuge.ErrorNotAvailable)},
		{name: "invalid token", request: `"channel":"a","token":"t"`, err: centrifuge.DisconnectInvalidToken, closed: centrifuge.DisconnectInvalidToken},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				s := newSite(t, noPings, refreshing(true, nil, func(e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
					if test.in != 0 {
						test.reply.ExpireAt = time.Now().Add(test.in).Unix()
					}
					return test.reply, test.err
				}))
				p := s.connect(format, "u")
				p.commands(subscribeA)
				p.expect(`{"id":2,"subscribe":{"expires":true,"ttl":10}}`)
				p.commands(`{"id":3,"sub_refresh":{` + test.request + `}}`)
				if test.want == "" {
					p.expect(p.closes(test.closed))
					return
				}
				p.expect(test.want)
			})
		})
	}
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, noPings, refreshing(false, nil, nil)) // refreshed by the server
		p := s.connect(format, "u")
		p.commands(subscribeA, `{"id":3,"sub_refresh":{"channel":"a","token":"t"}}`)
		p.expect(`{"id":2,"subscribe":{}}`, badRequest)
	})
}

// TestConnectionExpires: a client that does not refresh is closed after the
// delay, and one that does is not.
func TestConnectionExpires(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, noPings, refreshing(true, func(centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
			return centrifuge.RefreshReply{ExpireAt: time.Now().Unix() + 100}, nil
		}, nil))
		p, refreshes := s.connect(format, "u"), s.connect(format, "u")
		time.Sleep(9 * time.Second)
		refreshes.commands(`{"id":2,"refresh":{"token":"t"}}`)
		refreshes.received()
		time.Sleep(25 * time.Second)
		p.expect()
		time.Sleep(2 * time.Second) // 10 s and the delay of 25 s have passed
		p.expect(p.closes(centrifuge.DisconnectExpired))
		refreshes.expect()
		time.Sleep(99 * time.Second)
		refreshes.expect(p.closes(centrifuge.DisconnectExpired))
	})
}

// TestServerRefreshes: the application is asked at the expiry.
func TestServerRefreshes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var asked []time.Duration
		start := time.Now()
		s := newSite(t, noPings, refreshing(false, func(e centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
			mu.Lock()
			defer mu.Unlock()
			asked = append(asked, time.Since(start).Round(time.Second))
			if e.ClientSideRefresh || e.Token != "" {
				t.Errorf("event %+v; want a refresh by the server without a token", e)
			}
			switch len(asked) {
			case 1:
				return centrifuge.RefreshReply{ExpireAt: time.Now().Unix() + 20, Info: []byte(`{"new":1}`)}, nil
			case 2:
				return centrifuge.RefreshReply{}, errEngine // tried again in a minute
			}
			return centrifuge.RefreshReply{Expired: true}, nil
		}, nil))
		p := s.connect(jsonV2, "u")
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if info := string(p.Client.Client().Info()); info != `{"new":1}` {
			t.Errorf("info %q; want %q", info, `{"new":1}`)
		}
		p.commands(`{"id":2,"refresh":{"token":"t"}}`) // not its own to do
		p.expect(badRequest)
		mu.Lock()
		asked, start = asked[:1], time.Now()
		mu.Unlock()
		p = s.connect(jsonV2, "u")
		if why := p.Closed(); why != centrifuge.DisconnectExpired {
			t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectExpired)
		}
		mu.Lock()
		defer mu.Unlock()
		if got := fmt.Sprint(asked[1:]); got != "[10s 1m10s]" {
			t.Errorf("asked at %s; want \"[10s 1m10s]\"", got)
		}
		if logged := s.logged(); len(logged) != 1 {
			t.Errorf("logged %q; want length 1", logged)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, noPings, refreshing(false, func(centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
			return centrifuge.RefreshReply{}, centrifuge.DisconnectForceNoReconnect
		}, nil))
		if why := s.connect(jsonV2, "u").Closed(); why != centrifuge.DisconnectForceNoReconnect {
			t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectForceNoReconnect)
		}
	})
}

// TestSubscriptionExpires on a tick after its expiry and the delay.
func TestSubscriptionExpires(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, noPings, refreshing(true, nil, nil))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		time.Sleep(26 * time.Second) // a tick before the delay is over
		p.expect()
		time.Sleep(25 * time.Second)
		if format.V1() {
			p.expect(p.closes(centrifuge.DisconnectSubExpired))
			return
		}
		p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`)
		p.commands(`{"id":3,"subscribe":{"channel":"a"}}`)
		p.expect(`{"id":3,"subscribe":{"expires":true,"ttl":10}}`)
	})
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		handlers := centrifuge.Handlers{Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {ExpireAt: time.Now().Unix() + 10}}}, nil
		}}
		s := newSite(t, noPings, handlers)
		p := s.connect(format, "u")
		time.Sleep(51 * time.Second)
		p.expect(p.closes(centrifuge.DisconnectSubExpired))
	})
}

// TestServerRefreshesSubscription on a tick after its expiry, without a delay.
func TestServerRefreshesSubscription(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		s := newSite(t, noPings, refreshing(false, nil, func(e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
			switch calls.Add(1) {
			case 1:
				return centrifuge.SubRefreshReply{ExpireAt: time.Now().Unix() + 30, Info: []byte(`1`)}, nil
			case 2:
				return centrifuge.SubRefreshReply{}, errors.New("backend down")
			}
			return centrifuge.SubRefreshReply{Expired: true}, nil
		}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.expect(`{"id":2,"subscribe":{}}`)
		for i, want := range []int{1, 1, 2, 2, 2} { // ticks every 25 s; the third is 30 s after the first
			time.Sleep(25*time.Second + 100*time.Millisecond)
			synctest.Wait()
			if int(calls.Load()) != want {
				t.Errorf("tick %d: asked %d times, want %d", i, calls.Load(), want)
			}
		}
		p.expect()
		time.Sleep(25*time.Second + 100*time.Millisecond)
		p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`)
		if logged := s.logged(); len(logged) != 1 {
			t.Errorf("logged %q; want length 1", logged)
		}
	})
}

// TestSubscriptionWithoutRefresh: a subscription that no handler prolongs has the delay
// like any other, and is prolonged if a refresh comes before the delay has passed.
func TestSubscriptionWithoutRefresh(t *testing.T) {
	type handler = func(centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error)
	cannotTell := func(centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
		return centrifuge.SubRefreshReply{}, fmt.Errorf("asking: %w", centrifuge.ErrorNotAvailable)
	}
	for _, test := range []struct {
		name       string
		delay      time.Duration
		serverSide bool
		handler    handler
		want       time.Duration // when it ends; it expires after 10 s, and is looked at each second
	}{
		{"server-side, no handler", 3 * time.Second, true, nil, 13 * time.Second},
		{"server-side, cannot tell", 3 * time.Second, true, cannotTell, 13 * time.Second},
		{"server-side, no delay", -1, true, cannotTell, 10 * time.Second},
		{"server-side, without expiry", math.MaxInt64, true, cannotTell, 0},
		{"no handler", 3 * time.Second, false, nil, 13 * time.Second},
		{"cannot tell", 3 * time.Second, false, cannotTell, 13 * time.Second},
		{"known to have expired", 3 * time.Second, true, func(centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
			return centrifuge.SubRefreshReply{Expired: true}, nil
		}, 10 * time.Second},
		{"told late", 3 * time.Second, true, func() handler {
			asked := 0 // the handler is called by one goroutine after another
			return func(e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
				if asked++; asked != 2 {
					return cannotTell(e)
				}
				return centrifuge.SubRefreshReply{ExpireAt: time.Now().Unix() + 20}, nil
			}
		}(), 34 * time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := centrifuge.Config{PingInterval: -1, PresenceInterval: time.Second, ExpiredSubCloseDelay: test.delay}
				s := newSite(t, config, refreshing(false, nil, test.handler))
				p := s.connect(jsonV2, "u")
				if test.serverSide {
					options := centrifuge.SubscribeOptions{ExpireAt: time.Now().Unix() + 10}
					must(t, s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "a", options))
				} else {
					p.commands(subscribeA)
				}
				time.Sleep(500 * time.Millisecond)
				p.received()
				for passed := time.Second; passed <= time.Minute; passed += time.Second {
					time.Sleep(time.Second)
					if got := p.received(); len(got) > 0 {
						if passed != test.want {
							t.Errorf("%s after %v, want %v", got, passed, test.want)
						}
						return
					}
				}
				if test.want != 0 {
					t.Error("it does not end; want an end")
				}
			})
		})
	}
}
