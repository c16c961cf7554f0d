package loadtest

import (
	"context"
	"time"
)

// pace spreads work evenly over time.
type pace struct {
	clock    clock
	start    int64 // nanoseconds
	interval float64
	n        float64
	timer    *time.Timer
}

// newPace allows rate things a second from start on, a moment of the clock; 0
// means now. A rate of 0 allows everything.
func newPace(start int64, rate float64, c clock) *pace {
	if start == 0 {
		start = c.now()
	}
	p := &pace{clock: c, start: start}
	if rate > 0 {
		p.interval = float64(time.Second) / rate
	}
	return p
}

// wait waits until the next thing is due and returns the moment that its
// latency counts from: now when it was waited for, but when it was due if that
// is past already. So the wait behind a server that stalls is counted, and the
// inaccuracy of timers is not.
func (p *pace) wait(ctx context.Context) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	now := p.clock.now()
	if p.interval == 0 {
		return now, nil
	}
	due := p.start + int64(p.n*p.interval)
	p.n++
	if now >= due {
		return due, nil
	}
	if p.timer == nil {
		p.timer = time.NewTimer(time.Duration(due - now))
	} else {
		p.timer.Reset(time.Duration(due - now))
	}
	select {
	case <-p.timer.C:
		return p.clock.now(), nil
	case <-ctx.Done():
		p.timer.Stop()
		return 0, ctx.Err()
	}
}
