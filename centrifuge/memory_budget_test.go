package centrifuge_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
)

// budgeted is a site whose memory broker has a budget.
func budgeted(t *testing.T, config centrifuge.MemoryBrokerConfig) (*site, *centrifuge.MemoryBroker) {
	t.Helper()
	broker := centrifuge.NewMemoryBroker(config)
	return newSite(t, centrifuge.Config{Broker: broker, PingInterval: -1}, allow(centrifuge.SubscribeOptions{Recovery: true})), broker
}

// TestMemoryBudget: whatever makes the engine remember something, it stays
// within its budget, and what is asked of it succeeds.
func TestMemoryBudget(t *testing.T) {
	const n = 3000
	publish := func(s *site, i int, opts centrifuge.PublishOptions) {
		s.publish(fmt.Sprintf("c%d", i), `"some data"`, opts)
	}
	for _, test := range []struct {
		name   string
		config centrifuge.MemoryBrokerConfig
		do     func(s *site, i int)
	}{
		{"publications to new channels", centrifuge.MemoryBrokerConfig{HistoryMaxSize: 100_000}, func(s *site, i int) { publish(s, i, history) }},
		{"a number of channels", centrifuge.MemoryBrokerConfig{HistoryMaxSize: -1, HistoryMaxChannels: 100}, func(s *site, i int) { publish(s, i, history) }},
		{"history of new channels", centrifuge.MemoryBrokerConfig{HistoryMaxSize: 100_000}, func(s *site, i int) { s.epoch(fmt.Sprintf("c%d", i)) }},
		{"idempotency keys", centrifuge.MemoryBrokerConfig{HistoryMaxSize: 100_000}, func(s *site, i int) {
			publish(s, i, centrifuge.PublishOptions{IdempotencyKey: "key"})
		}},
		{"few channels, many publications", centrifuge.MemoryBrokerConfig{HistoryMaxSize: 100_000}, func(s *site, i int) {
			publish(s, i%3, centrifuge.PublishOptions{HistorySize: n, HistoryTTL: time.Hour})
		}},
		{"one channel", centrifuge.MemoryBrokerConfig{HistoryMaxSize: 100_000}, func(s *site, _ int) {
			publish(s, 0, centrifuge.PublishOptions{HistorySize: n, HistoryTTL: time.Hour})
		}},
		{"publications larger than all", centrifuge.MemoryBrokerConfig{HistoryMaxSize: 2000}, func(s *site, i int) {
			s.publish(fmt.Sprintf("c%d", i%5), `"`+strings.Repeat("x", 3000)+`"`, history)
		}},
		{"tags", centrifuge.MemoryBrokerConfig{HistoryMaxSize: 100_000}, func(s *site, i int) {
			publish(s, i, centrifuge.PublishOptions{HistorySize: 1, HistoryTTL: time.Hour, Tags: map[string]string{"tag": strings.Repeat("x", 5000)}})
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, broker := budgeted(t, test.config)
				for i := range n {
					test.do(s, i)
					stats := broker.Stats()
					bytes, channels := int64(test.config.HistoryMaxSize), int64(test.config.HistoryMaxChannels)
					if bytes > 0 && stats.Bytes > bytes || channels > 0 && stats.Channels > channels {
						t.Fatalf("after %d: %+v; want at most %d bytes, %d channels", i, stats, bytes, channels)
					}
				}
				stats := s.Stats().History
				if stats.Evicted == 0 || stats.Channels == 0 || stats.Bytes == 0 || stats != broker.Stats() {
					t.Errorf("%+v; want some of each, equal to the broker's %+v", stats, broker.Stats())
				}
				time.Sleep(31 * 24 * time.Hour) // everything expires
				synctest.Wait()
				if stats := broker.Stats(); stats.Bytes != 0 || stats.Channels != 0 {
					t.Errorf("after all has expired: %+v; want Bytes 0 and Channels 0", stats)
				}
			})
		})
	}
}

