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
	numLevels = 11 // 66 bits: every tick has a slot

	// Values of Timer.slot: idle, 1 + index of a slot, or due.
	slotIdle = 0
	slotDue  = numLevels*slotCount + 1

	never = math.MaxUint64
)

// shard is one timing wheel. Time is counted in ticks. A level has 64 slots; a slot of
// level n spans 64^n ticks. A timer is on the level of the highest group of six bits
// in which its tick differs from the current one, and is moved to a lower level when
// the current tick reaches its slot. It follows that every occupied slot of a level
// lies ahead of the current one and before every occupied slot of the level above: one
// bitmap per level shows the next event. The shard sleeps until then, or without a
// limit if no timer is set.
type shard struct {
	// Static after construction.
	wheel *Wheel
	sleep *time.Timer

	// Guarded by mu.
	mu       sync.Mutex
	closed   bool
	current  uint64 // all slots up to this tick are empty
	wake     uint64 // the tick at which the shard wakes up; 0 while it is awake
	armed    int    // timers that are set and not due
	occupied [numLevels]uint64
	slots    [slotDue + 1]*Timer // heads of lists, by Timer.slot
}

func newShard(w *Wheel) *shard {
	s := &shard{wheel: w, sleep: time.NewTimer(math.MaxInt64), wake: never}
	s.sleep.Stop()
	return s
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
}

func (s *shard) set(t *Timer, tick uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	if t.slot != slotIdle {
		s.unlinkLocked(t)
	}
	t.tick = max(tick, s.current+1)
	s.linkLocked(t)
	// The shard wakes up for the slot, not for t: t may have to be moved down first.
	if event := s.slotTick(t.slot); event < s.wake {
		s.sleepUntilLocked(event)
	}
}

func (s *shard) stop(t *Timer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t.slot == slotIdle {
		return false
	}
	s.unlinkLocked(t)
	if s.armed == 0 && s.wake != 0 {
		s.sleep.Stop()
		s.wake = never
	}
	return true
}

func (s *shard) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.armed
}

func (s *shard) run() {
	defer s.sleep.Stop()
	for {
		select {
		case <-s.sleep.C:
			s.advance()
		case <-s.wheel.done:
			return
		}
	}
}

// advance calls the owners of all timers whose tick has come, and sets the next time
// to wake up.
func (s *shard) advance() {
	now := time.Now()
	target := uint64(now.Sub(s.wheel.start) / s.wheel.tick) //nolint:gosec // not negative: the clock is monotonic
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wake = 0 // set need not wake the shard
	for !s.closed {
		slot := s.nextLocked()
		if slot == slotIdle || s.slotTick(slot) > target {
			break
		}
		s.openLocked(slot)
		s.fireLocked(now)
	}
	s.current = max(s.current, target)
	s.wake = never
	if slot := s.nextLocked(); slot != slotIdle && !s.closed {
		s.sleepUntilLocked(s.slotTick(slot))
	}
}

// openLocked makes the tick of a slot the current one and empties the slot: its timers
// become due or move to a lower level.
func (s *shard) openLocked(slot uint16) {
	s.current = s.slotTick(slot)
	for t := s.slots[slot]; t != nil; t = s.slots[slot] {
		s.unlinkLocked(t)
		s.linkLocked(t)
	}
}

// fireLocked calls the owners of the timers that are due, with the lock released. It
// takes timers one by one, so that a callback can stop the next one.
func (s *shard) fireLocked(now time.Time) {
	for t := s.slots[slotDue]; t != nil && !s.closed; t = s.slots[slotDue] {
		s.unlinkLocked(t)
		owner := t.Owner
		s.mu.Unlock()
		owner.Expired(t, now)
		s.mu.Lock()
	}
}

// linkLocked puts t, whose tick is not before the current one, into its slot.
func (s *shard) linkLocked(t *Timer) {
	if t.tick == s.current {
		t.slot = slotDue
	} else {
		level := (bits.Len64(t.tick^s.current) - 1) / slotBits
		index := t.tick >> (level * slotBits) & slotMask
		s.occupied[level] |= 1 << index
		t.slot = uint16(1 + level*slotCount + int(index)) //nolint:gosec // at most numLevels*slotCount
		s.armed++
	}
	t.next = s.slots[t.slot]
	if t.next != nil {
		t.next.prev = t
	}
	s.slots[t.slot] = t
}

func (s *shard) unlinkLocked(t *Timer) {
	if t.next != nil {
		t.next.prev = t.prev
	}
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		s.slots[t.slot] = t.next
	}
	if t.slot != slotDue {
		s.armed--
		if s.slots[t.slot] == nil {
			level, index := (t.slot-1)/slotCount, (t.slot-1)%slotCount
			s.occupied[level] &^= 1 << index
		}
	}
	t.next, t.prev, t.slot = nil, nil, slotIdle
}

// nextLocked returns the occupied slot with the lowest tick, or slotIdle.
func (s *shard) nextLocked() uint16 {
	for level, set := range s.occupied {
		if set != 0 {
			return uint16(1 + level*slotCount + bits.TrailingZeros64(set)) //nolint:gosec // at most numLevels*slotCount
		}
	}
	return slotIdle
}

// slotTick returns the first tick of a slot.
func (s *shard) slotTick(slot uint16) uint64 {
	if slot == slotDue {
		return s.current
	}
	level, index := uint(slot-1)/slotCount, uint64(slot-1)%slotCount
	low := level * slotBits
	high := s.current >> low >> slotBits << slotBits // in two steps: low+slotBits may be 64 or more
	return (high | index) << low
}

func (s *shard) sleepUntilLocked(tick uint64) {
	s.wake = tick
	s.sleep.Reset(time.Duration(tick)*s.wheel.tick - time.Since(s.wheel.start)) //nolint:gosec // at most the rounded deadline, see ceil
}
