// Package admission limits new connections while the server is busy. A server that takes
// every connection of a reconnect storm at once makes all of them wait, those that it
// already has too; one that takes as many as it can serve lets the others try again, here
// or at another node.
package admission

import (
	"context"
	"math"
	"runtime"
	"sync"
	"time"
)

const (
	// interval between two samples of the delay.
	interval = 100 * time.Millisecond
	// confirmations is how many samples in a row must be above the maximum before connections
	// are refused: a single one is a pause of the machine.
	confirmations = 3
	// decrease and increase are the factors of the limit after a sample above the maximum
	// and after one below.
	decrease, increase = 0.7, 1.25
	// minRate is the lowest limit, in connections per second and processor. It is a
	// twentieth of what one can make: below it refusing costs more than admitting, and a
	// server that is busy with refusals, or with other things, remains reachable.
	minRate = 250
	// maxRate is the limit from which on there is none.
	maxRate = 1e6
)

// Controller decides about new connections. While work waits for a processor longer than
// the maximum, it admits fewer and fewer than there were; afterwards more and more until
// there is no limit. Its methods are safe for concurrent use.
type Controller struct {
	// Static after construction.
	maximum time.Duration
	minimum float64 // of limit

	// Guarded by mu.
	mu       sync.Mutex
	limit    float64 // connections per second
	budget   float64 // connections that may still come in this interval
	admitted int     // in this interval
	above    int     // samples in a row above the maximum
	delay    time.Duration
}

// New returns a controller that limits nothing until Run has measured a delay above
// maximum.
func New(maximum time.Duration) *Controller {
	return &Controller{maximum: maximum, minimum: float64(minRate * runtime.GOMAXPROCS(0)), limit: math.Inf(1), budget: math.Inf(1)}
}

// Admit reports whether a connection may be made now.
func (c *Controller) Admit() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.budget < 1 {
		return false
	}
	c.budget--
	c.admitted++
	return true
}

// Limit returns how many connections are admitted in a second, +Inf for all, and how long
// work has last waited for a processor.
func (c *Controller) Limit() (perSecond float64, delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit, c.delay
}

// Run measures until ctx is done.
func (c *Controller) Run(ctx context.Context) {
	delays := newDelays()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case tick := <-ticker.C:
			c.sampled(max(delays.sample(), time.Since(tick)))
		}
	}
}

// sampled adjusts the limit at the end of an interval.
func (c *Controller) sampled(delay time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.delay = delay
	switch {
	case delay <= c.maximum:
		c.above = 0
		if c.limit *= increase; c.limit > maxRate {
			c.limit = math.Inf(1)
		}
	default:
		if c.above++; c.above >= confirmations {
			rate := float64(c.admitted) / interval.Seconds()
			c.limit = max(min(c.limit, rate)*decrease, c.minimum)
		}
	}
	c.admitted = 0
	c.budget = min(c.budget, 0.999) + c.limit*interval.Seconds() // what is left of a connection is kept
	if math.IsInf(c.limit, 1) {
		c.budget = c.limit
	}
}
