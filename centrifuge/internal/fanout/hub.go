// Package fanout is the hot path: one message in, many sockets out.
//
// Read it in this order:
//
//	hub.go     which lanes have subscribers of a channel; hands a Push to those lanes
//	lane.go    one goroutine and an inbox per core: delivers every pending Push to its own subscribers, then flushes them
//	gate.go    keeps one subscriber's view of a channel gapless
//	sub.go     one subscriber of one channel: gate, filter, form of the message
//	push.go    turns a Push into bytes, once per form
//	outbox.go  queues frames for one connection; writes them in batches
//
// Beside the path, for those who ask for it:
//
//	batcher.go gathers the pushes of a channel for a while; gathering.go is one batch
//	delay.go   holds outboxes back, so that more leaves at once
//	budget.go  bounds what waits for all slow readers
//	fifo.go    a queue whose memory is lent
//	table.go   a set of channels or subscriptions by name, at 12 to 28 bytes each
//
// Locks are taken in this order: batcher, hub shard, lane, gate, outbox. None is
// held while bytes go to the network.
package fanout

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
)

const numShards = 64

// Hub knows which channels have subscribers, and in which lanes.
type Hub struct {
	lanes  []*Lane
	seed   maphash.Seed
	shards [numShards]hubShard

	channels, subscribers atomic.Int64
}

type hubShard struct {
	mu        sync.RWMutex
	audiences Table[audience]
}

// audience is who hears a channel: one subscriber, or a Channel of them. Most
// channels have one subscriber (a person, an order, a device) and cost nothing
// but their place in the table.
type audience struct {
	sole  *Sub
	crowd *Channel
}

// ChannelName implements Named.
func (a audience) ChannelName() string {
	if a.crowd != nil {
		return a.crowd.Name
	}
	return a.sole.Channel
}

func (a audience) size() int {
	if a.crowd != nil {
		return int(a.crowd.total)
	}
	return 1
}

// Channel is what the hub keeps of a channel that has, or had, several subscribers.
type Channel struct {
	Name string
	// Guarded by the shard's mu: subscribers in all lanes and in each.
	total int32
	inUse []int32
	// Each element is owned by the goroutine of its lane.
	subs [][]*Sub
}

// NewHub starts n lanes; one per core is the measure. Close ends them.
func NewHub(n int) *Hub {
	h := &Hub{seed: maphash.MakeSeed(), lanes: make([]*Lane, n)}
	for i := range h.lanes {
		h.lanes[i] = newLane(i)
	}
	return h
}

// Close ends the lanes after what is pending has been delivered.
func (h *Hub) Close() {
	for _, l := range h.lanes {
		l.close()
	}
}

// Lane is where the connection with this number belongs.
func (h *Hub) Lane(conn uint64) uint16 {
	return uint16(conn % uint64(len(h.lanes))) //nolint:gosec // there are as many lanes as cores
}

// Add registers s for its channel; every push that is broadcast after Add has
// returned reaches its gate. first is set for the node's first subscriber.
// Add and Remove of one channel must not run at the same time as the calls that
// depend on first and last: the node holds the channel's keylock.
func (h *Hub) Add(s *Sub) (first bool) {
	hash := hashOf(h.seed, s.Channel)
	sh := h.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h.subscribers.Add(1)
	a, found := sh.audiences.get(s.Channel, hash)
	if !found {
		sh.audiences.put(audience{sole: s}, hash)
		h.channels.Add(1)
		return true
	}
	if a.crowd == nil {
		sole := a.sole
		a = audience{crowd: &Channel{Name: sole.Channel, inUse: make([]int32, len(h.lanes)), subs: make([][]*Sub, len(h.lanes))}}
		sh.audiences.put(a, hash)
		h.enterLocked(a.crowd, sole)
	}
	h.enterLocked(a.crowd, s)
	return false
}

// enterLocked counts s in, and lets its lane know.
func (h *Hub) enterLocked(ch *Channel, s *Sub) {
	ch.total++
	ch.inUse[s.Lane]++
	s.crowd = ch
	h.lanes[s.Lane].post(order{op: opAdd, channel: ch, sub: s})
}

// Remove forgets s, which must have been added, and reports whether it was the
// node's last subscriber. The gate is closed: nothing is put for s afterwards.
func (h *Hub) Remove(s *Sub) (last bool) {
	s.Gate.Close()
	hash := hashOf(h.seed, s.Channel)
	sh := h.shard(hash)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h.subscribers.Add(-1)
	if ch := s.crowd; ch != nil {
		ch.total--
		ch.inUse[s.Lane]--
		h.lanes[s.Lane].post(order{op: opRemove, channel: ch, sub: s})
		if ch.total > 0 {
			return false
		}
	}
	sh.audiences.remove(s.Channel, hash)
	h.channels.Add(-1)
	return true
}

// Broadcast hands p to the lanes that have subscribers of its channel. Calls
// for one channel must come one after another: that order is the order of
// delivery. It waits while a lane is behind.
func (h *Hub) Broadcast(p *Push) {
	var few [16]target // no allocation up to 16 lanes
	// Posting may wait, so it is done without the shard's lock. A subscriber
	// that comes in between may see p although it was not counted: the gate and
	// its position decide.
	for _, t := range h.targets(p.Channel, few[:0]) {
		h.lanes[t.lane].postPush(t.order(p), int(t.subscribers))
	}
}

// target is a lane and whom it has of a channel: all its members there, or the
// one subscriber.
type target struct {
	audience
	lane        uint16
	subscribers int32
}

func (t *target) order(p *Push) order {
	return order{op: opPush, channel: t.crowd, sub: t.sole, push: p}
}

// targets are the lanes that have subscribers of a channel, appended to room.
func (h *Hub) targets(name string, room []target) []target {
	hash := hashOf(h.seed, name)
	sh := h.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	a, found := sh.audiences.get(name, hash)
	switch {
	case !found:
	case a.crowd == nil:
		room = append(room, target{audience: a, lane: a.sole.Lane, subscribers: 1})
	default:
		for lane, n := range a.crowd.inUse {
			if n > 0 {
				room = append(room, target{audience: a, lane: uint16(lane), subscribers: n}) //nolint:gosec // as many as cores
			}
		}
	}
	return room
}

// NumSubscribers of a channel on this node.
func (h *Hub) NumSubscribers(name string) int {
	hash := hashOf(h.seed, name)
	sh := h.shard(hash)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if a, found := sh.audiences.get(name, hash); found {
		return a.size()
	}
	return 0
}

// Count returns the number of channels and of subscriptions on this node.
func (h *Hub) Count() (channels, subscriptions int) {
	return int(h.channels.Load()), int(h.subscribers.Load())
}

// Each calls f for every channel with its number of subscribers. No lock is held
// meanwhile: f may take its time, and fail.
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
		sh.audiences.Each(func(a audience) { entries = append(entries, entry{a.ChannelName(), a.size()}) })
		sh.mu.RUnlock()
		for _, e := range entries {
			f(e.channel, e.subscribers)
		}
	}
}

// shard uses the lowest bits of the hash, a Table the highest.
func (h *Hub) shard(hash uint32) *hubShard { return &h.shards[hash%numShards] }
