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
	first, last    uint64
}

// rangeCache keeps the ranges that were used lately. The zero value is ready. Its
// methods are safe for concurrent use.
type rangeCache struct {
	mu         sync.Mutex
	young, old map[rangeKey]*protocol.EncodedRange // nil when empty; the next turn removes old
	size       int                                 // bytes of payload in both
	turning    bool                                // the timer of turn is set
}

// of returns the range of pubs. It returns nil if pubs have gaps, or if the range does
// not fit.
func (r *rangeCache) of(channel, epoch string, pubs []*Publication) *protocol.EncodedRange {
	if len(pubs) == 0 {
		return nil
	}
	key := rangeKey{channel: channel, epoch: epoch, first: pubs[0].Offset, last: pubs[len(pubs)-1].Offset}
	if key.last-key.first+1 != uint64(len(pubs)) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if shared := r.young[key]; shared != nil {
		return shared
	}
	shared, kept := r.old[key]
	if kept {
		delete(r.old, key)
	} else {
		size := payloadSize(pubs)
		if r.size+size > maxRangeBytes {
			return nil
		}
		r.size += size
		shared = protocol.NewEncodedRange(pubs)
	}
	if r.young == nil {
		r.young = make(map[rangeKey]*protocol.EncodedRange)
	}
	r.young[key] = shared
	if !r.turning {
		r.turning = true
		time.AfterFunc(rangeLife, r.turn)
	}
	return shared
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
