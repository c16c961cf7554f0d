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

// maxKeptWaiters bounds the room that is kept for waiters when there are none.
const maxKeptWaiters = 4096

// NewDelay returns a Delay by wait, which must be positive. Close it.
func NewDelay(wait time.Duration) *Delay {
	d := &Delay{wait: wait, start: time.Now()}
	d.timer = time.AfterFunc(math.MaxInt64, d.wake)
	d.timer.Stop()
	return d
}

// Close lets go all that wait, at once, and whatever comes later.
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
		w.out.ripe(w.turn)
	}
}

func (d *Delay) add(o *Outbox, turn uint32) {
	d.mu.Lock()
	if d.closed {
		d.mu.Unlock()
		o.ripe(turn)
		return
	}
	d.waiting.push(waiter{o, turn, time.Since(d.start) + d.wait})
	if !d.awake {
		d.awake = true
		d.timer.Reset(d.wait)
	}
	d.mu.Unlock()
}

// wake writes those that are due, then sleeps until the next is. A blocking
// sink is written to by a goroutine of its own, so that nobody waits for it.
func (d *Delay) wake() {
	var room [64]waiter
	for {
		due := d.takeDue(room[:0])
		if len(due) == 0 {
			return
		}
		for _, w := range due {
			w.out.ripe(w.turn)
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
