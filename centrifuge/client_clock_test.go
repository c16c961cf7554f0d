package centrifuge_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// slack is what the timing wheel may add to a deadline.
const slack = 100 * time.Millisecond

// pong is the empty command.
func (p *peer) pong() {
	if p.format.Protobuf() {
		p.SendRaw([]byte{0})
	} else {
		p.SendRaw([]byte("{}"))
	}
}

// TestPingCadence: the first ping in the second half of the interval, then one
// every interval whatever else is sent (protocol.md 5.3).
func TestPingCadence(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		firsts := make(map[time.Duration]bool)
		for range 8 {
			start := time.Now()
			p := s.connect(format, "u")
			p.WaitPing()
			first := time.Since(start)
			if first < 12500*time.Millisecond || first > 25*time.Second+slack {
				t.Errorf("the first ping came after %v; want at least %v and at most %v",
					first, 12500*time.Millisecond, 25*time.Second+slack)
			}
			firsts[first.Round(time.Second)] = true
			p.Cut()
		}
		if len(firsts) < 2 {
			t.Error("the first pings do not spread; want length at least 2")
		}
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		p.WaitPing()
		last := time.Now()
		for range 3 {
			p.pong()
			for range 20 {
				s.publish("a", `1`, centrifuge.PublishOptions{})
				time.Sleep(time.Second)
			}
			p.WaitPing()
			if d := time.Since(last); d < 25*time.Second-slack || d > 25*time.Second+slack {
				t.Errorf("a ping came after %v; want at least %v and at most %v", d, 25*time.Second-slack, 25*time.Second+slack)
			}
			last = time.Now()
		}
	})
}

// TestNoPong: a client that does not answer is closed, one that does is not.
func TestNoPong(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
		p := s.connect(format, "u")
		for range 5 {
			p.WaitPing()
			p.pong()
		}
		p.WaitPing()
		start := time.Now()
		if why := p.Closed(); why != centrifuge.DisconnectNoPong {
			t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectNoPong)
		}
		if d := time.Since(start); d < 10*time.Second || d > 10*time.Second+slack {
			t.Errorf("closed after %v; want at least %v and at most %v", d, 10*time.Second, 10*time.Second+slack)
		}
	})
}

// TestPongs: one for each ping, in any spelling.
func TestPongs(t *testing.T) {
	for _, spelling := range []string{`{}`, "{}\n", `null`, `{ }`, `{"publish":{"channel":"a"}}`, `{"connect":{}}`} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
			p := s.connect(jsonV2, "u")
			p.WaitPing()
			p.SendRaw([]byte(spelling))
			p.expect()
			p.SendRaw([]byte(spelling))
			p.expect(badRequest)
		})
	}
}

// TestNativePing: V1, and whoever asks for it, gets pings of the transport.
func TestNativePing(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
		info := transport(format)
		info.NativePing = !format.V1()
		p := s.dial(format, info, "u")
		p.commands(`{"id":1,"connect":{}}`)
		p.expect(`{"id":1,"connect":{"client":"<id>","version":"test"}}`)
		for range 4 {
			seen := p.Pings()
			for p.Pings() == seen {
				time.Sleep(time.Second)
			}
			p.Client.Conn().Pong()
			p.Client.Conn().Pong() // unsolicited native pongs are legal
		}
		p.expect()
		time.Sleep(36 * time.Second)
		p.expect(p.closes(centrifuge.DisconnectNoPong))
	})
}

// TestUnidirectionalClientsDoNotPong.
func TestUnidirectionalClientsDoNotPong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
		p := s.dial(protocol.FormatUni, transport(protocol.FormatUni), "u")
		p.commands(`{"id":1,"connect":{}}`)
		for range 5 {
			p.WaitPing()
		}
	})
}

