package fanout

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

// maxSpare is how many pushes a channel keeps room for between its batches.
const maxSpare = 256

// BatchOptions say how the pushes of one channel are gathered.
type BatchOptions struct {
	// MaxDelay is how long the first push of a batch waits; batches are made
	// only if it is positive.
	MaxDelay time.Duration
	// MaxSize is the number of pushes at which a batch leaves at once, zero for
	// any number. Whatever it is, a batch never grows far beyond maxRound bytes.
	MaxSize int
	// Latest leaves out a publication when the batch has a newer one. With ByTags
	// only one with the same tags counts, so that a subscriber with a filter gets
	// the newest that matches.
	Latest bool
	ByTags bool
}

// Batcher gathers the pushes of those channels that ask for it, and hands them
// to the lanes together: each subscriber gets a batch in one write. Pushes of
// all other channels go straight to the hub. Its methods are safe for
// concurrent use.
type Batcher struct {
	// Static after construction.
	hub    *Hub
	shards [numShards]batchShard

	open       atomic.Int64 // channels that gather
	superseded atomic.Uint64
}

type batchShard struct {
	mu       sync.RWMutex
	closed   bool
	channels map[string]*gatherer
}

// NewBatcher returns a batcher in front of h.
func NewBatcher(h *Hub) *Batcher { return &Batcher{hub: h} }

// Open begins to gather the pushes of a channel, if o says so. It is called for
// the first subscriber, between Hub.Add and whatever makes pushes come. Open and
// Drop of one channel must not run at the same time, nor with Hub.Add and
// Hub.Remove: the node holds the channel's keylock.
func (b *Batcher) Open(channel string, o BatchOptions) {
	if o.MaxDelay <= 0 {
		return
	}
	s := b.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.channels[channel] != nil {
		return
	}
	if s.channels == nil {
		s.channels = make(map[string]*gatherer)
	}
	s.channels[channel] = &gatherer{batcher: b, name: channel, batch: gathering{options: o}}
	b.open.Add(1)
}

// Drop forgets a channel whose last subscriber was removed, and the pushes that
// wait for nobody any more.
func (b *Batcher) Drop(channel string) {
	s := b.shard(channel)
	s.mu.Lock()
	g := s.channels[channel]
	if g != nil {
		delete(s.channels, channel)
		b.open.Add(-1)
	}
	s.mu.Unlock()
	if g != nil {
		g.drop()
	}
}

// Broadcast is Hub.Broadcast, at once or a little later. Like there, calls for
// one channel must come one after another. It waits while a lane is behind and
// the batch is full.
func (b *Batcher) Broadcast(p *Push) {
	if b.open.Load() > 0 {
		if g := b.gatherer(p.Channel); g != nil {
			g.add(p)
			return
		}
	}
	b.hub.Broadcast(p)
}

func (b *Batcher) gatherer(channel string) *gatherer {
	s := b.shard(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.channels[channel]
}

// Close hands everything that waits to the lanes. Later pushes follow without delay.
func (b *Batcher) Close() {
	for i := range b.shards {
		s := &b.shards[i]
		s.mu.Lock()
		s.closed = true
		all := make([]*gatherer, 0, len(s.channels))
		for _, g := range s.channels {
			all = append(all, g)
		}
		s.mu.Unlock()
		for _, g := range all {
			g.end()
		}
	}
}

// Superseded is the number of publications that were left out because the same
// batch had a newer one: what BatchOptions.Latest is for.
func (b *Batcher) Superseded() uint64 { return b.superseded.Load() }

func (b *Batcher) shard(channel string) *batchShard {
	return &b.shards[maphash.String(b.hub.seed, channel)%numShards]
}

// gatherer is one channel of a Batcher.
type gatherer struct {
	// Static after construction.
	batcher *Batcher
	name    string

	// posting is held while a batch is handed to the lanes, which may wait for
	// one that is behind. It keeps batches in their order. Taken before mu.
	posting sync.Mutex
	spare   []*Push // room for the next batch; guarded by posting

	// Guarded by mu, which is never held while waiting.
	mu      sync.Mutex
	batch   gathering
	due     time.Time // when the batch leaves
	timer   *time.Timer
	ended   bool // pushes do not wait any more
	dropped bool // nobody is left to get them
}

// add puts p into the batch, and sends the batch if that is full.
func (g *gatherer) add(p *Push) {
	g.mu.Lock()
	if g.dropped {
		g.mu.Unlock()
		g.batcher.hub.Broadcast(p) // the channel may have subscribers again
		return
	}
	first := g.batch.count == 0
	full, superseded := g.batch.add(p)
	full = full || g.ended
	if first && !full {
		g.armLocked()
	}
	g.mu.Unlock()
	if superseded {
		g.batcher.superseded.Add(1)
	}
	if full {
		g.flush(false)
	}
}

func (g *gatherer) armLocked() {
	delay := g.batch.options.MaxDelay
	g.due = time.Now().Add(delay)
	if g.timer == nil {
		g.timer = time.AfterFunc(delay, func() { g.flush(true) })
	} else {
		g.timer.Reset(delay)
	}
}

// flush hands the batch to the lanes; with onlyDue not before its time: a timer
// may come late, when its batch had been full and another one has begun.
func (g *gatherer) flush(onlyDue bool) {
	g.posting.Lock()
	defer g.posting.Unlock()
	g.mu.Lock()
	if g.batch.count == 0 || onlyDue && time.Now().Before(g.due) {
		g.mu.Unlock()
		return
	}
	pushes := g.batch.take(g.spare)
	// Found under mu: after a drop the channel's name may belong to subscribers
	// to whom this batch would come out of order.
	var few [16]target
	targets := g.batcher.hub.targets(g.name, few[:0])
	g.mu.Unlock()
	for _, t := range targets {
		g.batcher.hub.lanes[t.lane].postPushes(t, pushes)
	}
	clear(pushes)
	g.spare = nil
	if cap(pushes) <= maxSpare { // a burst is no reason to keep its size
		g.spare = pushes[:0]
	}
}

// end sends what waits; from now on nothing waits.
func (g *gatherer) end() {
	g.mu.Lock()
	g.ended = true
	g.stopLocked()
	g.mu.Unlock()
	g.flush(false)
}

func (g *gatherer) drop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dropped = true
	g.batch.take(nil)
	g.stopLocked()
}

func (g *gatherer) stopLocked() {
	if g.timer != nil {
		g.timer.Stop()
	}
}

// postPushes is postPush for several, which the lane then finds together.
func (l *Lane) postPushes(t target, pushes []*Push) {
	l.mu.Lock()
	for l.pending >= maxPending && !l.closing {
		l.drained.Wait()
	}
	for _, p := range pushes {
		l.inbox = append(l.inbox, t.order(p))
	}
	l.pending += int(t.subscribers) * len(pushes)
	l.mu.Unlock()
	l.filled.Signal()
}
