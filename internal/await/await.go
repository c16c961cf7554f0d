// Package await waits in tests for what other goroutines or processes do. Its time
// limit is generous: it only keeps a test from hanging on a loaded machine.
package await

import (
	"testing"
	"time"
)

// Limit is how long a test waits for one event.
const Limit = 3 * time.Minute

// interval is the time between two calls of a condition.
const interval = 10 * time.Millisecond

// Until calls done until it returns true, and fails the test after Limit. The text what
// completes "waited for". It must be called from the goroutine of the test.
func Until(t testing.TB, what string, done func() bool) {
	t.Helper()
	if !Reached(done) {
		t.Fatalf("waited %v for %s", Limit, what)
	}
}

// Reached calls done until it returns true, and reports whether that was within Limit. It
// serves tests that add details to their failure.
func Reached(done func() bool) bool {
	return reached(Limit, done)
}

func reached(limit time.Duration, done func() bool) bool {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for !done() {
		select {
		case <-ticker.C:
		case <-timeout.C:
			return false
		}
	}
	return true
}

// Receive returns the next value of c, and fails the test if none arrives within Limit or
// c is closed. The text what names the value.
func Receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	timeout := time.NewTimer(Limit)
	defer timeout.Stop()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("the channel was closed; want %s", what)
		}
		return v
	case <-timeout.C:
		t.Fatalf("waited %v for %s", Limit, what)
		panic("unreachable")
	}
}
