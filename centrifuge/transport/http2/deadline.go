package http2

import (
	"os"
	"time"
)

// errDeadline is what net/http returns after a deadline.
var errDeadline = os.ErrDeadlineExceeded

// waiter lets the goroutine of a handler wait for its client.
type waiter struct {
	wakes chan struct{} // a token if something has changed

	// Guarded by conn.mu.
	deadline time.Time // zero for none
}

func newWaiter() waiter { return waiter{wakes: make(chan struct{}, 1)} }

func (w *waiter) wake() {
	select {
	case w.wakes <- struct{}{}:
	default: // there is a token
	}
}

// expired reports whether the deadline has passed. conn.mu is held.
func (w *waiter) expired() bool { return !w.deadline.IsZero() && !time.Now().Before(w.deadline) }

// wait returns after the next wake, or with an error at the deadline.
func (w *waiter) wait(deadline time.Time) error {
	if deadline.IsZero() {
		<-w.wakes
		return nil
	}
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-w.wakes:
		return nil
	case <-timer.C:
		return errDeadline
	}
}
