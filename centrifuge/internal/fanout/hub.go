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
// Locks are taken in this order: hub shard, lane, gate, outbox. None is held
// while bytes go to the network.
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
	mu       sync.RWMutex
	channels map[string]*Channel
}

// Channel is what the hub keeps of a channel that has subscribers.
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
	for i := range h.shards {
		h.shards[i].channels = make(map[string]*Channel)
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

// Add registers s for a channel; every push that is broadcast after Add has
// returned reaches its gate. first is set for the node's first subscriber.
// Add and Remove of one channel must not run at the same time as the calls that
// depend on first and last: the node holds the channel's keylock.
func (h *Hub) Add(name string, s *Sub) (first bool) {
	sh := h.shard(name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	ch, ok := sh.channels[name]
	if !ok {
		ch = &Channel{Name: name, inUse: make([]int32, len(h.lanes)), subs: make([][]*Sub, len(h.lanes))}
		sh.channels[name] = ch
		h.channels.Add(1)
	}
	h.subscribers.Add(1)
	ch.total++
	ch.inUse[s.Lane]++
	s.channel = ch
	h.lanes[s.Lane].post(order{op: opAdd, channel: ch, sub: s})
	return !ok
}

// Remove forgets s, which must have been added, and reports whether it was the
// node's last subscriber. The gate is closed: nothing is put for s afterwards.
func (h *Hub) Remove(s *Sub) (last bool) {
	s.Gate.Close()
	ch := s.channel
	sh := h.shard(ch.Name)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	h.subscribers.Add(-1)
	ch.total--
	ch.inUse[s.Lane]--
	h.lanes[s.Lane].post(order{op: opRemove, channel: ch, sub: s})
	if ch.total > 0 {
		return false
	}
	delete(sh.channels, ch.Name)
	h.channels.Add(-1)
	return true
}

// Broadcast hands p to the lanes that have subscribers of its channel. Calls
// for one channel must come one after another: that order is the order of
// delivery. It waits while a lane is behind.
func (h *Hub) Broadcast(p *Push) {
	sh := h.shard(p.Channel)
	var few [16]target // no allocation up to 16 lanes
	targets := few[:0]
	sh.mu.RLock()
	ch := sh.channels[p.Channel]
	if ch != nil {
		for lane, n := range ch.inUse {
			if n > 0 {
				targets = append(targets, target{lane, n})
			}
		}
	}
	sh.mu.RUnlock()
	// Posting may wait, so it is done without the shard's lock. A subscriber
	// that comes in between may see p although it was not counted: the gate and
	// its position decide.
	for _, t := range targets {
		h.lanes[t.lane].postPush(order{op: opPush, channel: ch, push: p}, int(t.subscribers))
	}
}

type target struct {
	lane        int
	subscribers int32
}

// NumSubscribers of a channel on this node.
func (h *Hub) NumSubscribers(name string) int {
	sh := h.shard(name)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	if ch := sh.channels[name]; ch != nil {
		return int(ch.total)
	}
	return 0
}

// Count returns the number of channels and of subscriptions on this node.
func (h *Hub) Count() (channels, subscriptions int) {
	return int(h.channels.Load()), int(h.subscribers.Load())
}

// Each calls f for every channel with its number of subscribers. It holds one
// shard's lock at a time; f must not call the hub.
func (h *Hub) Each(f func(channel string, subscribers int)) {
	for i := range h.shards {
		sh := &h.shards[i]
		sh.mu.RLock()
		for name, ch := range sh.channels {
			f(name, int(ch.total))
		}
		sh.mu.RUnlock()
	}
}

func (h *Hub) shard(name string) *hubShard {
	return &h.shards[maphash.String(h.seed, name)%numShards]
}
