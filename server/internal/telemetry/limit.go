package telemetry

import (
	"sync"
	"time"
)

// limit admits one line in an interval.
type limit struct {
	mu       sync.Mutex
	interval time.Duration
	last     time.Time
	refused  uint64
}

func newLimit(interval time.Duration) *limit { return &limit{interval: interval} }

// take reports whether a line may be written, and how many were not since the last one.
func (l *limit) take() (refused uint64, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if !l.last.IsZero() && now.Sub(l.last) < l.interval {
		l.refused++
		return 0, false
	}
	refused, l.last, l.refused = l.refused, now, 0
	return refused, true
}
