// Package wheel keeps the deadlines of all clients on one hierarchical timing
// wheel, so that a connection needs neither a goroutine nor a runtime timer.
//
// Time is counted in ticks. A level has 64 slots; a slot of level n spans 64^n
// ticks. A timer waits on the level of the highest group of six bits in which
// its tick differs from the current one, and is moved down when the wheel
// reaches its slot. From this follows that every occupied slot of a level lies
// ahead of the current one, and before every occupied slot of the level above:
// the next event is found by looking at one bitmap per level. The wheel sleeps
// until then, and for ever when nothing is set.
package wheel

import (
	"math"
	"math/bits"
	"sync"
	"time"
)

const (
	slotBits  = 6
	slotCount = 1 << slotBits
	slotMask  = slotCount - 1
	numLevels = 11 // 66 bits: any tick has a place

	// Values of Timer.slot: idle, 1 + index of a slot, or due.
	slotIdle = 0
	slotDue  = numLevels*slotCount + 1

	never = math.MaxUint64
)

// Owner is told when one of its timers has expired. The call comes from the
// wheel's only goroutine, so it must be short; no lock is held, and it may Set or
// Stop any timer. Now is the time at which the wheel woke up.
type Owner interface {
	Expired(t *Timer, now time.Time)
}

// Timer is one deadline, embedded by value in its owner, which must not be
// copied while it is set. The zero value with an Owner is ready for use.
type Timer struct {
	// Owner is fixed before the first Set.
	Owner Owner

	// Guarded by Wheel.mu.
	next, prev *Timer
	tick       uint64
	slot       uint16
}

// Wheel is a timing wheel. Its methods are safe for concurrent use.
type Wheel struct {
	// Static after construction.
	tick     time.Duration
	start    time.Time
	sleep    *time.Timer
	done     chan struct{} // closed by Close
	finished chan struct{} // closed by run

	// Guarded by mu.
	mu       sync.Mutex
	closed   bool
	current  uint64 // all slots up to this tick are empty
	wake     uint64 // the tick the wheel sleeps for; 0 while it is awake
	armed    int    // timers set, without those that are due
	occupied [numLevels]uint64
	slots    [slotDue + 1]*Timer // heads of lists, by Timer.slot
}

// New starts a wheel. A timer never fires before its deadline, and on an idle
// machine at most one tick after: deadlines are rounded up to whole ticks. Tick
// must be positive.
func New(tick time.Duration) *Wheel {
	w := &Wheel{
		tick:     max(tick, 1),
		start:    time.Now(),
		sleep:    time.NewTimer(math.MaxInt64),
		done:     make(chan struct{}),
		finished: make(chan struct{}),
		wake:     never,
	}
	w.sleep.Stop()
	go w.run()
	return w
}

// Close stops the wheel and waits for a callback that is running; none follows.
// Timers that are set never fire. It must not be called from a callback.
func (w *Wheel) Close() {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.done)
	}
	w.mu.Unlock()
	<-w.finished
}

// Set makes t expire after d, instead of the deadline it had before, if any.
// After Close it does nothing.
func (w *Wheel) Set(t *Timer, d time.Duration) {
	elapsed := time.Since(w.start)
	if d > math.MaxInt64-elapsed {
		d = math.MaxInt64 - elapsed
	}
	w.set(t, elapsed+d)
}

// SetAt is Set with a point in time, which must come from time.Now: it is
// compared by the monotonic clock.
func (w *Wheel) SetAt(t *Timer, at time.Time) {
	w.set(t, at.Sub(w.start))
}

// Stop disarms t. It says whether t was set; if not, its callback has been
// called, is about to be, or t was never set.
func (w *Wheel) Stop(t *Timer) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if t.slot == slotIdle {
		return false
	}
	w.unlinkLocked(t)
	if w.armed == 0 && w.wake != 0 {
		w.sleep.Stop()
		w.wake = never
	}
	return true
}

// Len counts the timers that are set.
func (w *Wheel) Len() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.armed
}

func (w *Wheel) set(t *Timer, at time.Duration) {
	tick := w.ceil(at)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	if t.slot != slotIdle {
		w.unlinkLocked(t)
	}
	t.tick = max(tick, w.current+1)
	w.linkLocked(t)
	// Waking for the slot rather than for t: it may have to be moved down first.
	if event := w.slotTick(t.slot); event < w.wake {
		w.sleepUntilLocked(event)
	}
}

