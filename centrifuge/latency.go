package centrifuge

import (
	"bytes"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/protocol"
)

const (
	// maxSamples bounds the publications that the broker has and whose latency is measured.
	maxSamples = 64
	// sampleLife is how long a broker may take to deliver one of them.
	sampleLife = engineTimeout
)

// latencySampler measures, for one publication of every so many, how long it takes from the
// application to the sockets of its subscribers. The broker gives back publications that may be
// copies of those that it was given, so they are known by channel and payload. From there on
// the start is in the push, and in its encoded messages. It is safe for concurrent use.
type latencySampler struct {
	every uint64 // static

	given atomic.Int64 // len(samples)
	// Guarded by mu, which is a leaf.
	mu      sync.Mutex
	samples map[string]latencySample // of publications that the broker has, by channel

	// held has, by *Client, the first sampled message that was written and waits for a full
	// socket, as *protocol.Encoded. Others behind it are not measured.
	held    sync.Map
	holding atomic.Int64 // how many are held
}

// latencySample is the start of a publication.
type latencySample struct {
	data  []byte
	given moment
	start startMark
}

// startMark is a moment in microseconds modulo 2^32, which fits into what a message has to
// spare; zero for none. It serves for latencies of up to half an hour.
type startMark uint32

func (m moment) mark() startMark {
	return max(startMark(m/1000), 1) //nolint:gosec // modulo 2^32 is meant
}

// until returns the time from s to m.
func (s startMark) until(m moment) time.Duration {
	return time.Duration(max(int32(m.mark()-s), 0)) * time.Microsecond //nolint:gosec // half of the range
}

func newLatencySampler(every int) *latencySampler {
	if every <= 0 {
		return nil
	}
	return &latencySampler{every: uint64(every), samples: make(map[string]latencySample)}
}

// sample notes a publication that is about to be given to the broker, if it is the turn
// of the number-th of its label, and the channel has subscribers on this node.
func (n *Node) sample(number uint64, channel string, data []byte, received time.Time) (sampled bool) {
	l := n.latency
	if l == nil || (number-1)%l.every != 0 || !(*brokerEvents)(n).Subscribed(channel) {
		return false
	}
	now := n.timeline.now()
	start := now
	if !received.IsZero() {
		start -= moment(max(time.Since(received), 0)) // it may be before the node's first moment
	}
	return l.give(channel, latencySample{data, now, start.mark()})
}

// give notes a sample, unless there is one of its channel or there are too many.
func (l *latencySampler) give(channel string, s latencySample) (given bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer func() { l.given.Store(int64(len(l.samples))) }()
	for other, old := range l.samples {
		if s.given.since(old.given) > sampleLife {
			delete(l.samples, other)
		}
	}
	if _, exists := l.samples[channel]; exists || len(l.samples) >= maxSamples {
		return false
	}
	l.samples[channel] = s
	return true
}

// take returns the start of a publication that the broker delivers, zero if it is none of
// the samples. It is safe to call with l nil.
func (l *latencySampler) take(channel string, data []byte) startMark {
	if l == nil || l.given.Load() == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s, ok := l.samples[channel]
	if !ok || !bytes.Equal(s.data, data) {
		return 0
	}
	delete(l.samples, channel)
	l.given.Store(int64(len(l.samples)))
	return s.start
}

// wrote records the latencies of the sampled messages of a batch that was written. While
// bytes are pending, the first of them is held; it is recorded when none are. Calls for one
// connection do not overlap.
func (c *Client) wrote(batch []*protocol.Encoded, pending int) {
	l := c.node.latency
	if pending == 0 && l.holding.Load() > 0 {
		if first, ok := l.held.LoadAndDelete(c); ok {
			l.holding.Add(-1)
			c.recordLatency(first.(*protocol.Encoded)) //nolint:forcetypeassert // nothing else is stored
		}
	}
	for i, message := range batch {
		if message.Started == 0 {
			continue
		}
		if pending == 0 {
			c.recordLatency(batch[i:]...)
		} else if _, exists := l.held.LoadOrStore(c, message); !exists {
			l.holding.Add(1)
		}
		return
	}
}

func (c *Client) recordLatency(batch ...*protocol.Encoded) {
	now := c.node.timeline.now()
	for _, message := range batch {
		if message.Started != 0 {
			c.counted.of(message.Label).latency.observe(startMark(message.Started).until(now))
		}
	}
}

// dropLatency forgets what is held for a connection that has ended.
func (c *Client) dropLatency() {
	if l := c.node.latency; l != nil {
		if _, ok := l.held.LoadAndDelete(c); ok {
			l.holding.Add(-1)
		}
	}
}
