package admission

import (
	"context"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// offer asks for n connections and returns how many were admitted.
func offer(c *Controller, n int) (admitted int) {
	for range n {
		if c.Admit() {
			admitted++
		}
	}
	return admitted
}

// TestController: fewer connections are admitted while work waits too long, and all again
// some time after it does not.
func TestController(t *testing.T) {
	const busy, idle = time.Second + 1, time.Second
	c := New(time.Second)
	c.minimum = 100
	for i, step := range []struct {
		delay      time.Duration
		want       int     // of 1,000 that are offered in the interval before the sample
		wantLimit  float64 // afterwards
		afterwards string
	}{
		{busy, 1000, math.Inf(1), "one sample is a pause of the machine"},
		{idle, 1000, math.Inf(1), ""},
		{busy, 1000, math.Inf(1), ""},
		{busy, 1000, math.Inf(1), ""},
		{busy, 1000, 7000, "10,000 a second were too many"},
		{busy, 700, 4900, ""},
		{idle, 490, 6125, "it recovers"},
		{idle, 613, 7656.25, ""},
		{busy, 766, 7656.25, ""},
	} {
		if got := offer(c, 1000); got != step.want {
			t.Errorf("step %d: admitted = %d; want %d (%s)", i, got, step.want, step.afterwards)
		}
		c.sampled(step.delay)
		if got, delay := c.Limit(); math.Abs(got-step.wantLimit) > 1 || delay != step.delay {
			t.Errorf("step %d: Limit = %v, %v; want %v, %v (%s)", i, got, delay, step.wantLimit, step.delay, step.afterwards)
		}
	}
	for range 100 {
		c.sampled(busy)
	}
	if got, _ := c.Limit(); got != c.minimum {
		t.Errorf("Limit when always busy = %v; want %v", got, c.minimum)
	}
	if got, want := offer(c, 1000), int(c.minimum*interval.Seconds()); got != want {
		t.Errorf("admitted in an interval when always busy = %d; want %d", got, want)
	}
	for range 100 {
		c.sampled(idle)
	}
	if got, _ := c.Limit(); !math.IsInf(got, 1) {
		t.Errorf("Limit when no longer busy = %v; want none", got)
	}
	if got := offer(c, 1000); got != 1000 {
		t.Errorf("admitted when no longer busy = %d; want 1000", got)
	}
}

// TestControllerKeepsFractions: at 12.5 connections a second one is admitted every 80 ms,
// whatever the interval.
func TestControllerKeepsFractions(t *testing.T) {
	c := New(time.Second)
	c.budget = 0
	got := 0
	for range 40 {
		c.limit = 12.5 / increase
		c.sampled(0)
		got += offer(c, 1000)
	}
	if want := 50; got < want-1 || got > want {
		t.Errorf("admitted in 4 s at 12.5 a second = %d; want %d", got, want)
	}
}

func TestDelays(t *testing.T) {
	buckets := []float64{0, 0.001, 0.01, 0.1, math.Inf(1)}
	d := &delays{before: make([]uint64, 4)}
	for i, step := range []struct {
		counts []uint64
		want   time.Duration
	}{
		{[]uint64{0, 0, 0, 0}, 0},
		{[]uint64{1, 0, 0, 0}, time.Millisecond},
		{[]uint64{100, 1, 0, 0}, time.Millisecond},           // 1 of 100 is beyond
		{[]uint64{197, 4, 0, 0}, 10 * time.Millisecond},      // 3 of 100 are
		{[]uint64{197, 4, 0, 1}, 100 * time.Millisecond},     // the last bucket has no upper bound
		{[]uint64{197, 4, 1, 1}, 100 * time.Millisecond},     // only what is new counts
		{[]uint64{197, 4, 1, 1}, 0},                          // nothing is new
		{[]uint64{99_999, 1000, 1, 1}, time.Millisecond * 1}, // 996 of 100,798 are below 1 %
	} {
		if got := d.since(step.counts, buckets); got != step.want {
			t.Errorf("step %d: delay = %v; want %v", i, got, step.want)
		}
	}
}

// TestDelaysOfTheRuntime: the runtime has the histogram, and goroutines that have waited
// are in it.
func TestDelaysOfTheRuntime(t *testing.T) {
	d := newDelays()
	done := make(chan struct{})
	for range 1000 {
		go func() { done <- struct{}{} }()
	}
	for range 1000 {
		<-done
	}
	if got := d.sample(); got <= 0 {
		t.Errorf("delay of 1,000 goroutines = %v; want more than none", got)
	}
	if allocs := testing.AllocsPerRun(10, func() { d.sample() }); allocs > 0 {
		t.Errorf("allocations of a sample = %v; want 0", allocs)
	}
}

// TestRun: it samples until its context is done.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(-1) // everything is too long
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Run(ctx)
		}()
		time.Sleep((confirmations-1)*interval + interval/2)
		if got, _ := c.Limit(); !math.IsInf(got, 1) {
			t.Errorf("Limit before %d samples = %v; want none", confirmations, got)
		}
		time.Sleep(interval)
		if got, _ := c.Limit(); got != c.minimum {
			t.Errorf("Limit after %d samples = %v; want %v", confirmations, got, c.minimum)
		}
		cancel()
		<-done
	})
}
