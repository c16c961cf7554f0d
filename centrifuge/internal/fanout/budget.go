package fanout

import (
	"errors"
	"sync/atomic"
)

// ErrOverBudget is what a Sink is told by Failed when its socket was found full
// and the budget has no room for what waits.
var ErrOverBudget = errors.New("budget for slow readers is used up")

// Budget bounds the bytes that wait for all the slow readers of a node
// together: what is queued in outboxes whose socket is full, and what their
// sinks keep of it. Of blocking sinks, which cannot say that they are full, it
// is what was put while a write was under way. Outboxes that are written to as
// soon as something is put never touch it. Frames that many connections share
// are counted for each. It is safe for concurrent use.
type Budget struct {
	max     int64 // static, zero for no bound
	used    atomic.Int64
	refused atomic.Uint64
}

// NewBudget returns a budget of most bytes; zero or less only counts.
func NewBudget(most int) *Budget { return &Budget{max: max(int64(most), 0)} }

// Used returns the bytes that wait.
func (b *Budget) Used() int64 { return b.used.Load() }

// Refused returns how many outboxes were ended because of the budget.
func (b *Budget) Refused() uint64 { return b.refused.Load() }

// take counts n more bytes unless that is beyond the bound. The caller, who is
// refused, ends its outbox.
func (b *Budget) take(n int) bool {
	if used := b.used.Add(int64(n)); b.max > 0 && used > b.max {
		b.used.Add(-int64(n))
		b.refused.Add(1)
		return false
	}
	return true
}

func (b *Budget) give(n int) { b.used.Add(-int64(n)) }
