package fanout

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// maxSpare is the largest list, in pushes, whose memory a channel keeps until its
// next list.
const maxSpare = 256

// CoalesceOptions say how long the pushes of one channel are collected.
type CoalesceOptions struct {
	// MaxDelay is how long the first push of a list waits. Pushes are collected
	// only if it is positive.
	MaxDelay time.Duration
	// MaxSize is the number of pushes at which a list is sent at once; zero means
	// any number. In any case, a list is sent when it reaches maxRound bytes.
	MaxSize int
	// FlushLatest drops a publication if the list has a newer one. With ByTags, only
	// a newer one with the same tags counts, so that a subscriber with a filter gets
	// the newest publication that matches.
	FlushLatest bool
	ByTags      bool
}

// Coalescer collects the pushes of those channels that ask for it and hands them
// to the lanes together: each subscriber gets them in one write. Pushes of all
// other channels go to the hub without delay. Its methods are safe for concurrent
// use.
type Coalescer struct {
	// Static after construction.
	hub    *Hub
	shards [numShards]coalescerShard

	open       atomic.Int64 // channels whose pushes are collected
	superseded atomic.Uint64
}

type coalescerShard struct {
	mu       sync.RWMutex
	closed   bool
	channels map[string]*channelCoalescer
}

// NewCoalescer returns a Coalescer that sends to h.
func NewCoalescer(h *Hub) *Coalescer { return &Coalescer{hub: h} }

// Open starts collecting the pushes of a channel if o.MaxDelay is positive. It is
// called for the channel's first subscriber, after Hub.Add and before the broker
// subscribes. Open and Drop of one channel must not run at the same time, nor with
// Hub.Add and Hub.Remove: the node holds the channel's keylock.
func (c *Coalescer) Open(channel string, o CoalesceOptions) {
	if o.MaxDelay <= 0 {
		return
	}
	s := c.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.channels[channel] != nil {
		return
	}
	if s.channels == nil {
		s.channels = make(map[string]*channelCoalescer)
	}
	s.channels[channel] = &channelCoalescer{parent: c, channel: channel, list: coalescing{options: o}}
	c.open.Add(1)
}

// Drop stops collecting for a channel whose last subscriber was removed, and
// discards the pushes that are waiting.
func (c *Coalescer) Drop(channel string) {
	s := c.shard(channel)
	s.mu.Lock()
	cc := s.channels[channel]
	if cc != nil {
		delete(s.channels, channel)
		c.open.Add(-1)
	}
	s.mu.Unlock()
	if cc != nil {
		cc.drop()
	}
}

// Broadcast is Hub.Broadcast, at once or after the channel's delay. Calls for one
// channel must be sequential. Broadcast blocks while the list is full and a lane's
// inbox is full.
func (c *Coalescer) Broadcast(p *Push) {
	if c.open.Load() > 0 {
		if cc := c.find(p.Channel); cc != nil {
			cc.add(p)
			return
		}
	}
	c.hub.Broadcast(p)
}

// find returns nil for a channel whose pushes are not collected.
func (c *Coalescer) find(channel string) *channelCoalescer {
	s := c.shard(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.channels[channel]
}

// Close hands all waiting pushes to the lanes. Later pushes are not delayed.
func (c *Coalescer) Close() {
	for i := range c.shards {
		s := &c.shards[i]
		s.mu.Lock()
		s.closed = true
		all := make([]*channelCoalescer, 0, len(s.channels))
		for _, cc := range s.channels {
			all = append(all, cc)
		}
		s.mu.Unlock()
		for _, cc := range all {
			cc.end()
		}
	}
}

// Superseded returns the number of publications that were dropped because of
// CoalesceOptions.FlushLatest.
func (c *Coalescer) Superseded() uint64 { return c.superseded.Load() }

func (c *Coalescer) shard(channel string) *coalescerShard {
	return &c.shards[maphash.String(c.hub.seed, channel)%numShards]
}

// channelCoalescer collects the pushes of one channel.
type channelCoalescer struct {
	// Static after construction.
	parent  *Coalescer
	channel string

	// posting is held while a list is handed to the lanes, which may block. It
	// keeps lists in their order. Taken before mu.
	posting sync.Mutex
	spare   []*Push // memory for the next list; guarded by posting

	// Guarded by mu, which is never held while blocking.
	mu      sync.Mutex
	list    coalescing
	due     time.Time // when the list is sent
	timer   *time.Timer
	ended   bool // pushes are not delayed any more
	dropped bool // the channel has lost its last subscriber
}

// add appends p to the list, and sends the list if it is full.
func (c *channelCoalescer) add(p *Push) {
	c.mu.Lock()
	if c.dropped {
		c.mu.Unlock()
		c.parent.hub.Broadcast(p) // the channel may have subscribers again
		return
	}
	first := c.list.count == 0
	full, superseded := c.list.add(p)
	full = full || c.ended
	if first && !full {
		c.armLocked()
	}
	c.mu.Unlock()
	if superseded {
		c.parent.superseded.Add(1)
	}
	if full {
		c.flush(false)
	}
}

func (c *channelCoalescer) armLocked() {
	delay := c.list.options.MaxDelay
	c.due = time.Now().Add(delay)
	if c.timer == nil {
		c.timer = time.AfterFunc(delay, func() { c.flush(true) })
	} else {
		c.timer.Reset(delay)
	}
}

// flush hands the list to the lanes. With onlyDue it does nothing before the list's
// time: a timer may fire late, after its list was sent as full and another one begun.
func (c *channelCoalescer) flush(onlyDue bool) {
	c.posting.Lock()
	defer c.posting.Unlock()
	c.mu.Lock()
	if c.list.count == 0 || onlyDue && time.Now().Before(c.due) {
		c.mu.Unlock()
		return
	}
	pushes := c.list.take(c.spare)
	// The targets are looked up under mu: after a drop, the channel may have new
	// subscribers, to which these pushes would arrive out of order.
	var buf [16]target
	targets := c.parent.hub.targets(c.channel, buf[:0])
	c.mu.Unlock()
	for _, t := range targets {
		c.parent.hub.lanes[t.lane].postPushes(t, pushes)
	}
	clear(pushes)
	c.spare = nil
	if cap(pushes) <= maxSpare { // a burst does not keep its memory
		c.spare = pushes[:0]
	}
}

// end sends what is waiting; later pushes are not delayed.
func (c *channelCoalescer) end() {
	c.mu.Lock()
	c.ended = true
	c.stopLocked()
	c.mu.Unlock()
	c.flush(false)
}

func (c *channelCoalescer) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = true
	c.list.take(nil)
	c.stopLocked()
}

func (c *channelCoalescer) stopLocked() {
	if c.timer != nil {
		c.timer.Stop()
	}
}
