// Package wheel keeps the deadlines of all connections on hierarchical timing
// wheels, so that a connection needs neither a goroutine nor a runtime timer. A
// Timer is 48 bytes and is embedded in its owner; time.AfterFunc takes three times
// as much (BenchmarkMemory).
//
//	wheel.go the interface; timers are spread over shards
//	shard.go one timing wheel with its lock and its goroutine
package wheel

import (
	"math"
	"sync"
	"time"
)

// Owner is notified when one of its timers expires. The call comes from the only
// goroutine of the timer's shard, so it must not block. No lock is held during the
// call: it may Set or Stop any timer. now is the time at which the shard woke up.
type Owner interface {
	Expired(t *Timer, now time.Time)
}

// Timer is one deadline. It is embedded by value in its owner and must not be copied
// while it is set. A Timer with an Owner is ready for use.
type Timer struct {
	// Owner must not be changed after the first Set.
	Owner Owner

	// Guarded by the shard's mu.
	next, prev *Timer
	tick       uint64
	slot       uint16

	// Shard selects the lock and the goroutine of the timer, modulo the number of
	// the wheel's shards. It must not be changed after the first Set.
	Shard uint16
}

// Wheel is a set of timers. Its methods are safe for concurrent use.
type Wheel struct {
	// Static after construction.
	tick   time.Duration
	start  time.Time
	shards []*shard
	done   chan struct{} // closed by Close
	wg     sync.WaitGroup

	close sync.Once
}

// New starts a wheel with the given number of shards, one at least. All shards count
// the same ticks. A timer never fires before its deadline and, on an idle machine, at
// most one tick after it: deadlines are rounded up to whole ticks. tick must be
// positive.
func New(tick time.Duration, shards int) *Wheel {
	w := &Wheel{
		tick: max(tick, 1), start: time.Now(), done: make(chan struct{}), shards: make([]*shard, max(shards, 1)),
	}
	for i := range w.shards {
		s := newShard(w)
		w.shards[i] = s
		w.wg.Go(s.run)
	}
	return w
}

// Close stops the wheel and waits for callbacks that are running; none is called
// afterwards. Close must not be called from a callback.
func (w *Wheel) Close() {
	w.close.Do(func() {
		for _, s := range w.shards {
			s.close()
		}
		close(w.done)
	})
	w.wg.Wait()
}

// Set makes t expire after d. It replaces an earlier deadline of t. After Close it
// does nothing.
func (w *Wheel) Set(t *Timer, d time.Duration) {
	elapsed := time.Since(w.start)
	if d > math.MaxInt64-elapsed {
		d = math.MaxInt64 - elapsed
	}
	w.shard(t).set(t, w.ceil(elapsed+d))
}

// SetAt is Set with a point in time, which must come from time.Now: the monotonic
// clock is compared.
func (w *Wheel) SetAt(t *Timer, at time.Time) {
	w.shard(t).set(t, w.ceil(at.Sub(w.start)))
}

// Stop disarms t and reports whether it was set. If it was not, its callback has been
// called or is about to be, or t was never set.
func (w *Wheel) Stop(t *Timer) bool { return w.shard(t).stop(t) }

// Len returns the number of timers that are set.
func (w *Wheel) Len() int {
	n := 0
	for _, s := range w.shards {
		n += s.len()
	}
	return n
}

func (w *Wheel) shard(t *Timer) *shard { return w.shards[int(t.Shard)%len(w.shards)] }

// ceil returns the first tick that is not before at.
func (w *Wheel) ceil(at time.Duration) uint64 {
	if at <= 0 {
		return 0
	}
	at = min(at, math.MaxInt64-2*w.tick)      // the tick's own time must not overflow
	return uint64((at + w.tick - 1) / w.tick) //nolint:gosec // positive
}
