package centrifuge

import "centrifugo/centrifuge/internal/fanout"

// brokerEvents is a Node as its broker sees it. The type of its own keeps the methods
// of BrokerHandler off those that an application sees.
type brokerEvents Node

var _ BrokerHandler = (*brokerEvents)(nil)

// Subscribed reports whether the channel, or a pattern that matches it, has a subscriber
// on this node.
func (e *brokerEvents) Subscribed(channel string) bool {
	var buf [8]string
	return e.hub.NumSubscribers(channel) > 0 || len((*Node)(e).matching(buf[:0], channel)) > 0
}

// HandlePublication delivers to the subscribers of this node.
func (e *brokerEvents) HandlePublication(channel string, pub *Publication, epoch string, prev []byte) {
	n := (*Node)(e)
	if pub == nil {
		n.logger.log(LogError, "the broker delivered no publication", "channel", channel)
		return
	}
	counted := n.stats.of(channel)
	counted.PublicationsReceived.Add(1)
	if pub.Time > 0 {
		n.stats.lag.observe(n.timeline.sinceUnixMilli(pub.Time))
	}
	if n.config.Spans != nil {
		defer n.traceFanOut(channel, pub)()
	}
	n.reads.invalidate(channel) // before the hub has it, see streamReader
	p := &fanout.Push{
		Channel: channel, Pub: pub, Offset: pub.Offset, Epoch: epoch, Prev: prev, Exclude: pub.ExcludeClient, Label: counted.number,
		Started: uint32(n.latency.take(channel, pub.Data)),
	}
	p.Trace = n.traceReceived(channel, pub, epoch)
	n.channels.link(p)
	n.broadcast(p, counted)
	if n.patterns.Len() > 0 {
		n.broadcastToPatterns(p, counted)
	}
}

// HandleJoin delivers to the subscribers of this node that receive joins and leaves.
func (e *brokerEvents) HandleJoin(channel string, info *ClientInfo) {
	n := (*Node)(e)
	if info == nil {
		n.logger.log(LogError, "the broker delivered no client info", "channel", channel)
		return
	}
	counted := n.stats.of(channel)
	counted.JoinsReceived.Add(1)
	n.broadcast(&fanout.Push{Channel: channel, Join: info, Label: counted.number}, counted)
}

// HandleLeave delivers as HandleJoin does.
func (e *brokerEvents) HandleLeave(channel string, info *ClientInfo) {
	n := (*Node)(e)
	if info == nil {
		n.logger.log(LogError, "the broker delivered no client info", "channel", channel)
		return
	}
	counted := n.stats.of(channel)
	counted.LeavesReceived.Add(1)
	n.broadcast(&fanout.Push{Channel: channel, Leave: info, Label: counted.number}, counted)
}

// HandleGap starts a check of the streams of the affected channels.
func (e *brokerEvents) HandleGap(affected func(channel string) bool) { (*Node)(e).handleGap(affected) }
