package centrifuge_test

import (
	"context"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
)

// farTimes are Unix seconds that a deadline in nanoseconds cannot hold, or hardly.
var farTimes = map[string]int64{
	"in a hundred years":   4102444800,
	"year 2286":            9999999999,
	"most of nanoseconds":  math.MaxInt64 / 1_000_000_000,
	"one more than that":   math.MaxInt64/1_000_000_000 + 1,
	"year 9999":            253402300799,
	"milliseconds":         1795646406000,
	"microseconds":         1795646406000000,
	"nanoseconds":          1795646406000000000,
	"the largest":          math.MaxInt64,
	"twice round the wrap": math.MaxInt64/1_000_000_000*4 + 1,
	"negative":             -1,
	"most negative":        math.MinInt64,
}

// answering is received without pings, which it answers if the peer is to.
func (p *peer) answering(pongs bool) (lines []string, pings int) {
	p.t.Helper()
	for _, line := range p.received() {
		if line != `{}` {
			lines = append(lines, line)
			continue
		}
		pings++
		if pongs {
			p.pong()
		}
	}
	return lines, pings
}

// live answers pings for a time in which nothing else may come.
func (p *peer) live(d time.Duration, pongs bool) (pings int) {
	p.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(time.Second) {
		lines, n := p.answering(pongs)
		pings += n
		if len(lines) > 0 {
			p.t.Fatalf("%v before the end of %v: %s; want nothing", time.Until(end), d, lines)
		}
	}
	return pings
}

// TestFarExpiry: an expiry that is far away closes no connection, asks no client
// to refresh, and stops no pings, whichever option sets it.
func TestFarExpiry(t *testing.T) {
	for name, exp := range farTimes {
		for _, clientSide := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var asked atomic.Int32
					handlers := refreshing(clientSide, func(centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
						asked.Add(1)
						return centrifuge.RefreshReply{ExpireAt: exp}, nil
					}, func(centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
						asked.Add(1)
						return centrifuge.SubRefreshReply{ExpireAt: exp}, nil
					})
					options := centrifuge.SubscribeOptions{ExpireAt: exp}
					handlers.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
						return centrifuge.ConnectingReply{
							Credentials:       &centrifuge.Credentials{UserID: "u", Exp: exp},
							ClientSideRefresh: clientSide,
							Subscriptions:     map[string]centrifuge.SubscribeOptions{"server": options},
						}, nil
					}
					handlers.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
						return centrifuge.SubscribeReply{Options: options, ClientSideRefresh: clientSide}, nil
					}
					s := newSite(t, centrifuge.Config{}, handlers)
					p := s.connect(jsonV2, "u")
					p.commands(subscribeA)
					p.received()
					if pings := p.live(10*time.Minute, true); pings < 20 {
						t.Errorf("%d pings in 10 minutes; want at least 20", pings)
					}
					if n := asked.Load(); n != 0 {
						t.Errorf("asked %d times for a new expiry; want 0", n)
					}
					must(t, s.Refresh(t.Context(), centrifuge.Target{User: "u"}, centrifuge.RefreshOptions{ExpireAt: exp}))
					if clientSide {
						p.commands(`{"id":3,"refresh":{"token":"t"}}`, `{"id":4,"sub_refresh":{"channel":"a","token":"t"}}`)
					}
					if lines, _ := p.answering(true); strings.Contains(strings.Join(lines, ""), "close") {
						t.Errorf("got %s; want no \"close\" in it", lines)
					}
					p.live(10*time.Minute, true)
				})
			})
		}
	}
}