func (w *Wheel) run() {
	defer close(w.finished)
	defer w.sleep.Stop()
	for {
		select {
		case <-w.sleep.C:
			w.advance()
		case <-w.done:
			return
		}
	}
}

// advance calls the owners of all timers whose tick has come, and goes to sleep.
func (w *Wheel) advance() {
	now := time.Now()
	target := uint64(now.Sub(w.start) / w.tick) //nolint:gosec // not negative: the clock is monotonic
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wake = 0 // Set need not wake us
	for !w.closed {
		slot := w.nextLocked()
		if slot == slotIdle || w.slotTick(slot) > target {
			break
		}
		w.openLocked(slot)
		w.fireLocked(now)
	}
	w.current = max(w.current, target)
	w.wake = never
	if slot := w.nextLocked(); slot != slotIdle && !w.closed {
		w.sleepUntilLocked(w.slotTick(slot))
	}
}

// openLocked makes the tick of a slot the current one and empties the slot: its
// timers are due, or move to a lower level.
func (w *Wheel) openLocked(slot uint16) {
	w.current = w.slotTick(slot)
	for t := w.slots[slot]; t != nil; t = w.slots[slot] {
		w.unlinkLocked(t)
		w.linkLocked(t)
	}
}

// fireLocked calls the owners of the timers that are due, without the lock: one
// by one, so that a callback can still stop the next timer.
func (w *Wheel) fireLocked(now time.Time) {
	for t := w.slots[slotDue]; t != nil && !w.closed; t = w.slots[slotDue] {
		w.unlinkLocked(t)
		owner := t.Owner
		w.mu.Unlock()
		owner.Expired(t, now)
		w.mu.Lock()
	}
}

// linkLocked puts t, which is not before the current tick, into its slot.
func (w *Wheel) linkLocked(t *Timer) {
	if t.tick == w.current {
		t.slot = slotDue
	} else {
		level := (bits.Len64(t.tick^w.current) - 1) / slotBits
		index := t.tick >> (level * slotBits) & slotMask
		w.occupied[level] |= 1 << index
		t.slot = uint16(1 + level*slotCount + int(index)) //nolint:gosec // at most numLevels*slotCount
		w.armed++
	}
	t.next = w.slots[t.slot]
	if t.next != nil {
		t.next.prev = t
	}
	w.slots[t.slot] = t
}

func (w *Wheel) unlinkLocked(t *Timer) {
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		w.slots[t.slot] = t.next
	}
	if t.slot != slotDue {
		w.armed--
		if w.slots[t.slot] == nil {
			level, index := (t.slot-1)/slotCount, (t.slot-1)%slotCount
			w.occupied[level] &^= 1 << index
		}
	}
	t.next, t.prev, t.slot = nil, nil, slotIdle
}

// nextLocked returns the occupied slot with the lowest tick.
func (w *Wheel) nextLocked() uint16 {
	for level, set := range w.occupied {
		if set != 0 {
			return uint16(1 + level*slotCount + bits.TrailingZeros64(set)) //nolint:gosec // at most numLevels*slotCount
		}
	}
	return slotIdle
}

// slotTick is the first tick of a slot.
func (w *Wheel) slotTick(slot uint16) uint64 {
	if slot == slotDue {
		return w.current
	}
	level, index := uint(slot-1)/slotCount, uint64(slot-1)%slotCount
	low := level * slotBits
	high := w.current >> low >> slotBits << slotBits // in two steps: low+slotBits may be 64 and more
	return (high | index) << low
}

func (w *Wheel) sleepUntilLocked(tick uint64) {
	w.wake = tick
	w.sleep.Reset(time.Duration(tick)*w.tick - time.Since(w.start)) //nolint:gosec // at most the rounded deadline, see ceil
}

// ceil is the first tick that is not before at.
func (w *Wheel) ceil(at time.Duration) uint64 {
	if at <= 0 {
		return 0
	}
	at = min(at, math.MaxInt64-2*w.tick)      // the tick's own time must not overflow
	return uint64((at + w.tick - 1) / w.tick) //nolint:gosec // positive
}
