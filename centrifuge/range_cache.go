package centrifuge

import (
	"sync"
	"time"

	"centrifugo/protocol"
)

// When a node or a load balancer comes back, thousands of clients recover the
// same range of the same stream within seconds. The range is encoded once for all of
// them.
const (
	// rangeLife is how long a range is kept at least after its last use. It is kept at
	// most twice as long.
	rangeLife = time.Second
	// maxRangeBytes bounds the payloads in the kept ranges. Encoded, in up to four
	// formats, they take several times as much. A range that does not fit is encoded
	// for each client.
	maxRangeBytes = 8 << 20
)

// rangeKey identifies a range of a stream without gaps. An epoch and an offset never
// stand for two publications (protocol.md 6.4), whatever the engine.
type rangeKey struct {
	channel, epoch string
	form           rangeForm
	first, last    uint64
}

// rangeForm is the form of the publications in a range.
type rangeForm uint8

const (
	rangePlain rangeForm = iota
	rangeDeltaJSON
	rangeDeltaProtobuf
)

// rangeCache keeps the ranges that were used lately. The zero value is ready. Its
// methods are safe for concurrent use.
type rangeCache struct {
	mu         sync.Mutex
	young, old map[rangeKey]*protocol.EncodedRange // nil when empty; the next turn removes old
	size       int                                 // bytes of payload in both
	turning    bool                                // the timer of turn is set
}

// of returns the range of pubs in a form, into which convert turns them; nil for the plain
// one. It returns nil if pubs have gaps, if the range does not fit, or if convert returns
// nil.
func (r *rangeCache) of(
	channel, epoch string, form rangeForm, pubs []*Publication, convert func([]*Publication) []*Publication,
) *protocol.EncodedRange {
	if len(pubs) == 0 {
		return nil
	}
	key := rangeKey{channel: channel, epoch: epoch, form: form, first: pubs[0].Offset, last: pubs[len(pubs)-1].Offset}
	if key.last-key.first+1 != uint64(len(pubs)) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if shared := r.findLocked(key); shared != nil {
		return shared
	}
	if convert != nil {
		r.mu.Unlock() // a few clients may convert the same range meanwhile
		pubs = convert(pubs)
		r.mu.Lock()
		if shared := r.findLocked(key); shared != nil || pubs == nil {
			return shared
		}
	}
	size := payloadSize(pubs)
	if r.size+size > maxRangeBytes {
		return nil
	}
	r.size += size
	shared := protocol.NewEncodedRange(pubs)
	r.keepLocked(key, shared)
	return shared
}

// findLocked returns a range that is kept, or nil.
func (r *rangeCache) findLocked(key rangeKey) *protocol.EncodedRange {
	shared := r.young[key]
	if shared == nil {
		if shared = r.old[key]; shared != nil {
			delete(r.old, key)
			r.keepLocked(key, shared)
		}
	}
	return shared
}

func (r *rangeCache) keepLocked(key rangeKey, shared *protocol.EncodedRange) {
	if r.young == nil {
		r.young = make(map[rangeKey]*protocol.EncodedRange)
	}
	r.young[key] = shared
	if !r.turning {
		r.turning = true
		time.AfterFunc(rangeLife, r.turn)
	}
}

// turn removes the ranges that were not used since the turn before.
func (r *rangeCache) turn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, shared := range r.old {
		r.size -= payloadSize(shared.Publications())
	}
	r.old, r.young = r.young, nil
	if r.turning = r.old != nil; r.turning {
		time.AfterFunc(rangeLife, r.turn)
	}
}

func payloadSize(pubs []*Publication) int {
	size := 0
	for _, p := range pubs {
		size += len(p.Data)
	}
	return size
}
