// Package fanout is the hot path: it delivers one message to many sockets.
//
// Read it in this order:
//
//	hub.go        finds the lanes that have subscribers of a channel and gives them a Push
//	lane.go       a lane is a delivery shard: one goroutine per core with an inbox. It delivers
//	              all pending pushes to its own subscribers, then flushes their outboxes
//	gate.go       keeps one subscriber's view of a channel gapless
//	subscriber.go one connection's subscription to one channel: gate, filter, form of the message
//	push.go       encodes a message, once per form
//	outbox.go     queues the encoded messages of one connection and writes them in batches
//
// Optional stages:
//
//	coalescer.go  collects the pushes of a channel for a short time; coalescing.go is the list it builds
//	delay.go      delays the writes of outboxes, so that a write carries more messages
//	budget.go     bounds the bytes queued for all slow readers together
//	fifo.go       a queue whose memory is pooled
//
// Locks are taken in this order: coalescer, hub shard, lane, gate, outbox. None is
// held while bytes go to the network.
package fanout

import (
	"hash/maphash"
	"sync"
	"sync/atomic"

	"centrifugo/centrifuge/internal/nametable"
)

const numShards = 64

// Hub knows which channels have subscribers, and in which lanes. Its methods are
// safe for concurrent use.
type Hub struct {
	// Static after construction.
	lanes []*Lane
	seed  maphash.Seed

	shards [numShards]hubShard

	numChannels, numSubscribers atomic.Int64
}

type hubShard struct {
	mu       sync.RWMutex
	channels nametable.Table[subscribers]
}

// subscribers are the subscribers of one channel: a single one, or a set. Most
// channels have one subscriber (a person, a shop order, a device) and need no
// memory except their slot in the table.
type subscribers struct {
	single *Subscriber
	set    *subscriberSet
}

// Name implements nametable.Named.
func (s subscribers) Name() string {
	if s.set != nil {
		return s.set.channel
	}
	return s.single.Channel
}

func (s subscribers) count() int {
	if s.set != nil {
		return int(s.set.total)
	}
	return 1
}

// subscriberSet is the set of subscribers of a channel that has, or had, more
// than one.
type subscriberSet struct {
	channel string
	// Guarded by the shard's mu.
	total   int32
	perLane []int32 // number of subscribers in each lane
	// Each element is owned by the goroutine of its lane.
	members [][]*Subscriber
}

// NewHub starts n lanes. One per core is the intended number. Close ends them.
func NewHub(n int) *Hub {
	h := &Hub{seed: maphash.MakeSeed(), lanes: make([]*Lane, n)}
	for i := range h.lanes {
		h.lanes[i] = newLane(i)
	}
	return h
}

// Close delivers the pending pushes and ends the lanes.
func (h *Hub) Close() {
	for _, l := range h.lanes {
		l.close()
	}
}

// Lane returns the lane of the connection with this number.
func (h *Hub) Lane(conn uint64) uint16 {
	return uint16(conn % uint64(len(h.lanes))) //nolint:gosec // there are as many lanes as cores
}

// Add registers s for its channel. Every push that is broadcast after Add has
// returned reaches its gate. Add reports whether s is the node's first subscriber
// of the channel. Add and Remove of one channel must not run at the same time as
// the calls that depend on first and last: the node holds the channel's keylock.
func (h *Hub) Add(s *Subscriber) (first bool) {
	hash := nametable.Hash(h.seed, s.Channel)
	sh := h.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h.numSubscribers.Add(1)
	subs, found := sh.channels.GetHashed(s.Channel, hash)
	if !found {
		sh.channels.PutHashed(subscribers{single: s}, hash)
		h.numChannels.Add(1)
		return true
	}
	if subs.set == nil {
		single := subs.single
		subs = subscribers{set: &subscriberSet{
			channel: single.Channel, perLane: make([]int32, len(h.lanes)), members: make([][]*Subscriber, len(h.lanes)),
		}}
		sh.channels.PutHashed(subs, hash)
		h.joinLocked(subs.set, single)
	}
	h.joinLocked(subs.set, s)
	return false
}