// TestStale: connections that never connect.
func TestStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
		start := time.Now()
		for range 1000 {
			s.dial(jsonV2, transport(jsonV2), "u")
		}
		p := s.dial(jsonV2, transport(jsonV2), "u")
		if why := p.Closed(); why != centrifuge.DisconnectStale {
			t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectStale)
		}
		if d := time.Since(start); d < 15*time.Second || d > 15*time.Second+slack {
			t.Errorf("closed after %v; want at least %v and at most %v", d, 15*time.Second, 15*time.Second+slack)
		}
		synctest.Wait()
		if n := s.NumClients(); n != 0 {
			t.Errorf("%d connections are left; want 0", n)
		}
	})
}

// TestStaleWhileConnecting: the application takes too long.
func TestStaleWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{
			Connecting: func(ctx context.Context, _ centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
				<-ctx.Done()
				return centrifuge.ConnectingReply{}, nil // as if nothing had been
			},
		})
		p := s.dial(jsonV2, transport(jsonV2), "u")
		p.commands(`{"id":1,"connect":{}}`)
		if why := p.Closed(); why != centrifuge.DisconnectStale {
			t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectStale)
		}
	})
}

// TestPresenceIsRenewed on every tick, and so outlives its TTL.
func TestPresenceIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, noPings, allow(centrifuge.SubscribeOptions{Presence: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		for range 20 {
			time.Sleep(17 * time.Second)
			if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 1 {
				t.Fatalf("presence stats %+v, %v; want NumClients 1", stats, err)
			}
		}
		p.Cut()
		synctest.Wait()
		if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 0 {
			t.Errorf("presence stats %+v, %v; want NumClients 0", stats, err)
		}
	})
}

// TestNoGhostPresence: a renewal that takes long does not outlive the subscription.
func TestNoGhostPresence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newFaultyEngine()
		config := engine.config()
		config.PingInterval = -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Presence: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		engine.on(func(_ context.Context, call string) error {
			if call == "AddPresence" {
				time.Sleep(2 * time.Second)
			}
			return nil
		})
		time.Sleep(26 * time.Second) // in the middle of the renewal
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		time.Sleep(3 * time.Second)
		p.expect(`{"id":3,"unsubscribe":{}}`)
		if stats, err := s.PresenceStats(t.Context(), "a"); err != nil || stats.NumClients != 0 {
			t.Errorf("presence stats %+v, %v; want NumClients 0", stats, err)
		}
	})
}

// TestSlowTicksDoNotOverlap.
func TestSlowTicksDoNotOverlap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newFaultyEngine()
		config := engine.config()
		config.PingInterval = -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Presence: true, Positioning: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		var running, most atomic.Int32
		engine.on(func(context.Context, string) error {
			most.Store(max(most.Load(), running.Add(1)))
			defer running.Add(-1)
			time.Sleep(time.Minute)
			return nil
		})
		time.Sleep(10 * time.Minute)
		if most.Load() != 1 {
			t.Errorf("%d ticks at a time; want 1", most.Load())
		}
		engine.on(func(context.Context, string) error { return nil })
		time.Sleep(2 * time.Minute)
		p.expect()
	})
}

// TestPositionIsChecked: a publication that was lost without anybody noticing
// is found out (protocol.md 6.5).
func TestPositionIsChecked(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		s := newSite(t, centrifuge.Config{Broker: broker, PingInterval: -1}, allow(centrifuge.SubscribeOptions{Positioning: true}))
		p, healthy := s.connect(format, "u"), s.connect(format, "u")
		p.commands(subscribeA)
		healthy.commands(`{"id":2,"subscribe":{"channel":"b"}}`)
		s.publish("b", `1`, history)
		healthy.received()
		p.received()
		broker.lose.Store(true)
		s.publish("a", `1`, history)
		broker.lose.Store(false)
		time.Sleep(39 * time.Second)
		p.expect() // not before the delay
		time.Sleep(40 * time.Second)
		p.expectInsufficient("a")
		time.Sleep(10 * time.Minute)
		healthy.expect()
	})
	synctest.Test(t, func(t *testing.T) {
		broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		handlers := connecting(centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {Positioning: true}}}, nil)
		s := newSite(t, centrifuge.Config{Broker: broker, PingInterval: -1}, handlers)
		p := s.connect(jsonV2, "u")
		broker.lose.Store(true)
		s.publish("a", `1`, history)
		time.Sleep(2 * time.Minute)
		p.expect("close 3010 insufficient state") // server-side
	})
}

