package redisengine

import (
	"fmt"
	"runtime/debug"
	"strings"
	"sync"

	"centrifugo/centrifuge"
)

// maxDroppedNames is how many channels with dropped messages are remembered by name. If
// there are more, all channels of the worker are taken to have lost something.
const maxDroppedNames = 1000

// worker delivers the messages of some of the channels, one after another.
type worker struct {
	// Static after construction.
	broker *Broker
	inbox  *inbox

	// Guarded by mu.
	mu      sync.Mutex
	dropped map[string]bool // topics that have lost messages since the last report
	many    bool            // there were too many for the map
}

func newWorker(b *Broker) *worker { return &worker{broker: b, inbox: newInbox()} }

func (w *worker) run() {
	var batch []received
	for {
		if batch = w.inbox.take(batch); batch == nil {
			return
		}
		for _, m := range batch {
			w.deliver(m)
			w.inbox.done(m)
		}
		w.reportDropped()
	}
}

// deliver decodes a message and passes it to the node.
func (w *worker) deliver(r received) {
	b := w.broker
	if b.ctx.Err() != nil {
		return
	}
	channel, ok := b.redis.layout.channel(r.topic)
	if !ok || !b.handler.Subscribed(channel) {
		return
	}
	defer func() {
		if p := recover(); p != nil {
			b.redis.logf(centrifuge.LogError, "panic", "doing", "delivering a message", "channel", channel,
				"panic", fmt.Sprint(p), "stack", string(debug.Stack()))
		}
	}()
	m, err := decodeMessage([]byte(r.payload))
	switch {
	case err != nil:
		if b.stats.Malformed.Add(1)%1000 == 1 {
			b.redis.logf(centrifuge.LogError, "malformed message from redis", "channel", channel, "error", err)
		}
		b.reportGap(func(c string) bool { return c == channel })
	case m.join != nil:
		b.handler.HandleJoin(channel, m.join)
	case m.leave != nil:
		b.handler.HandleLeave(channel, m.leave)
	default:
		if m.epoch != "" {
			b.seen.receive(channel, seenPosition{centrifuge.StreamPosition{Offset: m.pub.Offset, Epoch: m.epoch}, r.run})
		}
		b.handler.HandlePublication(channel, m.pub, m.epoch, m.prev)
	}
}

// drop notes that a message of a topic was dropped.
func (w *worker) drop(topic string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.broker.stats.Dropped.Add(1)%10_000 == 1 {
		w.broker.redis.logf(centrifuge.LogError, "messages from redis dropped: they arrive faster than they are delivered", "topic", topic)
	}
	switch {
	case w.many:
	case len(w.dropped) >= maxDroppedNames:
		w.many, w.dropped = true, nil
	default:
		if w.dropped == nil {
			w.dropped = make(map[string]bool)
		}
		w.dropped[strings.Clone(topic)] = true
	}
}

// reportDropped reports a gap in the channels that have lost messages.
func (w *worker) reportDropped() {
	w.mu.Lock()
	dropped, many := w.dropped, w.many
	w.dropped, w.many = nil, false
	w.mu.Unlock()
	if dropped == nil && !many {
		return
	}
	b := w.broker
	b.reportGap(func(channel string) bool {
		topic := b.redis.layout.messages(channel)
		return dropped[topic] || many && b.workers[hash(topic)%uint64(len(b.workers))] == w
	})
}
