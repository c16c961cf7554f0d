package server

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"
)

// connectMeter counts connects in slots of 100 ms.
type connectMeter struct {
	start time.Time

	// Guarded by mu.
	mu    sync.Mutex
	slots []int
}

func (m *connectMeter) connected() {
	slot := int(time.Since(m.start) / (100 * time.Millisecond))
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.slots) <= slot {
		m.slots = append(m.slots, 0)
	}
	m.slots[slot]++
}

// peak returns the highest number of connects within a second since a slot.
func (m *connectMeter) peak(from int) (peak int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := from; i < len(m.slots); i++ {
		second := 0
		for _, n := range m.slots[i:min(i+10, len(m.slots))] {
			second += n
		}
		peak = max(peak, second)
	}
	return peak
}

func (m *connectMeter) slot() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.slots)
}

// TestRollingRestart: two nodes are restarted one after the other while clients watch a
// channel. No publication is lost. It prints the figures of docs/reliability.md, among them
// how fast the clients came to the other node, which on an idle machine is hardly faster
// than they were released: go test ./server -run TestRollingRestart -v
func TestRollingRestart(t *testing.T) {
	clients, release := 5000, 1000
	if testing.Short() {
		clients, release = 300, 100
	}
	limit := 2 * release // new connections per second, on each node
	redis := redistest.Start(t)
	c := &faultCluster{t: t}
	settings := fmt.Sprintf(`{"client": {"insecure": true, "connection_rate_limit": %d, "recovery_max_publication_limit": 100000},
		"http_api": {"insecure": true}, "health": {"enabled": true}, "shutdown": {"release_rate": %d, "timeout": "60s"},
		"channel": {"without_namespace": {"history_size": 100000, "history_ttl": "10m", "force_recovery": true}}, %s}`, limit, release, addressOf(redis))
	c.startWith(settings)
	c.startWith(settings)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	meter := &connectMeter{start: time.Now()}
	watchers := make([]*watcher, clients)
	for i := range watchers {
		watchers[i] = &watcher{addresses: c.addresses, channel: "x", stop: ctx, connected: meter.connected}
		tasks.Go(watchers[i].run)
	}
	p := &publisher{cluster: c, rate: 200 * time.Millisecond}
	tasks.Go(func() { p.run(ctx) })
	awaitNumber(t, watchers, 3)
	from := meter.slot()
	for _, old := range c.all() {
		c.forget(old)
		old.signal(syscall.SIGTERM)
		if code := old.exitCode(); code != 0 {
			t.Errorf("exit code of a node = %d; want 0", code)
		}
		awaitNumber(t, watchers, int(p.next.Load())+2)
		c.startWith(settings)
	}
	cancel()
	tasks.Wait()

	sum := verdict(t, watchers)
	t.Logf("%d clients, %d released a second, cap %d: %d publications, %d lost, %d duplicates; at most %d connects in a second, %.1f s without a publication",
		clients, release, limit, p.next.Load(), sum.lost, sum.duplicates, meter.peak(from), sum.silence.Seconds())
}

// TestReconnectStorm: thousands of clients connect at the same moment to a server that has
// some. All get in, and those that were there miss nothing. It prints how long they waited
// for a publication with and without client.connection_max_delay:
// go test ./server -run TestReconnectStorm -v
func TestReconnectStorm(t *testing.T) {
	clients := 5000
	if testing.Short() {
		clients = 300
	}
	for _, delay := range []string{"0s", "20ms"} {
		t.Run(delay, func(t *testing.T) {
			c := &faultCluster{t: t}
			node := c.startWith(fmt.Sprintf(`{"client": {"insecure": true, "connection_max_delay": %q, "recovery_max_publication_limit": 100000},
				"http_api": {"insecure": true}, "health": {"enabled": true}, "prometheus": {"enabled": true},
				"channel": {"without_namespace": {"history_size": 100000, "history_ttl": "10m", "force_recovery": true}}}`, delay))
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			var tasks sync.WaitGroup
			defer tasks.Wait()
			defer cancel()
			watch := func(n int) (watchers []*watcher) {
				for range n {
					w := &watcher{addresses: c.addresses, channel: "x", stop: ctx}
					watchers = append(watchers, w)
					tasks.Go(w.run)
				}
				return watchers
			}
			p := &publisher{cluster: c, rate: 100 * time.Millisecond}
			tasks.Go(func() { p.run(ctx) })
			early := watch(20)
			awaitNumber(t, early, 3)
			start := time.Now()
			late := watch(clients)
			awaitNumber(t, late, int(p.next.Load())+2)
			took := time.Since(start)
			cancel()
			tasks.Wait()
			waited := verdict(t, early).silence
			verdict(t, late)
			metrics, err := apptest.ReadMetrics(node.url("/metrics"))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d clients, connection_max_delay %s: all in after %.1f s, %v refused meanwhile; those that were there waited at most %.2f s for a publication",
				clients, delay, took.Seconds(), metrics["centrifugo_node_client_connection_limit"], waited.Seconds())
		})
	}
}

// awaitNumber waits until all watchers have a number.
func awaitNumber(t *testing.T, watchers []*watcher, n int) {
	t.Helper()
	await.Until(t, fmt.Sprintf("all clients to get number %d", n), func() bool {
		for _, w := range watchers {
			if !w.reached(n) {
				return false
			}
		}
		return true
	})
}
