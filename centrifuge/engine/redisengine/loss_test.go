package redisengine_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
)

// recovered reports whether a client at a position would be told that it has recovered
// (protocol.md 5.4), and with what.
func (b *running) recovered(channel string, since centrifuge.StreamPosition) (ok bool, missed []*centrifuge.Publication) {
	b.t.Helper()
	got, err := b.History(b.t.Context(), channel, centrifuge.HistoryOptions{Limit: -1, Since: &since})
	if errors.Is(err, centrifuge.ErrorUnrecoverablePosition) {
		return false, nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	if len(got.Publications) == 0 {
		return got.Offset == since.Offset, nil
	}
	first, last := got.Publications[0], got.Publications[len(got.Publications)-1]
	return first.Offset == since.Offset+1 && last.Offset == got.Offset, got.Publications
}

// TestEviction: without any one key, a client is told the truth: it has recovered with what
// was published, or it has not.
func TestEviction(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for _, lists := range []bool{false, true} {
		for _, key := range []string{"stream", "stream.meta", "list", "list.meta"} {
			for _, after := range []int{0, 1, 3, 5} {
				channel := fmt.Sprintf("%v-%s-%d", lists, key, after)
				b := startBroker(t, single(s), redisengine.BrokerConfig{HistoryUseLists: lists})
				var at centrifuge.StreamPosition
				for i := range 3 {
					at = b.publish(channel, fmt.Sprint(i), kept).StreamPosition
				}
				s.Do("DEL", "centrifugo."+key+"."+channel)
				other := startBroker(t, single(s), redisengine.BrokerConfig{HistoryUseLists: lists}) // has seen nothing
				for i := range after {
					other.publish(channel, fmt.Sprintf("after %d", i), kept)
				}
				for _, reader := range []*running{other, b} {
					ok, missed := reader.recovered(channel, at)
					if ok && len(missed) != after {
						t.Errorf("%s: recovered with %d publications; want %d", channel, len(missed), after)
					}
					for i, p := range missed {
						if want := fmt.Sprintf("after %d", i); ok && string(p.Data) != want {
							t.Errorf("%s: recovered with %s, want %s", channel, p.Data, want)
						}
					}
				}
			}
		}
	}
}

// TestLostWrites: a server that was restored to an earlier state would give an offset again
// in the same epoch. A node that has seen the later one begins a new epoch, with the next
// publication or reading.
func TestLostWrites(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	for name, next := range map[string]func(b *running, channel string) centrifuge.StreamPosition{
		"publish": func(b *running, channel string) centrifuge.StreamPosition {
			return b.publish(channel, "new", kept).StreamPosition
		},
		"read": func(b *running, channel string) centrifuge.StreamPosition {
			return b.history(channel, centrifuge.HistoryOptions{}).StreamPosition
		},
	} {
		for _, how := range []string{"published", "received"} {
			channel := name + how
			b := startBroker(t, single(s), redisengine.BrokerConfig{})
			publisher := b
			if how == "received" {
				b.subscribe(channel)
				publisher = startBroker(t, single(s), redisengine.BrokerConfig{})
			}
			var at centrifuge.StreamPosition
			for i := range 3 {
				at = publisher.publish(channel, fmt.Sprint(i), kept).StreamPosition
			}
			if how == "received" {
				b.want(t, channel+" 2 3")
			}
			s.Do("HSET", "centrifugo.stream.meta."+channel, "s", "1")
			s.Do("XDEL", "centrifugo.stream."+channel, "2-0", "3-0")
			if got := next(b, channel); got.Epoch == at.Epoch || got.Offset > 1 {
				t.Errorf("%s: at %+v after %+v, want a new epoch", channel, got, at)
			}
			if ok, _ := b.recovered(channel, at); ok {
				t.Errorf("%s: a client at a lost position has recovered; want it refused", channel)
			}
		}
	}
}

// TestLostWritesAreOvertaken: after a restart with lost data, another node has published so
// much that the stream is ahead again of what the first node has seen. Without a loss that is
// no reason for a new epoch.
func TestLostWritesAreOvertaken(t *testing.T) {
	t.Parallel()
	for _, loss := range []bool{true, false} {
		s := redistest.StartDurable(t)
		b := startBroker(t, single(s), redisengine.BrokerConfig{})
		b.subscribe("x")
		var at centrifuge.StreamPosition
		for i := range 3 {
			at = b.publish("x", fmt.Sprint(i), kept).StreamPosition
		}
		s.Kill()
		b.awaitFailure()
		s.Restart()
		if loss {
			s.Do("HSET", "centrifugo.stream.meta.x", "s", "1")
			s.Do("XDEL", "centrifugo.stream.x", "2-0", "3-0")
		}
		b.awaitHealth()
		other := startBroker(t, single(s), redisengine.BrokerConfig{})
		for i := range 5 {
			if got := other.publish("x", fmt.Sprintf("other %d", i), kept); got.Epoch != at.Epoch {
				t.Fatalf("a node that has seen nothing begins epoch %s; want %s", got.Epoch, at.Epoch)
			}
		}
		b.want(t, "x other 4") // arrives before the node compares
		got := b.publish("x", "new", kept)
		if renewed := got.Epoch != at.Epoch; renewed != loss {
			t.Errorf("loss %v: published to %+v after %+v; want another epoch if there was a loss", loss, got, at)
		}
		if ok, _ := b.recovered("x", at); ok {
			t.Errorf("loss %v: a client that has missed more than there is has recovered; want it refused", loss)
		}
	}
}

// TestRestart: with data on disk, epochs survive and clients recover. Without, they are told.
func TestRestart(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(testing.TB, ...string) *redistest.Server{"durable": redistest.StartDurable, "in memory": redistest.Start} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			b := startBroker(t, single(s), redisengine.BrokerConfig{})
			b.subscribe("x")
			at := b.publish("x", "1", kept)
			b.want(t, "x 1 1")
			s.Kill()
			b.awaitFailure()
			if _, err := b.try("x", "lost", kept); err == nil {
				t.Error("publishing to a server that is not there has succeeded; want an error")
			}
			s.Restart()
			next := b.persistently("x", "2", kept)
			if same := next.Epoch == at.Epoch && next.Offset == at.Offset+1; same != (name == "durable") {
				t.Errorf("published to %+v after %+v; want %v", next, at, name == "durable")
			}
			b.awaitHealth()
			await.Until(t, "the gap to be reported", func() bool { return b.gap("x") })
			b.publish("x", "3", kept)
			b.want(t, "x 3 ")
			if ok, missed := b.recovered("x", at.StreamPosition); ok != (name == "durable") || ok && len(missed) != 2 {
				t.Errorf("%s: recovered %v with %d; want it of a durable server only, with 2", name, ok, len(missed))
			}
		})
	}
}

