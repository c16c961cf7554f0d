package centrifuge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// batching gathers the publications of every channel.
func batching(o centrifuge.BatchOptions) centrifuge.Config {
	return centrifuge.Config{ChannelBatch: func(string) centrifuge.BatchOptions { return o }}
}

func pushOf(n int) string {
	return fmt.Sprintf(`{"push":{"channel":"a","pub":{"data":{"i":%d},"offset":%d}}}`, n, n)
}

// numbered publishes n to m into channel a, with history.
func (s *site) numbered(n, m int) {
	s.t.Helper()
	for ; n <= m; n++ {
		s.publish("a", fmt.Sprintf(`{"i":%d}`, n), history)
	}
}

// TestBatch: publications wait for their time or their number.
func TestBatch(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, batching(centrifuge.BatchOptions{MaxDelay: time.Second / 2, MaxSize: 3}), allow(centrifuge.SubscribeOptions{Positioning: true}))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		s.numbered(1, 2)
		p.expect()
		time.Sleep(time.Second / 2)
		p.expect(pushes(1, 2)...)
		s.numbered(3, 5)
		p.expect(pushes(3, 5)...)
	})
}

// pushes are those that carry the publications from first to last. The first of
// a stream tells its epoch.
func pushes(first, last int) (lines []string) {
	for n := first; n <= last; n++ {
		line := pushOf(n)
		if n == 1 {
			line = strings.Replace(line, `"offset":1`, `"offset":1,"epoch":"<e>"`, 1)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestBatchDelayIsBounded, and the check of positions does not take a
// publication that waits for one that was lost.
func TestBatchDelayIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := batching(centrifuge.BatchOptions{MaxDelay: time.Hour})
		config.PingInterval = -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Positioning: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		s.numbered(1, 1)
		time.Sleep(centrifuge.MaxBatchDelay)
		p.expect(pushes(1, 1)...)
		for n := 2; n <= 200; n++ { // at every moment of a tick
			time.Sleep(25*time.Second + 150*time.Millisecond*time.Duration(n%7))
			s.numbered(n, n)
			time.Sleep(centrifuge.MaxBatchDelay)
			p.expect(pushes(n, n)...)
		}
	})
}

// TestBatchAndRecovery: who comes, goes and comes back in the middle of a batch
// gets everything once. A batch that leaves out publications is no gap, and what
// it left out can be recovered.
func TestBatchAndRecovery(t *testing.T) {
	for _, latest := range []bool{false, true} {
		t.Run(fmt.Sprintf("latest=%v", latest), func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				s := newSite(t, batching(centrifuge.BatchOptions{MaxDelay: time.Second, FlushLatest: latest}), allow(centrifuge.SubscribeOptions{Recovery: true}))
				stays, leaves := s.connect(format, "u"), s.connect(format, "u")
				for _, p := range []*peer{stays, leaves} {
					p.commands(subscribeA)
					p.received()
				}
				s.numbered(1, 2)
				time.Sleep(time.Second)
				sent := pushes(1, 2)
				if latest {
					sent = sent[1:]
				}
				stays.expect(sent...)
				leaves.expect(sent...)

				s.numbered(3, 5) // waits
				leaves.Cut()
				leaves.received()
				s.numbered(6, 6)
				back := s.connect(format, "u")
				back.commands(`{"id":2,"subscribe":{"channel":"a","recover":true,"offset":2,"epoch":"` + s.epoch("a") + `"}}`)
				back.expect(`{"id":2,"subscribe":{` + recoveryResult(format, 6, 2, publications(3, 6), false) + `}}`)
				fresh := s.connect(format, "u")
				fresh.commands(subscribeA)
				fresh.received()
				s.numbered(7, 8)
				time.Sleep(time.Second)
				all, rest := pushes(3, 8), pushes(7, 8)
				if latest {
					all, rest = all[5:], rest[1:]
				}
				stays.expect(all...)
				back.expect(rest...)
				fresh.expect(rest...)

				superseded := uint64(0)
				if latest {
					superseded = 1 + 5
				}
				if got := s.Stats().PublicationsSuperseded; got != superseded {
					t.Errorf("%d publications were left out, want %d", got, superseded)
				}
				again := s.connect(format, "u")
				again.commands(`{"id":2,"subscribe":{"channel":"a","recover":true,"offset":1,"epoch":"` + s.epoch("a") + `"}}`)
				again.expect(`{"id":2,"subscribe":{` + recoveryResult(format, 8, 1, publications(2, 8), false) + `}}`)
			})
		})
	}
}

