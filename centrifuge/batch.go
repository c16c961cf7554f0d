package centrifuge

import (
	"time"

	"centrifugo/centrifuge/internal/fanout"
)

// MaxBatchDelay bounds BatchOptions.MaxDelay. The check of positions must give a
// publication that waits in a batch the time to arrive.
const MaxBatchDelay = time.Second

// BatchOptions say how the publications of one channel are collected on a node
// before they are sent, so that a subscriber gets several in one write. Joins and
// leaves are sent with them, in their order. The zero value collects nothing.
//
// A batch only delays publications: a client that subscribes, recovers or unsubscribes
// meanwhile sees no other difference. There is one exception: a subscriber without a
// position also gets what was published at most MaxDelay before it subscribed.
type BatchOptions struct {
	// MaxDelay is how long the first publication of a batch waits, at most
	// MaxBatchDelay; more is taken for that. Without it nothing is collected:
	// publications would wait without a limit.
	MaxDelay time.Duration
	// MaxSize in messages sends a batch before its time; zero for any number. A
	// batch of about 128 KiB leaves in any case.
	MaxSize int
	// FlushLatest sends only the newest publication of a batch. The others are
	// left out on purpose: a positioned subscription takes that for no gap, and
	// history keeps them. Stats counts them in PublicationsSuperseded. A
	// subscriber with deltas gets the newest in full, unless it was alone.
	FlushLatest bool
	// ByTags, for channels with tags filters, makes FlushLatest keep the newest
	// publication of each set of tags, so that every subscriber gets the newest
	// that its filter lets through.
	ByTags bool
}

// openBatch is called for a channel's first subscriber, under its keylock.
func (n *Node) openBatch(channel string) (err error) {
	if n.coalescer == nil {
		return nil
	}
	defer n.logger.caught(&err, "asking for batch options")
	o := n.config.ChannelBatch(channel)
	n.coalescer.Open(channel, fanout.CoalesceOptions{
		MaxDelay: min(o.MaxDelay, MaxBatchDelay), MaxSize: o.MaxSize, FlushLatest: o.FlushLatest, ByTags: o.ByTags,
	})
	return nil
}

// dropBatch is called after a channel's last subscriber was removed, under its keylock.
func (n *Node) dropBatch(channel string) {
	if n.coalescer != nil {
		n.coalescer.Drop(channel)
	}
}

// endBatches sends what waits. From then on nothing does.
func (n *Node) endBatches() {
	if n.coalescer != nil {
		n.coalescer.Close()
	}
}

// broadcast is how everything of a channel, whose counters are given, gets to its
// subscribers on this node.
func (n *Node) broadcast(p *fanout.Push, counted *channelCounters) {
	start := time.Now()
	defer func() { counted.broadcasts[broadcastKind(p)].observe(time.Since(start)) }()
	n.toLanes(p)
}

func (n *Node) toLanes(p *fanout.Push) {
	if n.coalescer != nil {
		n.coalescer.Broadcast(p)
		return
	}
	n.hub.Broadcast(p)
}

// broadcastNames are told apart by metrics.
var broadcastNames = [...]string{"publication", "join", "leave"}

func broadcastKind(p *fanout.Push) int {
	switch {
	case p.Join != nil:
		return 1
	case p.Leave != nil:
		return 2
	}
	return 0
}