// TestLossIsSeen: a broker counts streams that have a new epoch, and writes one line for many.
// Those of channels that it has not used before are no loss.
func TestLossIsSeen(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	var mu sync.Mutex
	var lines []centrifuge.LogEntry
	config := single(s)
	config.LogHandler = func(e centrifuge.LogEntry) {
		mu.Lock()
		defer mu.Unlock()
		if e.Fields["count"] != nil {
			lines = append(lines, e)
		}
	}
	r, err := redisengine.New(config)
	if err != nil {
		t.Fatal(err)
	}
	b := &running{redisengine.NewBroker(r, redisengine.BrokerConfig{}), &receiver{}, t}
	if err := b.Start(b.receiver); err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, b)
	const channels = 20
	for range 2 {
		for i := range channels {
			b.publish(fmt.Sprint("channel", i), "1", kept)
		}
	}
	if n := b.Stats().EpochsRenewed.Load(); n != 0 {
		t.Errorf("%d epochs renewed without a loss; want 0", n)
	}
	s.Do("FLUSHALL")
	for range 2 {
		for i := range channels {
			b.publish(fmt.Sprint("channel", i), "2", kept)
		}
		b.publish("unused", "2", kept)
	}
	if n := b.Stats().EpochsRenewed.Load(); n != channels {
		t.Errorf("%d epochs renewed; want %d", n, channels)
	}
	logged := 0
	await.Until(t, "the losses to be logged", func() bool {
		mu.Lock()
		defer mu.Unlock()
		logged = 0
		for _, line := range lines {
			n, _ := line.Fields["count"].(int)
			logged += n
		}
		return logged >= channels
	})
	if logged != channels {
		t.Errorf("%d losses logged; want %d", logged, channels)
	}
}
