package proxy

import (
	"container/list"
	"context"
	"errors"
	"math"
	"slices"
	"sync"
	"time"

	"centrifugo/server/internal/config"
)

// How the limit follows the latency of the backend. The latency of a window is the median of
// its calls; the normal latency is learned while the limit is not reached.
const (
	firstLimit = 20 // at the start, before the latency is known
	leastLimit = 4
	// A window is at least this long, and long enough for calls that began under the limit
	// in force.
	leastWindow  = 100 * time.Millisecond
	leastSamples = 10
	mostSamples  = 64
	// A backend is congested beyond this multiple of its normal latency, but never by less
	// than congestedBy, which is noise.
	tolerance   = 2
	congestedBy = 10 * time.Millisecond
)

var (
	errQueueFull    = errors.New("too many calls wait for the backend")
	errQueueTimeout = errors.New("the call has waited too long for the backend")
)

// limiter bounds the calls to a backend that are in flight, with a bounded queue in front.
// It is safe for concurrent use.
//
// The limit starts low and rises while calls wait, by half of it in each window at first. If
// the latency rises beyond its tolerance, the limit falls in proportion; after that it rises
// by its square root. At the lowest limit a high latency is not caused by the number of
// calls, so it becomes the normal one. Unlike limiters of libraries (ADR 19), it reaches any
// limit within a second of a reconnect storm, and its queue is bounded by a number.
type limiter struct {
	// Static after construction.
	config config.ProxyLimit

	// Guarded by mu.
	mu       sync.Mutex
	limit    float64
	inFlight int
	waiting  list.List // of chan struct{}, which is closed when the call may begin
	normal   time.Duration
	known    bool // the backend has been congested: no more large steps
	window   window
}

// window collects the latencies that the next limit follows from.
type window struct {
	began   time.Time
	count   int
	full    bool // the limit was reached
	samples [mostSamples]time.Duration
}

func newLimiter(c config.ProxyLimit) *limiter {
	l := &limiter{config: c, limit: float64(min(firstLimit, c.MaxInFlight))}
	if c.Fixed {
		l.limit = float64(c.MaxInFlight)
	}
	l.window.began = time.Now()
	return l
}

// acquire waits until a call may begin. The errors are errQueueFull, errQueueTimeout and
// those of ctx. Each success needs a release.
func (l *limiter) acquire(ctx context.Context) error {
	l.mu.Lock()
	if l.inFlight < int(l.limit) && l.waiting.Len() == 0 {
		l.inFlight++
		l.mu.Unlock()
		return nil
	}
	l.window.full = true
	if l.waiting.Len() >= l.config.QueueSize {
		l.mu.Unlock()
		return errQueueFull
	}
	ready := make(chan struct{})
	place := l.waiting.PushBack(ready)
	l.mu.Unlock()
	timer := time.NewTimer(l.config.QueueTimeout)
	defer timer.Stop()
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return l.leave(place, ctx.Err())
	case <-timer.C:
		return l.leave(place, errQueueTimeout)
	}
}

// leave gives up a place in the queue. It returns nil if the call may begin after all.
func (l *limiter) leave(place *list.Element, why error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case <-place.Value.(chan struct{}): //nolint:forcetypeassert // nothing else is in the list
		return nil
	default:
		l.waiting.Remove(place)
		return why
	}
}

// release ends a call. Its latency counts if sampled is set: if the backend answered, or did
// not in time.
func (l *limiter) release(latency time.Duration, sampled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inFlight--
	if sampled && !l.config.Fixed {
		l.sampleLocked(latency)
	}
	for l.inFlight < int(l.limit) && l.waiting.Len() > 0 {
		l.inFlight++
		close(l.waiting.Remove(l.waiting.Front()).(chan struct{})) //nolint:forcetypeassert // nothing else is in the list
	}
}

func (l *limiter) sampleLocked(latency time.Duration) {
	w := &l.window
	w.samples[w.count%mostSamples] = latency
	w.count++
	now := time.Now()
	if w.count < leastSamples || now.Sub(w.began) < max(leastWindow, latency) {
		return
	}
	samples := w.samples[:min(w.count, mostSamples)]
	slices.Sort(samples)
	l.adjustLocked(samples[len(samples)/2], w.full)
	w.began, w.count, w.full = now, 0, l.waiting.Len() > 0
}

// adjustLocked derives the limit from the median latency of a window. Full says whether the
// limit was reached in it.
func (l *limiter) adjustLocked(latency time.Duration, full bool) {
	lowest := float64(min(leastLimit, l.config.MaxInFlight))
	switch {
	case l.normal == 0:
		l.normal = latency
	case latency < l.normal, l.limit <= lowest:
		l.normal += (latency - l.normal) / 4
	case !full:
		l.normal += (latency - l.normal) / 64
	}
	tolerated := max(tolerance*l.normal, l.normal+congestedBy)
	switch {
	case latency > tolerated:
		l.known = true
		l.limit = max(lowest, l.limit*max(0.5, float64(tolerated)/float64(latency)))
	case full && !l.known:
		l.limit = min(float64(l.config.MaxInFlight), l.limit*1.5)
	case full:
		l.limit = min(float64(l.config.MaxInFlight), l.limit+math.Sqrt(l.limit))
	}
}

// state returns the limit in force and how many calls are in flight and wait.
func (l *limiter) state() (limit, inFlight, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int(l.limit), l.inFlight, l.waiting.Len()
}
