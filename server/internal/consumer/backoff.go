package consumer

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pause before a message is repeated, or a source is started again: it doubles up to
// maxPause (server.md 11.1).
const (
	minPause = 10 * time.Millisecond
	maxPause = 5 * time.Second
)

// pause returns the pause after a number of failures in a row, at least one. It is
// between half of the nominal pause and all of it, so that nodes do not repeat together.
func pause(failures int) time.Duration {
	nominal := maxPause
	if doublings := failures - 1; doublings < 9 {
		nominal = min(minPause<<doublings, maxPause)
	}
	return nominal/2 + rand.N(nominal/2+1) //nolint:gosec // no secret
}

// sleep returns ctx.Err() if ctx ends before the time has passed.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err() //nolint:wrapcheck // the caller has ended it
	}
}
