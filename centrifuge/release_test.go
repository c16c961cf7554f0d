package centrifuge_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// departures notes when connections of a node end.
type departures struct {
	mu    sync.Mutex
	start time.Time
	at    []time.Duration
	codes map[uint32]int
}

func (d *departures) add(code uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.at = append(d.at, time.Since(d.start))
	d.codes[code]++
}

// within returns how many connections have ended in the first moments of d.
func (d *departures) within(limit time.Duration) (count int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, at := range d.at {
		if at <= limit {
			count++
		}
	}
	return count
}

// releasing starts a node with connections that are subscribed to "x".
func releasing(t *testing.T, config centrifuge.Config, count int) (*centrifuge.Node, []*centrifugetest.Client, *departures) {
	t.Helper()
	config.PingInterval = -1
	node, err := centrifuge.New(config)
	must(t, err)
	ended := &departures{codes: make(map[uint32]int)}
	handlers := allow(centrifuge.SubscribeOptions{})
	handlers.Disconnected = func(_ context.Context, e centrifuge.DisconnectedEvent) { ended.add(e.Disconnect.Code) }
	must(t, node.Handle(handlers))
	must(t, node.Run())
	clients := make([]*centrifugetest.Client, count)
	for i := range clients {
		clients[i] = centrifugetest.Connect(t.Context(), t, node, jsonV2, "u")
		clients[i].Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "x"}})
	}
	ended.start = time.Now()
	return node, clients, ended
}

// TestReleaseRate: Shutdown closes connections in batches, as fast as it is allowed to and
// as its deadline demands.
func TestReleaseRate(t *testing.T) {
	const count = 600
	for _, test := range []struct {
		name           string
		rate           int
		deadline       time.Duration // zero for none
		early, earlyBy int           // connections that have ended after earlyBy milliseconds
		all            time.Duration // when all have
	}{
		{name: "default", early: 300, earlyBy: 0, all: 60 * time.Millisecond},
		{name: "slow", rate: 200, early: 110, earlyBy: 500, all: 2950 * time.Millisecond},
		{name: "slower than a batch", rate: 1, deadline: 600 * time.Second, early: 2, earlyBy: 700, all: 599 * (400 * time.Second / 600)},
		{name: "the deadline demands more", rate: 1, deadline: 3 * time.Second, early: 165, earlyBy: 500, all: 1950 * time.Millisecond},
		{name: "hardly any time", rate: 1, deadline: time.Millisecond, early: count, all: 0},
		{name: "at once", rate: -1, early: count, all: 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node, _, ended := releasing(t, centrifuge.Config{ReleaseRate: test.rate}, count)
				ctx := t.Context()
				if test.deadline > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, test.deadline)
					defer cancel()
				}
				must(t, node.Shutdown(ctx))
				if got := ended.codes[centrifuge.DisconnectShutdown.Code]; got != count {
					t.Errorf("closed with 3001 = %d of %v; want %d", got, ended.codes, count)
				}
				if got := ended.within(time.Duration(test.earlyBy) * time.Millisecond); got != test.early {
					t.Errorf("closed within %d ms = %d; want %d", test.earlyBy, got, test.early)
				}
				if got := ended.at[count-1]; got != test.all {
					t.Errorf("the last was closed after %v; want %v", got, test.all)
				}
			})
		})
	}
}

// TestReleaseServes: until its turn comes a connection is served, and no other is accepted.
func TestReleaseServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, clients, ended := releasing(t, centrifuge.Config{ReleaseRate: 20}, 10)
		done := make(chan error)
		go func() { done <- node.Shutdown(context.Background()) }()
		time.Sleep(75 * time.Millisecond)
		if got := ended.within(time.Hour); got != 2 {
			t.Errorf("closed after 75 ms = %d; want 2", got)
		}
		if !node.ShuttingDown() {
			t.Error("ShuttingDown = false during Shutdown; want true")
		}
		if _, err := node.Accept(t.Context(), batchTransport{}); !errors.Is(err, centrifuge.ErrShutdown) {
			t.Errorf("Accept during Shutdown = %v; want %v", err, centrifuge.ErrShutdown)
		}
		_, err := node.Publish(t.Context(), "x", []byte(`1`), centrifuge.PublishOptions{})
		must(t, err)
		synctest.Wait()
		received := 0
		for _, c := range clients {
			if push := c.Push(); push != nil && push.Pub != nil {
				received++
			}
		}
		if want := len(clients) - 2; received != want {
			t.Errorf("clients that received a publication during Shutdown = %d; want %d", received, want)
		}
		must(t, <-done)
	})
}

// TestReleaseEndsEarly: when the context of Shutdown is done, no connection waits for its turn.
func TestReleaseEndsEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		node, _, ended := releasing(t, centrifuge.Config{ReleaseRate: 20}, 100)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		err := node.Shutdown(ctx)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Shutdown = %v; want nil or %v", err, context.Canceled)
		}
		synctest.Wait()
		if got := ended.within(time.Second); got != 100 {
			t.Errorf("closed after a second = %d; want 100", got)
		}
	})
}
