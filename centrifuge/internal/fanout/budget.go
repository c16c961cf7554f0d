package fanout

import (
	"errors"
	"sync/atomic"
)

// ErrOverBudget is passed to Sink.Failed when the socket is full and the budget does not
// allow the waiting bytes.
var ErrOverBudget = errors.New("budget for slow readers is used up")

// Budget bounds the bytes that wait for all slow readers of a node together: the bytes
// queued in outboxes whose socket is full, and those that their sinks keep. A blocking sink
// cannot report a full socket; its outbox counts the bytes put during a write. Other
// outboxes do not use the budget. Messages shared by many connections are counted for each.
// It is safe for concurrent use.
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

// account is what one outbox has in a budget. It is guarded by the lock of the outbox.
type account struct {
	budget  *Budget // static; nil: nothing is counted
	charged int     // bytes that the budget counts for the outbox
}

// charge makes the budget count n bytes for the outbox. It returns false, and changes
// nothing, if n is more than before and the budget does not allow it.
func (a *account) charge(n int) bool {
	switch {
	case a.budget == nil || n == a.charged:
		return true
	case n < a.charged:
		a.budget.give(a.charged - n)
	case !a.budget.take(n - a.charged):
		return false
	}
	a.charged = n
	return true
}

// reduce returns to the budget what is charged above n bytes.
func (a *account) reduce(n int) {
	if a.charged > n {
		a.charge(n)
	}
}
