package centrifuge_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// soon is within moments: a lost publication is found after the time that it might
// have been on its way.
const soon = 3 * time.Second

// loseIn publishes into channels, and the publications reach no subscriber.
func (b *lossyBroker) loseIn(s *site, channels ...string) {
	b.lose.Store(true)
	for _, channel := range channels {
		s.publish(channel, `"lost"`, history)
	}
	b.lose.Store(false)
}

// TestHandleGap: the positioned subscribers of the affected channels that have missed
// something recover at once. The others notice nothing.
func TestHandleGap(t *testing.T) {
	for _, batched := range []bool{false, true} {
		inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
			broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
			config := centrifuge.Config{Broker: broker, PingInterval: -1}
			if batched {
				config.ChannelBatch = func(string) centrifuge.BatchOptions {
					return centrifuge.BatchOptions{MaxDelay: time.Hour} // as long as is allowed
				}
			}
			handlers := allow(centrifuge.SubscribeOptions{})
			handlers.Subscribe = func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
				return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{Recovery: e.Channel != "plain"}}, nil
			}
			s := newSite(t, config, handlers)
			subscribe := func(channel string) *peer {
				p := s.connect(format, "u")
				p.commands(`{"id":2,"subscribe":{"channel":"` + channel + `"}}`)
				p.received()
				return p
			}
			behind, other, atTop, plain := subscribe("behind"), subscribe("other shard"), subscribe("top"), subscribe("plain")
			broker.loseIn(s, "behind", "other shard", "plain")
			s.publish("top", `1`, history)
			time.Sleep(soon)
			atTop.received()
			s.BrokerEvents().HandleGap(func(channel string) bool { return channel != "other shard" })
			time.Sleep(soon)
			behind.expectInsufficient("behind")
			atTop.expect()
			plain.expect()
			other.expect()
			s.BrokerEvents().HandleGap(nil)
			time.Sleep(soon)
			other.expectInsufficient("other shard")
			atTop.expect()
			plain.expect()
		})
	}
}

// TestHandleGapRetries: an engine that reports a gap may not be able to read yet.
func TestHandleGapRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newFaultyEngine()
		config := engine.config()
		config.PingInterval, config.PositionCheckDelay = -1, -1
		lossy := &lossyBroker{MemoryBroker: engine.MemoryBroker}
		config.Broker = struct {
			*faultyEngine
			start
		}{engine, lossy}
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Recovery: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		lossy.loseIn(s, "a")
		engine.fail("History", errEngine)
		s.BrokerEvents().HandleGap(nil)
		time.Sleep(3 * time.Second)
		p.expect()
		engine.fail("", nil)
		time.Sleep(10 * time.Second)
		p.expectInsufficient("a")

		p.commands(subscribeA)
		p.received()
		lossy.loseIn(s, "a")
		var reads atomic.Int64
		engine.on(func(_ context.Context, call string) error {
			if call == "History" {
				reads.Add(1)
				return errEngine
			}
			return nil
		})
		s.BrokerEvents().HandleGap(nil)
		time.Sleep(10 * time.Minute)
		if n := reads.Load(); n < 3 || n > 10 {
			t.Errorf("reads of a stream that always fail = %d, want a few", n)
		}
		p.expect()
	})
}

// start is the part of a broker that sets its handler.
type start interface {
	Start(h centrifuge.BrokerHandler) error
}

// TestHandleGapIsBounded: reports that follow each other closely are checked together,
// and streams are read in parallel, a bounded number at a time.
func TestHandleGapIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const channels = 300
		engine := newFaultyEngine()
		config := engine.config()
		config.PingInterval, config.ChannelLimit = -1, -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Recovery: true}))
		p := s.connect(jsonV2, "u")
		for i := range channels {
			p.commands(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"c%d"}}`, i+2, i))
		}
		p.received()
		var reads, now, most atomic.Int64
		engine.on(func(_ context.Context, call string) error {
			if call != "History" {
				return nil
			}
			reads.Add(1)
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(10 * time.Millisecond)
			now.Add(-1)
			return nil
		})
		for range 1000 {
			s.BrokerEvents().HandleGap(nil)
			time.Sleep(10 * time.Microsecond)
		}
		start := time.Now()
		for most := time.Now().Add(soon); now.Load() > 0 && time.Now().Before(most); {
			time.Sleep(time.Millisecond)
		}
		if took := time.Since(start); took > 200*time.Millisecond {
			t.Errorf("reading took %v, want it in parallel", took)
		}
		time.Sleep(soon)
		if n := reads.Load(); n < channels || n > 3*channels {
			t.Errorf("%d reads; want %d to %d", n, channels, 3*channels)
		}
		if n := most.Load(); n < 2 || n > 128 {
			t.Errorf("%d reads at a time, want a bounded number", n)
		}
		p.expect()
	})
}

// TestHandleGapWhileSubscribing: a subscription that has read its position and is not
// live yet is compared too.
func TestHandleGapWhileSubscribing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		slow := slowReply{HistoryBroker: broker, release: make(chan struct{})}
		s := newSite(t, centrifuge.Config{Broker: slow, PingInterval: -1}, allow(centrifuge.SubscribeOptions{Recovery: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		synctest.Wait() // the position is read, the reply on its way
		broker.loseIn(s, "a")
		s.BrokerEvents().HandleGap(nil)
		synctest.Wait()
		close(slow.release)
		time.Sleep(soon)
		got := p.received()
		want := `{"push":{"channel":"a","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`
		if len(got) == 0 || got[len(got)-1] != want {
			t.Errorf("got %q, want the last to be %s", got, want)
		}
	})
}

// slowReply reads at once, and returns what it has read when it is released.
type slowReply struct {
	centrifuge.HistoryBroker
	release chan struct{}
}

// History implements centrifuge.HistoryBroker.
func (b slowReply) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error) {
	result, err := b.HistoryBroker.History(ctx, channel, opts)
	<-b.release
	return result, err
}

// TestHandleGapOfABadEngine: a function that panics stands for all channels, and a
// broker without history has nothing to compare.
func TestHandleGapOfABadEngine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		s := newSite(t, centrifuge.Config{Broker: broker, PingInterval: -1}, allow(centrifuge.SubscribeOptions{Recovery: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeA)
		p.received()
		broker.loseIn(s, "a")
		s.BrokerEvents().HandleGap(func(string) bool { panic(boom) })
		time.Sleep(soon)
		p.expectInsufficient("a")
		if logged := s.logged(); len(logged) != 1 {
			t.Errorf("logged %q, want the panic", logged)
		}
		plain := newSite(t, centrifuge.Config{Broker: struct{ centrifuge.Broker }{centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}},
			allow(centrifuge.SubscribeOptions{}))
		plain.BrokerEvents().HandleGap(nil)
		time.Sleep(soon)
	})
}
