package proxy

import (
	"context"
	"errors"
	"time"

	"github.com/sony/gobreaker/v2"

	"centrifugo/server/internal/config"
)

// The breaker counts the calls of the last breakerWindow, and tries breakerTrials calls
// before it lets all pass again.
const (
	breakerWindow = 10 * time.Second
	breakerBucket = time.Second
	breakerTrials = 5
)

// errBreakerOpen refuses a call to a backend that fails.
var errBreakerOpen = errors.New("the backend fails, no calls are made for now")

// refusals are the reasons for which a call is not made, with their labels in metrics.
var refusals = []struct {
	err  error
	name string
}{{errQueueFull, "queue_full"}, {errQueueTimeout, "queue_timeout"}, {errBreakerOpen, "breaker_open"}}

// outcome of a call, as the protection of the backend sees it.
type outcome uint8

const (
	answered outcome = iota // in time, whatever the answer
	failed                  // the backend is down, too slow or overloaded
	gone                    // the client has ended the call
)

// errGone is an outcome that the breaker does not count.
var errGone = errors.New("the client has left")

// outcomeErrors are the outcomes as the breaker takes them.
var outcomeErrors = [...]error{answered: nil, failed: errors.New("the call failed"), gone: errGone}

// guard protects a backend: it decides whether a call is made now, later or not.
type guard struct {
	// Static after construction.
	limiter *limiter
	breaker *gobreaker.TwoStepCircuitBreaker[any] // nil if disabled
}

// newGuard returns the guard of a proxy. Changed is called when the breaker changes its
// state; it must not block.
func newGuard(c *config.Proxy, changed func(from, to string)) *guard {
	g := &guard{limiter: newLimiter(c.Limit)}
	if c.Breaker.Disabled {
		return g
	}
	g.breaker = gobreaker.NewTwoStepCircuitBreaker[any](gobreaker.Settings{
		MaxRequests: breakerTrials, Interval: breakerWindow, BucketPeriod: breakerBucket, Timeout: c.Breaker.OpenTime,
		ReadyToTrip: func(n gobreaker.Counts) bool {
			calls := uint64(n.TotalSuccesses) + uint64(n.TotalFailures)
			return calls >= uint64(max(c.Breaker.MinCalls, 1)) && //nolint:gosec // not negative
				uint64(n.TotalFailures)*100 >= calls*uint64(c.Breaker.FailurePercent) //nolint:gosec // not negative
		},
		IsExcluded:    func(err error) bool { return errors.Is(err, errGone) },
		OnStateChange: func(_ string, from, to gobreaker.State) { changed(stateName(from), stateName(to)) },
	})
	return g
}

// breakerStates are the names of the states of a breaker, as labels of metrics.
var breakerStates = []string{"closed", "half_open", "open"}

func stateName(s gobreaker.State) string {
	if int(s) < len(breakerStates) {
		return breakerStates[s]
	}
	return s.String()
}

func (g *guard) state() string {
	if g.breaker == nil {
		return breakerStates[0]
	}
	return stateName(g.breaker.State())
}

// permit is a call that may be made.
type permit struct {
	guard *guard
	done  func(error) // nil without a breaker
	began time.Time
}

// enter waits until a call may be made. The errors are those of refusals, and those of ctx.
func (g *guard) enter(ctx context.Context) (permit, error) {
	if g.breaker != nil && g.breaker.State() == gobreaker.StateOpen {
		return permit{}, errBreakerOpen // before it takes a place in the queue
	}
	if err := g.limiter.acquire(ctx); err != nil {
		return permit{}, err
	}
	p := permit{guard: g, began: time.Now()}
	if g.breaker != nil {
		done, err := g.breaker.Allow()
		if err != nil {
			g.limiter.release(0, false)
			return permit{}, errBreakerOpen
		}
		p.done = done
	}
	return p, nil
}

// leave ends a call. Slow says that the backend did not answer in time.
func (p *permit) leave(o outcome, slow bool) {
	if p.done != nil {
		p.done(outcomeErrors[o]) // before another call begins
	}
	p.guard.limiter.release(time.Since(p.began), o == answered || slow)
}