// joinLocked adds s to the counts of the set and tells its lane to add it.
func (h *Hub) joinLocked(set *subscriberSet, s *Subscriber) {
	set.total++
	set.perLane[s.Lane]++
	s.set = set
	h.lanes[s.Lane].post(laneOp{kind: opAdd, set: set, subscriber: s})
}

// Remove unregisters s, which must have been added, and reports whether it was
// the node's last subscriber of the channel. The gate is closed: nothing is put
// for s afterwards.
func (h *Hub) Remove(s *Subscriber) (last bool) {
	s.Gate.Close()
	hash := nametable.Hash(h.seed, s.Channel)
	sh := h.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h.numSubscribers.Add(-1)
	if set := s.set; set != nil {
		set.total--
		set.perLane[s.Lane]--
		h.lanes[s.Lane].post(laneOp{kind: opRemove, set: set, subscriber: s})
		if set.total > 0 {
			return false
		}
	}
	sh.channels.DeleteHashed(s.Channel, hash)
	h.numChannels.Add(-1)
	return true
}

// Broadcast hands p to the lanes that have subscribers of its channel. Calls for
// one channel must be sequential: their order is the order of delivery. Broadcast
// blocks while a lane's inbox is full.
func (h *Hub) Broadcast(p *Push) {
	var buf [16]target // no allocation up to 16 lanes
	// The shard's lock is not held here, because posting may block. A subscriber
	// that is added meanwhile may get p although it was not counted: its gate
	// compares positions.
	for _, t := range h.targets(p.Channel, buf[:0]) {
		h.lanes[t.lane].postPush(t.push(p), int(t.deliveries))
	}
}

// target is a lane and the channel's subscribers in it: the members of the set
// that belong to the lane, or the single subscriber.
type target struct {
	subscribers
	lane       uint16
	deliveries int32 // number of subscribers in the lane
}

func (t *target) push(p *Push) laneOp {
	return laneOp{kind: opPush, set: t.set, subscriber: t.single, push: p}
}

// targets appends to dst the lanes that have subscribers of a channel.
func (h *Hub) targets(channel string, dst []target) []target {
	hash := nametable.Hash(h.seed, channel)
	sh := h.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	subs, found := sh.channels.GetHashed(channel, hash)
	switch {
	case !found:
	case subs.set == nil:
		dst = append(dst, target{subscribers: subs, lane: subs.single.Lane, deliveries: 1})
	default:
		for lane, n := range subs.set.perLane {
			if n > 0 {
				dst = append(dst, target{subscribers: subs, lane: uint16(lane), deliveries: n}) //nolint:gosec // as many as cores
			}
		}
	}
	return dst
}

// NumSubscribers returns the number of subscribers of a channel on this node.
func (h *Hub) NumSubscribers(channel string) int {
	hash := nametable.Hash(h.seed, channel)
	sh := h.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if subs, found := sh.channels.GetHashed(channel, hash); found {
		return subs.count()
	}
	return 0
}

// Count returns the number of channels and of subscriptions on this node.
func (h *Hub) Count() (channels, subscriptions int) {
	return int(h.numChannels.Load()), int(h.numSubscribers.Load())
}

// Each calls f for every channel with its number of subscribers. No lock is held
// during the call: f may block.
func (h *Hub) Each(f func(channel string, subscribers int)) {
	type entry struct {
		channel     string
		subscribers int
	}
	var entries []entry
	for i := range h.shards {
		sh := &h.shards[i]
		entries = entries[:0]
		sh.mu.RLock()
		sh.channels.Each(func(s subscribers) { entries = append(entries, entry{s.Name(), s.count()}) })
		sh.mu.RUnlock()
		for _, e := range entries {
			f(e.channel, e.subscribers)
		}
	}
}

// shard uses the lowest bits of the hash; a nametable uses the highest.
func (h *Hub) shard(hash uint32) *hubShard { return &h.shards[hash%numShards] }