// TestBatchAndGap: what the broker lost is told as ever, latest or not.
func TestBatchAndGap(t *testing.T) {
	for _, latest := range []bool{false, true} {
		inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
			broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
			config := batching(centrifuge.BatchOptions{MaxDelay: time.Second, FlushLatest: latest})
			config.Broker = broker
			s := newSite(t, config, allow(centrifuge.SubscribeOptions{Positioning: true}))
			p := s.connect(format, "u")
			p.commands(subscribeA)
			p.received()
			s.numbered(1, 1)
			broker.lose.Store(true)
			s.numbered(2, 2)
			broker.lose.Store(false)
			s.numbered(3, 4)
			time.Sleep(time.Second)
			got := p.received()
			if len(got) != 2 || !strings.Contains(got[0], `"data":{"i":1}`) || !strings.Contains(got[1], "insufficient state") {
				t.Errorf("after a loss: %q; want length 2, %q in it and \"insufficient state\" in it", got, `"data":{"i":1}`)
			}
		})
	}
}

// TestBatchAndJoins: joins and leaves travel with the publications.
func TestBatchAndJoins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, batching(centrifuge.BatchOptions{MaxDelay: time.Second}), allow(centrifuge.SubscribeOptions{JoinLeave: true, PushJoinLeave: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		time.Sleep(time.Second)
		p.received()
		other := s.connect(jsonV2, "v")
		s.publish("a", `1`, centrifuge.PublishOptions{})
		other.commands(subscribeA)
		other.received()
		s.publish("a", `2`, centrifuge.PublishOptions{})
		other.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		other.expect(`{"id":3,"unsubscribe":{}}`) // its batch has not come yet
		p.expect()
		time.Sleep(time.Second)
		var kinds []string
		for _, line := range p.received() {
			for _, kind := range []string{"pub", "join", "leave"} {
				if strings.Contains(line, `"`+kind+`":`) {
					kinds = append(kinds, kind)
				}
			}
		}
		if got := strings.Join(kinds, " "); got != "pub join pub leave" {
			t.Errorf("came: %s; want \"pub join pub leave\"", got)
		}
		other.expect()
	})
}

// TestBatchEnds: a batch without subscribers is dropped, and another subscriber
// of the channel does not get it. A node that shuts down sends what waits.
func TestBatchEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, batching(centrifuge.BatchOptions{MaxDelay: time.Second}), allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		s.publish("a", `1`, centrifuge.PublishOptions{})
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`, `{"id":4,"subscribe":{"channel":"a"}}`)
		p.expect(`{"id":3,"unsubscribe":{}}`, `{"id":4,"subscribe":{}}`)
		time.Sleep(2 * time.Second)
		p.expect()
		s.publish("a", `2`, centrifuge.PublishOptions{})
		s.publish("a", `3`, centrifuge.PublishOptions{})
		p.expect()
		must(t, s.Shutdown(t.Context()))
		got := p.received()
		if n := len(got); n == 0 || !strings.HasPrefix(got[n-1], "close 3001 ") {
			t.Fatalf("at the shutdown came %q; want more than 0 and prefix \"close 3001 \"", got)
		}
		// What is on its way in that moment may be cut off, but has its order.
		want := []string{`{"push":{"channel":"a","pub":{"data":2}}}`, `{"push":{"channel":"a","pub":{"data":3}}}`}
		for i, line := range got[:len(got)-1] {
			if i >= len(want) || line != want[i] {
				t.Errorf("message %d is %s; want %v", i, line, want[i])
			}
		}
	})
}

// TestBatchOptionsAreAskedOnce, for the first subscriber of a channel.
func TestBatchOptionsAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked []string // under the keylock of one channel
		s := newSite(t, centrifuge.Config{ChannelBatch: func(channel string) centrifuge.BatchOptions {
			asked = append(asked, channel)
			return centrifuge.BatchOptions{}
		}}, allow(centrifuge.SubscribeOptions{}))
		for range 3 {
			p := s.connect(jsonV2, "u")
			p.commands(subscribeA)
			p.received()
			s.publish("a", `1`, centrifuge.PublishOptions{})
			p.expect(`{"push":{"channel":"a","pub":{"data":1}}}`)
		}
		if len(asked) != 1 || asked[0] != "a" {
			t.Errorf("asked for %q; want length 1 and [0] \"a\"", asked)
		}
	})
}
