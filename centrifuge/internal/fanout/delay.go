package fanout

import (
	"math"
	"sync"
	"time"
)

// Delay holds writes back: an outbox that got something to write waits here for
// more. All wait equally long, so those that come first are due first, and one
// timer serves any number of connections. One that has nothing to write is not
// in it. It is safe for concurrent use.
type Delay struct {
	// Static after construction.
	wait  time.Duration
	start time.Time
	timer *time.Timer // calls wake

	// Guarded by mu, a leaf.
	mu      sync.Mutex
	waiting fifo[waiter]
	awake   bool // wake is running, or the timer set
	closed  bool
}

// waiter is an outbox that is due at a time after Delay.start. If it was
// written in the meantime, its turn is another one.
type waiter struct {
	out  *Outbox
	turn uint32
	due  time.Duration
}

// maxKeptWaiters bounds the capacity that is kept while there are no waiters.
const maxKeptWaiters = 4096

// NewDelay returns a Delay by wait, which must be positive. Close it.
func NewDelay(wait time.Duration) *Delay {
	d := &Delay{wait: wait, start: time.Now()}
	d.timer = time.AfterFunc(math.MaxInt64, d.wake)
	d.timer.Stop()
	return d
}

// Close writes all waiting outboxes at once. Later ones do not wait.
func (d *Delay) Close() {
	d.mu.Lock()
	d.closed = true
	if d.timer.Stop() {
		d.awake = false
	}
	waiting := d.waiting
	d.waiting = fifo[waiter]{}
	d.mu.Unlock()
	for _, w := range waiting.front() {
		w.out.due(w.turn)
	}
}

func (d *Delay) add(o *Outbox, turn uint32) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		o.due(turn)
		return
	}
	d.waiting.push(waiter{o, turn, time.Since(d.start) + d.wait})
	if !d.awake {
		d.awake = true
		d.timer.Reset(d.wait)
	}
	d.mu.Unlock()
}

// wake writes the outboxes that are due and sets the timer for the next one. A blocking
// sink is written to by its own goroutine, so that wake does not wait.
func (d *Delay) wake() {
	var scratch [64]waiter
	for {
		due := d.takeDue(scratch[:0])
		if len(due) == 0 {
			return
		}
		for _, w := range due {
			w.out.due(w.turn)
		}
	}
}

// takeDue moves as many as fit into due. When there is none it sets the timer.
func (d *Delay) takeDue(due []waiter) []waiter {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Since(d.start)
	for _, w := range d.waiting.front() {
		if len(due) == cap(due) || w.due > now {
			break
		}
		due = append(due, w)
	}
	d.waiting.drop(len(due))
	switch {
	case len(due) > 0:
	case d.waiting.len() > 0:
		d.timer.Reset(d.waiting.front()[0].due - now)
	default:
		d.awake = false
		if cap(d.waiting.items) > maxKeptWaiters {
			d.waiting = fifo[waiter]{}
		}
	}
	return due
}
