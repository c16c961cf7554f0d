// Package logsample bounds how often a log repeats itself. What a client can
// provoke at will is logged through a Sampler, so that a flood of refusals costs
// neither disk nor CPU, and the log still tells how many there were.
package logsample

import (
	"sync"
	"time"
)

// maxKeys bounds a Sampler's memory. Keys beyond it share one.
const maxKeys = 256

// Key names the kind of a log line: lines of one key are the same but for their
// details.
type Key struct {
	Message string
	Code    uint32
}

// Sampler lets through a number of lines of each kind in each interval. It is safe
// for concurrent use.
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

// New returns a Sampler that lets through lines of each kind per interval.
func New(lines int, interval time.Duration) *Sampler {
	return &Sampler{lines: lines, interval: interval, kinds: make(map[Key]*kind)}
}

// Take reports whether a line of the kind key is to be logged, and if so how many
// were not since the last one that was.
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