// TestPositionCheckFails: the next one tells.
func TestPositionCheckFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newFaultyEngine()
		config := engine.config()
		config.PingInterval = -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Positioning: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		engine.fail("History", errEngine)
		time.Sleep(10 * time.Minute)
		p.expect()
	})
}

// TestWriteStall: a socket that takes nothing for the write timeout.
func TestWriteStall(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, noPings, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		p.Stick(true)
		s.publish("a", `1`, centrifuge.PublishOptions{})
		synctest.Wait()
		time.Sleep(900 * time.Millisecond)
		p.Stick(false)
		if got := p.received(); len(got) != 1 {
			t.Fatalf("got %q; want length 1", got)
		}
		time.Sleep(time.Hour) // it has taken everything: all is well
		p.Stick(true)
		s.publish("a", `2`, centrifuge.PublishOptions{})
		synctest.Wait()
		start := time.Now()
		if why := p.Closed(); why.Code != centrifuge.DisconnectWriteError.Code {
			t.Errorf("closed with %v; want Code %v", why, centrifuge.DisconnectWriteError.Code)
		}
		if d := time.Since(start); d < time.Second || d > time.Second+slack {
			t.Errorf("closed after %v; want at least %v and at most %v", d, time.Second, time.Second+slack)
		}
	})
}

// TestSlowReader: the queue is bounded.
func TestSlowReader(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		config := noPings
		config.QueueSize = 10_000
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		p.Stick(true)
		payload := `"` + strings.Repeat("x", 40) + `"`
		for range 100 {
			s.publish("a", payload, centrifuge.PublishOptions{})
		}
		synctest.Wait()
		if _, ended := p.Ended(); ended {
			t.Fatal("closed below the limit; want it open")
		}
		for range 100 {
			s.publish("a", payload, centrifuge.PublishOptions{})
		}
		synctest.Wait()
		if why, ended := p.Ended(); !ended || why.Code != centrifuge.DisconnectSlow.Code {
			t.Errorf("ended: %v, %v; want true, %v", ended, why, centrifuge.DisconnectSlow)
		}
	})
}

// TestPatience: a slow handler holds up neither the replies before it nor the
// publications behind them.
func TestPatience(t *testing.T) {
	for _, slow := range []string{"rpc", "subscribed"} {
		t.Run(slow, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				handlers := allow(centrifuge.SubscribeOptions{})
				if slow == "rpc" {
					handlers.RPC = func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
						time.Sleep(time.Second)
						return centrifuge.RPCReply{}, nil
					}
				} else {
					handlers.Subscribed = func(context.Context, centrifuge.SubscribedEvent) { time.Sleep(time.Second) }
				}
				s := newSite(t, centrifuge.Config{}, handlers)
				p := s.connect(format, "u")
				p.commands(subscribeA, `{"id":3,"rpc":{}}`)
				time.Sleep(500 * time.Millisecond)
				s.publish("a", `1`, centrifuge.PublishOptions{})
				p.expect(`{"id":2,"subscribe":{}}`, `{"push":{"channel":"a","pub":{"data":1}}}`)
				time.Sleep(time.Second)
				p.expect(`{"id":3,"rpc":{}}`)
			})
		})
	}
}

// TestAlive comes once every interval.
func TestAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		s := newSite(t, noPings, centrifuge.Handlers{
			Alive: func(context.Context, centrifuge.AliveEvent) { calls.Add(1) },
		})
		s.connect(jsonV2, "u")
		time.Sleep(4*25*time.Second + time.Second)
		if calls.Load() != 4 {
			t.Errorf("called %d times in 4 intervals; want 4", calls.Load())
		}
	})
}
