package centrifuge

import (
	"sync"
	"time"

	"centrifugo/protocol"
)

// When a node or a load balancer comes back, thousands of clients recover the
// same part of the same stream within seconds. It is encoded for the first of
// them only.
const (
	// runLife is how long a run is kept at least after somebody needed it; at most twice that.
	runLife = time.Second
	// maxRunBytes bounds the payloads in kept runs. Encoded, in up to four
	// formats, they take some times that; beyond it each client gets its own.
	maxRunBytes = 8 << 20
)

// runKey identifies a gapless part of a stream. An epoch and an offset never
// stand for two publications (protocol.md 6.4), whatever the engine.
type runKey struct {
	channel, epoch string
	first, last    uint64
}

// runs keeps the runs that were needed lately. The zero value is ready.
type runs struct {
	mu         sync.Mutex
	young, old map[runKey]*protocol.EncodedRange // nil when empty; old ones go at the next turn
	size       int                               // bytes of payload in both
	turning    bool                              // the timer of turn is set
}

// of returns the run of pubs, which is a whole run of the stream: nil if it has gaps.
func (r *runs) of(channel, epoch string, pubs []*Publication) *protocol.EncodedRange {
	if len(pubs) == 0 {
		return nil
	}
	key := runKey{channel: channel, epoch: epoch, first: pubs[0].Offset, last: pubs[len(pubs)-1].Offset}
	if key.last-key.first+1 != uint64(len(pubs)) {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if run := r.young[key]; run != nil {
		return run
	}
	run, kept := r.old[key]
	if kept {
		delete(r.old, key)
	} else {
		size := payloadSize(pubs)
		if r.size+size > maxRunBytes {
			return nil
		}
		r.size += size
		run = protocol.NewEncodedRange(pubs)
	}
	if r.young == nil {
		r.young = make(map[runKey]*protocol.EncodedRange)
	}
	r.young[key] = run
	if !r.turning {
		r.turning = true
		time.AfterFunc(runLife, r.turn)
	}
	return run
}

// turn forgets what nobody needed for a while.
func (r *runs) turn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.old {
		r.size -= payloadSize(run.Publications())
	}
	r.old, r.young = r.young, nil
	if r.turning = r.old != nil; r.turning {
		time.AfterFunc(runLife, r.turn)
	}
}

func payloadSize(pubs []*Publication) int {
	size := 0
	for _, p := range pubs {
		size += len(p.Data)
	}
	return size
}