// TestExtremeDurations: every duration of Config may be as long, and as negative, as
// there is: nothing ends early, and nothing that others look after stops.
func TestExtremeDurations(t *testing.T) {
	durations := reflect.VisibleFields(reflect.TypeFor[centrifuge.Config]())
	for _, value := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 2, -1, math.MinInt64} {
		for _, field := range durations {
			if field.Type != reflect.TypeFor[time.Duration]() || field.Name == "WriteDelay" { // which is refused
				continue
			}
			t.Run(field.Name+" "+value.String(), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var config centrifuge.Config
					if field.Name == "PongTimeout" && value > 0 {
						config.PingInterval = -1
					}
					reflect.ValueOf(&config).Elem().FieldByIndex(field.Index).SetInt(int64(value))
					s := newSite(t, config, allow(centrifuge.SubscribeOptions{Positioning: true, Presence: true}))
					p := s.connect(jsonV2, "u")
					p.commands(subscribeA)
					p.received()
					p.live(20*time.Minute, config.PongTimeout >= 0)
					s.publish("a", `1`, centrifuge.PublishOptions{})
					if lines, _ := p.answering(false); !slices.Equal(lines, []string{`{"push":{"channel":"a","pub":{"data":1}}}`}) {
						t.Errorf("got %s; want the publication alone", lines)
					}
				})
			})
		}
	}
}

// TestExtremeTTLs: what the memory engine keeps for as long as there is.
func TestExtremeTTLs(t *testing.T) {
	for _, ttl := range []time.Duration{math.MaxInt64, math.MaxInt64 - 1, math.MaxInt64 / 2} {
		t.Run(ttl.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := noPings
				config.Broker = centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{HistoryMetaTTL: ttl})
				config.PresenceManager = centrifuge.NewMemoryPresence(ttl)
				s := newSite(t, config, allow(centrifuge.SubscribeOptions{Presence: true, Positioning: true, HistoryMetaTTL: ttl}))
				p := s.connect(jsonV2, "u")
				p.commands(subscribeA)
				p.received()
				keep := centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: ttl, HistoryMetaTTL: ttl, IdempotencyKey: "k", IdempotencyTTL: ttl}
				first := s.publish("a", `1`, keep)
				time.Sleep(24 * time.Hour)
				if again := s.publish("a", `2`, keep); again.Suppressed != centrifuge.SuppressedIdempotency || again.StreamPosition != first.StreamPosition {
					t.Errorf("published again: %+v; want Suppressed %v and StreamPosition %v",
						again, centrifuge.SuppressedIdempotency, first.StreamPosition)
				}
				if h, err := s.History(t.Context(), "a", centrifuge.HistoryOptions{Limit: -1}); err != nil || len(h.Publications) != 1 {
					t.Errorf("history %+v, %v; want len(Publications) 1", h, err)
				}
				if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 1 {
					t.Errorf("presence %+v, %v; want NumClients 1", stats, err)
				}
			})
		})
	}
}

