package http2

import (
	"testing"
	"time"
)

// A budget has a burst at first, and then so much a second, but never more than the burst.
func TestBudget(t *testing.T) {
	now := time.Now()
	b := budget{since: now}
	spend := func() (n int) {
		for b.spend(func() time.Time { return now }) {
			n++
		}
		return n
	}
	for _, step := range []struct {
		later time.Duration
		want  int
	}{{0, budgetBurst}, {time.Second, budgetSecond}, {0, 0}, {time.Hour, budgetBurst}} {
		now = now.Add(step.later)
		if got := spend(); got != step.want {
			t.Errorf("%d frames after %v more; want %d", got, step.later, step.want)
		}
	}
}
