package centrifuge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// slowSite has a peer that is subscribed to the channels a, b and c. It does not read.
func slowSite(t *testing.T, format protocol.Format, opts centrifuge.SubscribeOptions) (*site, *peer) {
	t.Helper()
	config := noPings
	config.QueueSize, config.WriteTimeout = 10_000, -1
	s := newSite(t, config, allow(opts))
	p := s.connect(format, "u")
	for i, channel := range []string{"a", "b", "c"} {
		p.commands(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%s"}}`, i+2, channel))
	}
	if got := p.received(); len(got) != 3 {
		t.Fatalf("subscribing: %q; want length 3", got)
	}
	p.Stick(true)
	return s, p
}

// flood publishes n publications of about 100 bytes into a channel, and returns the last.
func (s *site) flood(channel string, n int) (last uint64) {
	s.t.Helper()
	for i := range n {
		last = s.publish(channel, fmt.Sprintf(`{"n":%d,"pad":"%s"}`, i+1, strings.Repeat("x", 40)), history).Offset
		synctest.Wait() // what is published at once is offered to the socket at once
	}
	return last
}

// TestSlowLatest: a client that reads on gets the newest publication of each channel, and
// everything from then on.
func TestSlowLatest(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s, p := slowSite(t, format, centrifuge.SubscribeOptions{Recovery: true, Slow: centrifuge.SlowLatest})
		newest := map[string]uint64{"a": s.flood("a", 500), "b": s.flood("b", 300)}
		if _, ended := p.Ended(); ended {
			t.Fatal("the client was closed; want it open")
		}
		p.Stick(false)
		synctest.Wait()
		got, count := map[string]uint64{}, 0
		for p.Pending() > 0 {
			push := p.Read().Push
			if push.Pub.Offset <= got[push.Channel] {
				t.Fatalf("publication %d of %s after %d; want a later one", push.Pub.Offset, push.Channel, got[push.Channel])
			}
			got[push.Channel] = push.Pub.Offset
			count++
		}
		if fmt.Sprint(got) != fmt.Sprint(newest) {
			t.Errorf("the newest are %v; want %v", got, newest)
		}
		if stats := s.Stats(); stats.SlowSuperseded != uint64(800-count) || count > 200 || stats.SlowGaps+stats.SlowDisconnected != 0 {
			t.Errorf("%d publications came, %d were superseded; want 800 in all and few sent", count, stats.SlowSuperseded)
		}
		s.publish("a", `1`, history)
		p.expect(`{"push":{"channel":"a","pub":{"data":1,"offset":501}}}`)
	})
}

// TestSlowDropOldest: the client gets what was queued, is told of the gap, and recovers.
// Its other subscriptions go on.
func TestSlowDropOldest(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s, p := slowSite(t, format, centrifuge.SubscribeOptions{Recovery: true, Slow: centrifuge.SlowDropOldest})
		last := s.flood("a", 150)
		if _, ended := p.Ended(); ended {
			t.Fatal("the client was closed; want it open")
		}
		p.Stick(false)
		synctest.Wait()
		at := uint64(0)
		for p.Pending() > 1 {
			at++
			if push := p.Read().Push; push == nil || push.Pub == nil || push.Pub.Offset != at {
				t.Fatalf("got %+v; want publication %d", push, at)
			}
		}
		p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`)
		if at == 0 || at >= last {
			t.Fatalf("%d publications came before the gap; want more than 0 and less than %v", at, last)
		}
		p.commands(fmt.Sprintf(`{"id":9,"subscribe":{"channel":"a","recover":true,"offset":%d}}`, at))
		synctest.Wait()
		if result := p.Read().Subscribe; !result.Recovered || len(result.Publications) != int(last-at) {
			t.Errorf("recovered %v with %d publications; want %d", result.Recovered, len(result.Publications), last-at)
		}
		s.publish("b", `1`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"b","pub":{"data":1}}}`)
		if stats := s.Stats(); stats.SlowGaps != 1 || stats.SlowSuperseded+stats.SlowDisconnected != 0 {
			t.Errorf("%d gaps, %d superseded, %d disconnected; want 1, 0, 0", stats.SlowGaps, stats.SlowSuperseded, stats.SlowDisconnected)
		}
	})
}

// TestSlowDropOldestByConnection: a client that cannot be told by an unsubscribe push is
// told by the end of its connection.
func TestSlowDropOldestByConnection(t *testing.T) {
	opts := centrifuge.SubscribeOptions{Recovery: true, Slow: centrifuge.SlowDropOldest}
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s, p := slowSite(t, format, opts)
		if !format.V1() {
			if err := s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "server", opts); err != nil {
				t.Fatal(err)
			}
			s.flood("server", 150)
		} else {
			s.flood("a", 150)
		}
		p.Stick(false)
		synctest.Wait()
		if why := p.Closed(); why.Code != centrifuge.DisconnectInsufficientState.Code {
			t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectInsufficientState)
		}
	})
}

// TestSlowDisconnect is the policy where there is none.
func TestSlowDisconnect(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s, p := slowSite(t, format, centrifuge.SubscribeOptions{Recovery: true})
		s.flood("a", 150)
		if why, ended := p.Ended(); !ended || why.Code != centrifuge.DisconnectSlow.Code {
			t.Errorf("ended %v, %v; want %v", ended, why, centrifuge.DisconnectSlow)
		}
		if n := s.Stats().SlowDisconnected; n != 1 {
			t.Errorf("%d disconnected; want 1", n)
		}
	})
}
