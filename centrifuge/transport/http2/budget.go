package http2

import "time"

// Limits of a budget.
const (
	budgetBurst  = 1000
	budgetSecond = 200
)

// budget bounds the frames of a client that make work and carry nothing: pings, settings,
// empty data, resets of requests that have no answer yet, updates of windows beyond what was
// sent. A client may send budgetBurst of them at once, and budgetSecond a second.
type budget struct {
	used  int
	since time.Time
}

// spend takes note of one more such frame. It reports false if the budget is used up.
func (b *budget) spend(now func() time.Time) bool {
	if b.used++; b.used <= budgetBurst {
		return true
	}
	t := now()
	passed := min(t.Sub(b.since), budgetBurst*time.Second/budgetSecond)
	b.since = t
	b.used = max(b.used-int(passed*budgetSecond/time.Second), 0)
	if b.used <= budgetBurst {
		return true
	}
	b.used = budgetBurst
	return false
}
