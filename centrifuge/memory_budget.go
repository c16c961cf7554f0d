package centrifuge

import (
	"math"
	"math/rand/v2"
	"runtime/debug"
	"sync/atomic"
	"time"
)

const (
	// channelBytes and resultBytes are about what a channel that the broker
	// remembers and a saved idempotency key take, beside publications.
	channelBytes = 512
	resultBytes  = 192
	// defaultHistorySize is the budget of a node without a memory limit; of one that
	// has a limit it is a share of it.
	defaultHistorySize = 1 << 30
	historyShare       = 2
	// maxEvictions bounds what one publication does to make space; each looks at
	// evictionSample channels.
	maxEvictions   = 32
	evictionSample = 8
	maxSample      = 16 * evictionSample
	// evictionLogInterval is the least time between two log entries.
	evictionLogInterval = time.Minute
)

// memoryBudget bounds what all channels of a MemoryBroker take together.
type memoryBudget struct {
	// Static after construction; zero for no bound.
	maxBytes, maxChannels int64

	bytes, channels atomic.Int64
	evicted         atomic.Uint64
	nextLog         atomic.Int64 // time since the broker's start
}

// MemoryBrokerStats are the figures of a MemoryBroker.
type MemoryBrokerStats struct {
	// Channels that are remembered, and about the Bytes that they take.
	Channels, Bytes int64
	// Evicted counts the channels whose history was dropped because the node had
	// reached HistoryMaxSize or HistoryMaxChannels.
	Evicted uint64
}

// Stats reads the broker's figures.
func (b *MemoryBroker) Stats() MemoryBrokerStats {
	return MemoryBrokerStats{Channels: b.budget.channels.Load(), Bytes: b.budget.bytes.Load(), Evicted: b.budget.evicted.Load()}
}

// historySizeDefault asks the runtime: the limit may come from the environment or
// the container.
func historySizeDefault() int64 {
	limit := debug.SetMemoryLimit(-1) // a negative limit only asks
	if limit == math.MaxInt64 {
		return defaultHistorySize
	}
	return max(limit/historyShare, 1)
}

func (m *memoryBudget) over() bool {
	return m.maxBytes > 0 && m.bytes.Load() > m.maxBytes || m.maxChannels > 0 && m.channels.Load() > m.maxChannels
}

// settleLocked counts what the channel takes now.
func (c *memoryChannel) settleLocked() {
	size := 0
	if c.stream != nil || c.results != nil {
		size = channelBytes + len(c.name)
	}
	if c.stream != nil {
		size += c.stream.Size()
	}
	if c.results != nil {
		size += resultBytes * len(c.results.heap)
	}
	m := &c.broker.budget
	switch {
	case c.counted == size:
		return
	case c.counted == 0:
		m.channels.Add(1)
	case size == 0:
		m.channels.Add(-1)
	}
	m.bytes.Add(int64(size - c.counted))
	c.counted = size
}

// makeSpaceLocked evicts others while the node is over its budget, and then as
// much as need be of c's own publications. The caller holds c's key.
func (b *MemoryBroker) makeSpaceLocked(c *memoryChannel) {
	if !b.budget.over() {
		return
	}
	for range maxEvictions {
		if b.evictOther(c); !b.budget.over() {
			break
		}
	}
	if c.stream != nil && c.counted > channelBytes {
		dropped := false
		for b.budget.maxBytes > 0 && b.budget.bytes.Load() > b.budget.maxBytes && c.stream.DropOldest() {
			dropped = true
			c.settleLocked()
		}
		if dropped {
			b.budget.evicted.Add(1)
		}
	}
	b.tellEvictions()
}

// evictOther takes a sample of channels and evicts the one that was not used for
// the longest time, one without subscribers if there is any. What was evicted is
// not recovered any more: who asks for it is told so by the offset or the epoch.
func (b *MemoryBroker) evictOther(but *memoryChannel) {
	victim, subscribed := b.sample(but)
	if victim == nil {
		return
	}
	lock, free := b.locks.TryLock(victim.name)
	if !free {
		return
	}
	defer lock.Unlock()
	switch {
	case victim.counted == 0:
		return // it has expired meanwhile
	case subscribed && victim.stream != nil && victim.stream.Len() > 0:
		victim.stream.Clear() // its subscribers go on from their positions
	default:
		victim.stream, victim.results = nil, nil
	}
	victim.settleLocked()
	victim.forgetLocked()
	b.budget.evicted.Add(1)
}

// sample looks at evictionSample channels without subscribers, among at most
// maxSample channels: a few that happen to lie together must not cost a busy one its
// history. Subscribed tells whether the victim has subscribers.
func (b *MemoryBroker) sample(but *memoryChannel) (victim *memoryChannel, subscribed bool) {
	seen, unused := 0, 0
	first := rand.IntN(memoryShards) //nolint:gosec // any will do
	for i := range memoryShards {
		s := &b.shards[(first+i)%memoryShards]
		s.mu.RLock()
		for _, c := range s.channels.items {
			if c == but {
				continue
			}
			has := b.handler.Subscribed(c.name)
			if victim == nil || subscribed && !has || subscribed == has && c.used.Load() < victim.used.Load() {
				victim, subscribed = c, has
			}
			if seen++; !has {
				unused++
			}
			if unused >= evictionSample || seen >= maxSample {
				break
			}
		}
		s.mu.RUnlock()
		if unused >= evictionSample || seen >= maxSample {
			break
		}
	}
	return victim, subscribed
}

// tellEvictions lets the handler know, once in a while.
func (b *MemoryBroker) tellEvictions() {
	teller, ok := b.handler.(interface{ historyEvicted(stats MemoryBrokerStats) })
	if !ok {
		return
	}
	now := int64(time.Since(b.start))
	next := b.budget.nextLog.Load()
	if now >= next && b.budget.nextLog.CompareAndSwap(next, now+int64(evictionLogInterval)) {
		teller.historyEvicted(b.Stats())
	}
}

// historyEvicted logs that the memory engine has dropped history to stay within
// its budget.
func (n *Node) historyEvicted(stats MemoryBrokerStats) {
	n.logger.log(LogWarn, "history evicted: the memory engine is at its limit",
		"channels", stats.Channels, "bytes", stats.Bytes, "evicted", stats.Evicted)
}
