package proxy

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/server/internal/config"
)

// limits returns the settings of a limiter, which are the defaults but for the limit.
func limits(maxInFlight int) config.ProxyLimit {
	return config.ProxyLimit{MaxInFlight: maxInFlight, QueueSize: 1000, QueueTimeout: 3 * time.Second}
}

// place simulates a backend in a synctest bubble: it takes latency for a call, and more calls
// than capacity wait for each other.
type place struct {
	slots   chan struct{}
	latency func() time.Duration
}

func newPlace(capacity int, latency func() time.Duration) *place {
	return &place{slots: make(chan struct{}, capacity), latency: latency}
}

func (p *place) call() {
	p.slots <- struct{}{}
	time.Sleep(p.latency())
	<-p.slots
}

// load calls a place by clients that call again and again for a time. It returns the number
// of calls and the greatest number in flight.
func load(l *limiter, p *place, clients int, d time.Duration) (calls, most int) {
	var mu sync.Mutex
	var done sync.WaitGroup
	end := time.Now().Add(d)
	for range clients {
		done.Go(func() {
			for time.Now().Before(end) {
				if l.acquire(context.Background()) != nil {
					time.Sleep(10 * time.Millisecond)
					continue
				}
				_, inFlight, _ := l.state()
				began := time.Now()
				p.call()
				l.release(time.Since(began), true)
				mu.Lock()
				calls, most = calls+1, max(most, inFlight)
				mu.Unlock()
			}
		})
	}
	done.Wait()
	return calls, most
}

func constant(d time.Duration) func() time.Duration { return func() time.Duration { return d } }

// TestLimiterReachesItsMaximum: a storm from the first moment gets all that the
// configuration allows within a second, and never more.
func TestLimiterReachesItsMaximum(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(limits(100))
		calls, most := load(l, newPlace(100, constant(50*time.Millisecond)), 500, 2*time.Second)
		if limit, _, _ := l.state(); limit != 100 || most > 100 {
			t.Errorf("limit %d with at most %d in flight; want 100 and at most 100", limit, most)
		}
		if want := 2500; calls < want { // of 4000 that the backend can answer
			t.Errorf("%d calls in 2 s; want at least %d", calls, want)
		}
	})
}

// TestLimiterFollowsLatency: a backend that answers fewer calls at once than the
// configuration allows gets about twice what it can answer, so that its latency doubles
// and does not grow further.
func TestLimiterFollowsLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(limits(1000))
		p := newPlace(50, constant(40*time.Millisecond))
		load(l, p, 10, 5*time.Second) // a quiet time, in which the limit is not reached
		calls, _ := load(l, p, 2000, 10*time.Second)
		if limit, _, _ := l.state(); limit < 50 || limit > 150 {
			t.Errorf("limit %d; want between 50 and 150", limit)
		}
		if want := 11000; calls < want { // of 12500
			t.Errorf("%d calls in 10 s; want at least %d", calls, want)
		}
	})
}

// TestLimiterAcceptsASlowerBackend: a backend that becomes slower, not because of the number
// of calls, is not throttled for long.
func TestLimiterAcceptsASlowerBackend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(limits(100))
		latency := 20 * time.Millisecond
		p := newPlace(1000, func() time.Duration { return latency })
		load(l, p, 50, 5*time.Second)
		latency = 200 * time.Millisecond
		load(l, p, 200, 10*time.Second)
		if limit, _, _ := l.state(); limit < 90 {
			t.Errorf("limit %d ten seconds after the backend became slower; want at least 90", limit)
		}
	})
}

func TestLimiterFixed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := limits(7)
		c.Fixed = true
		l := newLimiter(c)
		_, most := load(l, newPlace(1, constant(30*time.Millisecond)), 50, 3*time.Second)
		if limit, _, _ := l.state(); limit != 7 || most != 7 {
			t.Errorf("limit %d, at most %d in flight; want 7 and 7", limit, most)
		}
	})
}

func TestLimiterQueue(t *testing.T) {
	tests := []struct {
		name    string
		change  func(*config.ProxyLimit)
		waiting int           // calls that wait already
		leave   time.Duration // when the client leaves; zero: never
		free    time.Duration // when a call in flight ends; zero: never
		want    error
		after   time.Duration
	}{
		{name: "turn comes", free: time.Second, after: time.Second},
		{name: "queue_timeout", want: errQueueTimeout, after: 3 * time.Second},
		{name: "longer queue_timeout", change: func(c *config.ProxyLimit) { c.QueueTimeout = 5 * time.Second }, want: errQueueTimeout, after: 5 * time.Second},
		{name: "queue_size", waiting: 1000, want: errQueueFull},
		{name: "other queue_size", change: func(c *config.ProxyLimit) { c.QueueSize = 3 }, waiting: 3, want: errQueueFull},
		{name: "below queue_size", change: func(c *config.ProxyLimit) { c.QueueSize = 3 }, waiting: 2, want: errQueueTimeout, after: 3 * time.Second},
		{name: "no queue", change: func(c *config.ProxyLimit) { c.QueueSize = 0 }, want: errQueueFull},
		{name: "client leaves", leave: 2 * time.Second, want: context.Canceled, after: 2 * time.Second},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := limits(1)
				if test.change != nil {
					test.change(&c)
				}
				l := newLimiter(c)
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				if err := l.acquire(ctx); err != nil {
					t.Fatal(err)
				}
				others, leave := context.WithCancel(context.Background())
				defer leave()
				for range test.waiting {
					go func() { _ = l.acquire(others) }()
				}
				synctest.Wait()
				if test.leave > 0 {
					time.AfterFunc(test.leave, cancel)
				}
				if test.free > 0 {
					time.AfterFunc(test.free, func() { l.release(time.Millisecond, false) })
				}
				began := time.Now()
				if err := l.acquire(ctx); !errors.Is(err, test.want) || time.Since(began) != test.after {
					t.Errorf("acquire = %v after %v; want %v after %v", err, time.Since(began), test.want, test.after)
				}
			})
		})
	}
}

// TestLimiterKeepsTheOrder: calls begin in the order of their arrival, and those that have
// left take no place.
func TestLimiterKeepsTheOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(limits(1))
		if err := l.acquire(context.Background()); err != nil {
			t.Fatal(err)
		}
		var order []int
		leaving, leave := context.WithCancel(context.Background())
		for i := range 5 {
			ctx := context.Background()
			if i == 2 {
				ctx = leaving
			}
			go func() {
				if l.acquire(ctx) == nil {
					order = append(order, i)
					l.release(0, false)
				}
			}()
			synctest.Wait()
		}
		leave()
		synctest.Wait()
		l.release(0, false)
		synctest.Wait()
		if len(order) != 4 || order[0] != 0 || order[1] != 1 || order[2] != 3 || order[3] != 4 {
			t.Errorf("order %v; want [0 1 3 4]", order)
		}
		if _, inFlight, waiting := l.state(); inFlight != 0 || waiting != 0 {
			t.Errorf("%d in flight and %d waiting at the end; want none", inFlight, waiting)
		}
	})
}
