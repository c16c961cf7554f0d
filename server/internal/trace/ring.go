package trace

import (
	"reflect"
	"sync"

	"centrifugo/centrifuge"
)

// The bounds of what is kept of one trace.
const (
	// MaxEvents is the greatest number of events. The oldest are dropped for newer ones.
	MaxEvents = 20_000
	// MaxBytes bounds the memory of the events, in bytes.
	MaxBytes = 8 << 20
	// MaxData is the size of the largest payload that is kept, in bytes.
	MaxData = 4 << 10
)

// record is an event with a number that is unique on the node and grows with time.
type record struct {
	seq  uint64
	size int // of the payload, also if it is not kept
	centrifuge.TraceEvent
}

var recordSize = int(reflect.TypeFor[record]().Size())

// bytes returns an upper bound of the memory that the record uses.
func (r *record) bytes() int {
	return recordSize + len(r.Channel) + len(r.Pattern) + len(r.Client) + len(r.User) + len(r.Epoch) + len(r.Reason) + len(r.Source) + len(r.Data)
}

// ring keeps the newest events of a trace. It is safe for concurrent use.
type ring struct {
	data bool // payloads are kept

	// Guarded by mu, which is a leaf.
	mu      sync.Mutex
	closed  bool
	events  []record // circular
	first   int
	count   int
	size    int // bytes
	dropped uint64
}

// add keeps an event, and drops the oldest ones if the bounds require it.
func (r *ring) add(e *record) {
	kept := *e
	kept.size, kept.Data = len(e.Data), nil
	if r.data && len(e.Data) <= MaxData {
		kept.Data = append([]byte(nil), e.Data...)
	}
	size := kept.bytes()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for r.count > 0 && (r.count == MaxEvents || r.size+size > MaxBytes) {
		r.dropLocked()
	}
	if r.count == len(r.events) {
		r.growLocked()
	}
	r.events[(r.first+r.count)%len(r.events)] = kept
	r.count++
	r.size += size
}

func (r *ring) dropLocked() {
	oldest := &r.events[r.first]
	r.size -= oldest.bytes()
	*oldest = record{}
	r.first = (r.first + 1) % len(r.events)
	r.count--
	r.dropped++
}

func (r *ring) growLocked() {
	grown := make([]record, min(max(64, 2*len(r.events)), MaxEvents))
	n := copy(grown, r.events[r.first:])
	copy(grown[n:], r.events[:r.first])
	r.events, r.first = grown, 0
}

// close ends the recording. The events stay.
func (r *ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
}

// each calls f with the events from the oldest to the newest. F must not keep the record.
func (r *ring) each(f func(e *record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.count {
		f(&r.events[(r.first+i)%len(r.events)])
	}
}

func (r *ring) counts() (events int, dropped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.count, r.dropped
}
