package proxy

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/server/internal/config"
)

// settings returns those of a proxy, which are the defaults.
func settings() config.Proxy {
	return config.Proxy{
		Timeout: time.Second,
		Limit:   limits(100),
		Breaker: config.ProxyBreaker{FailurePercent: 50, MinCalls: 20, OpenTime: time.Second},
	}
}

// TestBreaker: after so many calls of which so many failed, no calls are made for a time;
// then a few are tried.
func TestBreaker(t *testing.T) {
	tests := []struct {
		name         string
		change       func(*config.Proxy)
		good, failed int
		gone         int
		want         string
	}{
		{name: "too few calls", failed: 19, want: "closed"},
		{name: "min_calls", failed: 20, want: "open"},
		{name: "other min_calls", change: func(c *config.Proxy) { c.Breaker.MinCalls = 5 }, failed: 5, want: "open"},
		{name: "below failure_percent", good: 21, failed: 20, want: "closed"},
		{name: "failure_percent", good: 20, failed: 20, want: "open"},
		{name: "other failure_percent", change: func(c *config.Proxy) { c.Breaker.FailurePercent = 90 }, good: 20, failed: 20, want: "closed"},
		{name: "disabled", change: func(c *config.Proxy) { c.Breaker.Disabled = true }, failed: 100, want: "closed"},
		{name: "clients that have left", gone: 100, failed: 19, want: "closed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := settings()
				if test.change != nil {
					test.change(&c)
				}
				g := newGuard(&c, func(string, string) {})
				pass(t, g, test.good, answered)
				pass(t, g, test.gone, gone)
				pass(t, g, test.failed, failed)
				if got := g.state(); got != test.want {
					t.Errorf("state %q; want %q", got, test.want)
				}
				_, err := g.enter(context.Background())
				if open := errors.Is(err, errBreakerOpen); open != (test.want == "open") {
					t.Errorf("the next call: %v; want it refused: %v", err, test.want == "open")
				}
			})
		})
	}
}

// pass makes calls with an outcome.
func pass(t *testing.T, g *guard, n int, o outcome) {
	t.Helper()
	for range n {
		p, err := g.enter(context.Background())
		if err != nil {
			t.Fatalf("a call was refused: %v", err)
		}
		p.leave(o, false)
	}
}

// TestBreakerCloses: after open_time some calls are tried. If one fails, the breaker opens
// again; if all succeed, it closes. Old failures do not count.
func TestBreakerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := settings()
		c.Breaker.OpenTime = 7 * time.Second
		var states []string
		g := newGuard(&c, func(_, to string) { states = append(states, to) })
		pass(t, g, 10, failed)
		time.Sleep(2 * breakerWindow)
		pass(t, g, 19, failed) // those before are too old
		if got := g.state(); got != "closed" {
			t.Fatalf("state %q; want closed", got)
		}
		pass(t, g, 1, failed)
		time.Sleep(6 * time.Second)
		if _, err := g.enter(context.Background()); !errors.Is(err, errBreakerOpen) {
			t.Errorf("a call before open_time is over: %v; want %v", err, errBreakerOpen)
		}
		time.Sleep(2 * time.Second)
		pass(t, g, 1, failed)
		time.Sleep(8 * time.Second)
		var trials []permit
		for range breakerTrials {
			p, err := g.enter(context.Background())
			if err != nil {
				t.Fatalf("a trial was refused: %v", err)
			}
			trials = append(trials, p)
		}
		if _, err := g.enter(context.Background()); !errors.Is(err, errBreakerOpen) {
			t.Errorf("a call beside the trials: %v; want %v", err, errBreakerOpen)
		}
		for _, p := range trials {
			p.leave(answered, false)
		}
		pass(t, g, 100, answered)
		if want := []string{"open", "half_open", "open", "half_open", "closed"}; !slices.Equal(states, want) {
			t.Errorf("states %v; want %v", states, want)
		}
		if _, inFlight, _ := g.limiter.state(); inFlight != 0 {
			t.Errorf("%d calls in flight at the end; want 0", inFlight)
		}
	})
}

// TestOpenBreakerDrainsTheQueue: calls that wait when the breaker opens are not made.
func TestOpenBreakerDrainsTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := settings()
		c.Limit.MaxInFlight = 20
		g := newGuard(&c, func(string, string) {})
		var busy []permit
		for range 20 {
			p, err := g.enter(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			busy = append(busy, p)
		}
		refused := make(chan error, 100)
		opened := make(chan struct{}) // an answer before would keep the breaker from opening
		for range 100 {
			go func() {
				p, err := g.enter(context.Background())
				if err == nil {
					<-opened
					p.leave(answered, false)
				}
				refused <- err
			}()
		}
		synctest.Wait()
		began := time.Now()
		for _, p := range busy {
			p.leave(failed, true)
		}
		close(opened)
		made := 0
		for range 100 {
			if err := <-refused; err == nil {
				made++
			} else if !errors.Is(err, errBreakerOpen) {
				t.Errorf("a call that waited: %v; want %v", err, errBreakerOpen)
			}
		}
		// Each of the calls that end gives its place to one that waits, before the last opens the breaker.
		if made > 19 || time.Since(began) > 0 {
			t.Errorf("%d of 100 calls that waited were made, the last after %v; want at most 19, at once", made, time.Since(began))
		}
	})
}
