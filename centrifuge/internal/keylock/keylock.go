// Package keylock gives a mutex to every name that is in use, and none to the
// others. The library locks a channel's name while it tells the broker of the
// first subscriber or of the last one's leaving, so that the two cannot cross.
package keylock

import (
	"hash/maphash"
	"sync"
)

const (
	numShards = 64
	// spares is how many unused entries a shard keeps, so that locking allocates
	// nothing in the steady state.
	spares = 16
	// shrinkAbove is the size under which a shard's map is never rebuilt.
	shrinkAbove = 256
)

// Locks is a set of mutexes by name. Its methods are safe for concurrent use.
type Locks struct {
	// Static after construction.
	seed   maphash.Seed // names come from clients, who must not choose the shard
	shards [numShards]shard
}

type shard struct {
	// Guarded by mu.
	mu       sync.Mutex
	entries  map[string]*Entry
	peak     int // size of entries at its greatest since it was made
	spare    *Entry
	numSpare int

	_ [16]byte // a cache line each
}

// Entry is the mutex of one name, locked by whoever got it from Lock.
type Entry struct {
	// Static after construction.
	shard *shard

	mu sync.Mutex

	// Guarded by shard.mu.
	key   string
	users int // the holder and those who wait
	next  *Entry
}

// New returns an empty set.
func New() *Locks {
	l := &Locks{seed: maphash.MakeSeed()}
	for i := range l.shards {
		l.shards[i].entries = make(map[string]*Entry)
	}
	return l
}

// Lock waits until no other caller holds key. The caller must call Unlock on the
// result exactly once, from any goroutine.
func (l *Locks) Lock(key string) *Entry {
	s := &l.shards[maphash.String(l.seed, key)%numShards]
	s.mu.Lock()
	e := s.entries[key]
	if e == nil {
		e = s.addLocked(key)
	}
	e.users++
	s.mu.Unlock()
	e.mu.Lock()
	return e
}

// TryLock locks key without waiting: ok is false if another caller holds key.
func (l *Locks) TryLock(key string) (e *Entry, ok bool) {
	s := &l.shards[maphash.String(l.seed, key)%numShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries[key] != nil {
		return nil, false
	}
	e = s.addLocked(key)
	e.users++
	e.mu.Lock() // no other caller can hold it
	return e, true
}

// Drain returns when every key that was held or waited for at the time of the call
// has been released. It does not wait for keys that are locked later.
func (l *Locks) Drain() {
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		keys := make([]string, 0, len(s.entries))
		for key := range s.entries {
			keys = append(keys, key)
		}
		s.mu.Unlock()
		for _, key := range keys {
			l.Lock(key).Unlock()
		}
	}
}

// Unlock lets the next one in. The entry must not be used afterwards.
func (e *Entry) Unlock() {
	e.mu.Unlock()
	s := e.shard
	s.mu.Lock()
	if e.users--; e.users == 0 {
		s.removeLocked(e)
	}
	s.mu.Unlock()
}

// Len counts the names that are locked or waited for.
func (l *Locks) Len() int {
	n := 0
	for i := range l.shards {
		s := &l.shards[i]
		s.mu.Lock()
		n += len(s.entries)
		s.mu.Unlock()
	}
	return n
}

func (s *shard) addLocked(key string) *Entry {
	e := s.spare
	if e == nil {
		e = &Entry{shard: s}
	} else {
		s.spare, e.next = e.next, nil
		s.numSpare--
	}
	e.key = key
	s.entries[key] = e
	s.peak = max(s.peak, len(s.entries))
	return e
}

func (s *shard) removeLocked(e *Entry) {
	delete(s.entries, e.key)
	e.key = ""
	if s.numSpare < spares {
		e.next, s.spare = s.spare, e
		s.numSpare++
	}
	// A map never gives memory back, so one that lost most of its entries is
	// replaced. The copy is paid for by the deletes that led to it.
	if s.peak > shrinkAbove && len(s.entries) < s.peak/4 {
		entries := make(map[string]*Entry, len(s.entries))
		for key, entry := range s.entries {
			entries[key] = entry
		}
		s.entries, s.peak = entries, len(entries)
	}
}