// TestWithoutPresenceInterval: expiry and positions do not need it.
func TestWithoutPresenceInterval(t *testing.T) {
	for _, interval := range []time.Duration{-1, math.MinInt64, 24 * time.Hour, math.MaxInt64} {
		t.Run(interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var alive atomic.Int32
				handlers := refreshing(true, nil, nil)
				handlers.Alive = func(context.Context, centrifuge.AliveEvent) { alive.Add(1) }
				s := newSite(t, centrifuge.Config{PingInterval: -1, PresenceInterval: interval}, handlers)
				p := s.connect(jsonV2, "u")
				p.commands(subscribeA)
				p.received()
				time.Sleep(34 * time.Second)
				p.expect() // the delay is not over
				time.Sleep(30 * time.Second)
				p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`)
				if alive.Load() != 0 {
					t.Errorf("Alive was called %d times; want 0", alive.Load())
				}
			})
			synctest.Test(t, func(t *testing.T) {
				broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
				config := centrifuge.Config{Broker: broker, PingInterval: -1, PresenceInterval: interval}
				s := newSite(t, config, allow(centrifuge.SubscribeOptions{Positioning: true}))
				p := s.connect(jsonV2, "u")
				p.commands(subscribeA)
				p.received()
				broker.lose.Store(true)
				s.publish("a", `1`, history)
				time.Sleep(2 * time.Minute)
				p.expectInsufficient("a")
			})
		})
	}
}

// TestAnnouncedPing: a client must not give up before the ping comes, nor miss that
// it has to answer.
func TestAnnouncedPing(t *testing.T) {
	for _, test := range []struct {
		interval time.Duration
		want     string
	}{
		{500 * time.Millisecond, `,"ping":1,"pong":true`},
		{999 * time.Millisecond, `,"ping":1,"pong":true`},
		{time.Second, `,"ping":1,"pong":true`},
		{1001 * time.Millisecond, `,"ping":2,"pong":true`},
		{24 * 24 * time.Hour, `,"ping":2073600,"pong":true`},
		{24*24*time.Hour + 1, ``}, // more than a JavaScript timer holds
		{math.MaxInt64, ``},
		{-1, ``},
	} {
		t.Run(test.interval.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				config := centrifuge.Config{PingInterval: test.interval, PongTimeout: 250 * time.Millisecond}
				s := newSite(t, config, centrifuge.Handlers{})
				p := s.dial(jsonV2, transport(jsonV2), "u")
				p.commands(`{"id":1,"connect":{}}`)
				p.expect(`{"id":1,"connect":{"client":"<id>","version":"test"` + test.want + `}}`)
				if test.interval < 0 || test.interval > time.Minute {
					return
				}
				for range 20 {
					p.WaitPing()
					p.pong()
				}
				p.WaitPing()
				if why := p.Closed(); why != centrifuge.DisconnectNoPong {
					t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectNoPong)
				}
			})
		})
	}
}

// TestWallClockIsSet: deadlines are kept whatever is done to the wall clock, which
// bubbles alone cannot do.
func TestWallClockIsSet(t *testing.T) {
	for _, step := range []time.Duration{-time.Hour, time.Hour, -20 * 365 * 24 * time.Hour, 100 * 365 * 24 * time.Hour} {
		t.Run(step.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { testWallClockIsSet(t, step) })
		})
	}
}

func testWallClockIsSet(t *testing.T, step time.Duration) {
	var skew atomic.Int64
	wall := func() time.Time { return time.Now().Round(0).Add(time.Duration(skew.Load())) }
	refresh := func(centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
		return centrifuge.RefreshReply{ExpireAt: wall().Unix() + 1000}, nil
	}
	config := centrifuge.Config{ExpiredSubCloseDelay: -1}
	s := newSite(t, config, refreshing(true, refresh, nil))
	s.SetWallClock(wall)
	stale, expires, refreshes := s.dial(jsonV2, transport(jsonV2), "u"), s.connect(jsonV2, "u"), s.connect(jsonV2, "u")
	refreshes.commands(subscribeA)
	refreshes.received()
	skew.Store(int64(step))
	refreshes.commands(`{"id":3,"refresh":{"token":"t"}}`)
	refreshes.expect(`{"id":3,"refresh":{"client":"<id>","version":"test","expires":true,"ttl":1000}}`)
	ends := make(map[string]time.Duration)
	var pings int
	time.Sleep(500 * time.Millisecond) // never look at the very moment of a deadline
	for start := time.Now(); time.Since(start) < 3*time.Minute; time.Sleep(time.Second) {
		for name, p := range map[string]*peer{"stale": stale, "expires": expires, "refreshes": refreshes} {
			lines, n := p.answering(true)
			pings += n
			if len(lines) > 0 && ends[name+" "+lines[0]] == 0 {
				ends[name+" "+lines[0]] = time.Since(start)
			}
		}
	}
	want := map[string]time.Duration{
		"stale " + stale.closes(centrifuge.DisconnectStale):                                              15 * time.Second,
		"expires " + expires.closes(centrifuge.DisconnectExpired):                                        35 * time.Second,
		`refreshes {"push":{"channel":"a","unsubscribe":{"code":2501,"reason":"subscription expired"}}}`: 25 * time.Second,
	}
	if !maps.Equal(ends, want) {
		t.Errorf("got %v, want %v", ends, want)
	}
	if pings < 7 {
		t.Errorf("%d pings in 3 minutes; want at least 7", pings)
	}
}
