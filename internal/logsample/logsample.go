// Package logsample bounds the rate of repeated log lines. Events that a client can
// cause at will are logged through a Sampler: a flood of refusals then costs little disk
// and CPU, and the log still has their number.
package logsample

import (
	"sync"
	"time"
)

// maxKeys bounds a Sampler's memory. Keys beyond it share one.
const maxKeys = 256

// Key identifies a kind of log line. Lines of one key differ only in their fields.
type Key struct {
	Message string
	Code    uint32
}

// Sampler admits a number of lines of each kind per interval. It is safe for concurrent
// use.
type Sampler struct {
	// Static after construction.
	lines    int
	interval time.Duration

	// Guarded by mu.
	mu    sync.Mutex
	kinds map[Key]*kind
}

type kind struct {
	began      time.Time
	lines      int
	suppressed uint64
}

// New returns a Sampler that admits the given number of lines of each kind per interval.
func New(lines int, interval time.Duration) *Sampler {
	return &Sampler{lines: lines, interval: interval, kinds: make(map[Key]*kind)}
}

// Take reports whether to log a line of the kind key. If so, suppressed is the number of
// lines of that kind that were not logged since the last one.
func (s *Sampler) Take(key Key) (ok bool, suppressed uint64) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.kinds[key]
	if k == nil {
		if len(s.kinds) >= maxKeys {
			key = Key{}
		}
		if k = s.kinds[key]; k == nil {
			k = &kind{began: now}
			s.kinds[key] = k
		}
	}
	if now.Sub(k.began) >= s.interval {
		k.began, k.lines = now, 0
	}
	if k.lines >= s.lines {
		k.suppressed++
		return false, 0
	}
	k.lines++
	suppressed, k.suppressed = k.suppressed, 0
	return true, suppressed
}