// TestMemoryBudgetIsTold: a client whose history was dropped is told that it is
// not recovered; one that is subscribed goes on without a break.
func TestMemoryBudgetIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, broker := budgeted(t, centrifuge.MemoryBrokerConfig{HistoryMaxSize: 50_000})
		s.publishRun("old", 5, 100)
		s.publishRun("watched", 5, 100)
		epochs := map[string]string{"old": s.epoch("old"), "watched": s.epoch("watched")}
		live := s.connect(jsonV2, "live")
		live.commands(`{"id":2,"subscribe":{"channel":"watched"}}`)
		live.received()
		time.Sleep(time.Second)
		for i := range 2000 {
			s.publish(fmt.Sprintf("c%d", i), `1`, history)
		}
		if broker.Stats().Evicted < 1000 {
			t.Fatalf("%+v; want at least 1000", broker.Stats())
		}
		s.publish("watched", `"next"`, history)
		live.expect(`{"push":{"channel":"watched","pub":{"data":"next","offset":6}}}`)
		p := s.connect(jsonV2, "u")
		p.commands(fmt.Sprintf(`{"id":2,"subscribe":{"channel":"old","recover":true,"offset":3,"epoch":%q}}`, epochs["old"]))
		p.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"<e>","positioned":true,"was_recovering":true}}`)
		p.commands(fmt.Sprintf(`{"id":3,"subscribe":{"channel":"watched","recover":true,"offset":5,"epoch":%q}}`, epochs["watched"]))
		if got := p.received(); len(got) != 1 || !strings.Contains(got[0], `"recovered":true`) {
			t.Errorf("%q; want length 1 and %q in it", got, `"recovered":true`)
		}
		time.Sleep(10 * time.Minute) // positions are checked
		live.expect()
	})
}

// TestMemoryBudgetKeepsWhatIsUsed: idle channels without subscribers go first.
func TestMemoryBudgetKeepsWhatIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := budgeted(t, centrifuge.MemoryBrokerConfig{HistoryMaxSize: -1, HistoryMaxChannels: 200})
		p := s.connect(jsonV2, "u")
		for i := range 20 {
			s.publish(fmt.Sprintf("watched%d", i), `1`, history)
			p.commands(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"watched%d"}}`, 2+i, i))
		}
		p.received()
		for i := range 5000 {
			s.publish(fmt.Sprintf("c%d", i), `1`, history)
			s.publish("busy", `1`, history)
			time.Sleep(time.Millisecond)
		}
		for i := range 20 {
			if got, err := s.History(t.Context(), fmt.Sprintf("watched%d", i), centrifuge.HistoryOptions{Limit: -1}); err != nil || len(got.Publications) != 1 {
				t.Errorf("watched%d: %+v, %v; want len(Publications) 1", i, got, err)
			}
		}
		if got, err := s.History(t.Context(), "busy", centrifuge.HistoryOptions{}); err != nil || got.Offset != 5000 {
			t.Errorf("busy: %+v, %v; want Offset 5000", got, err)
		}
	})
}

// TestMemoryBudgetConcurrently: publishers that evict each other's channels.
func TestMemoryBudgetConcurrently(t *testing.T) {
	broker := centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{HistoryMaxSize: 20_000})
	node, err := centrifuge.New(centrifuge.Config{Broker: broker})
	must(t, err)
	must(t, node.Run())
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 2000 {
				channel := fmt.Sprintf("c%d", i%100)
				var err error
				switch i % 5 {
				case 0:
					_, err = node.History(context.Background(), channel, centrifuge.HistoryOptions{Limit: -1})
				case 1:
					err = node.RemoveHistory(context.Background(), channel)
				default:
					_, err = node.Publish(context.Background(), channel, []byte(`1`), history)
				}
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	if stats := broker.Stats(); stats.Bytes > 30_000 || stats.Bytes <= 0 || stats.Channels <= 0 || stats.Evicted == 0 {
		t.Errorf("%+v; want Bytes at most 30,000, Bytes more than 0, Channels more than 0 and more than 0", stats)
	}
	must(t, node.Shutdown(t.Context()))
}
