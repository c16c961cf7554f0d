package centrifuge

import (
	"context"
	"errors"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/protocol"
)

// clientSink is a Client as its outbox and the lanes see it: a type of its own keeps
// the methods of fanout.Sink out of the public API.
type clientSink Client

var _ fanout.Sink = (*clientSink)(nil)

// WriteFrames implements fanout.Sink.
func (s *clientSink) WriteFrames(batch []*protocol.Encoded) (pending int, err error) {
	defer s.node.logger.caught(&err, "writing to a transport")
	if s.outbox.Traced() {
		defer func() { (*Client)(s).traceWritten(batch, pending, err) }()
	}
	if s.info.Blocking {
		return 0, s.writeBlocking(batch)
	}
	pending, err = s.transport.Write(context.Background(), batch)
	s.counted.sent(batch)
	if s.node.latency != nil && err == nil {
		(*Client)(s).wrote(batch, pending)
	}
	if pending > 0 {
		(*Client)(s).stalled()
	}
	return pending, err
}

// Failed implements fanout.Sink.
func (s *clientSink) Failed(err error) { (*Client)(s).writeFailed(err) }

// Lost implements fanout.Owner.
func (s *clientSink) Lost(lost *fanout.Subscriber, why fanout.Loss) { (*Client)(s).lost(lost, why) }

// Omitted implements fanout.Owner.
func (s *clientSink) Omitted(sub *fanout.Subscriber, _ *fanout.Push, what protocol.Omitted) {
	(*Client)(s).omitted(sub.Channel, what)
}

// Superseded implements fanout.Owner.
func (s *clientSink) Superseded(n int) {
	s.node.stats.slowSuperseded.Add(uint64(n)) //nolint:gosec // a count
}

// ID implements fanout.Owner.
func (s *clientSink) ID() string { return s.id }

// writeFailed ends a connection whose transport did not take a write, or took so
// little that the node's budget has no space for the rest.
func (c *Client) writeFailed(err error) {
	if errors.Is(err, fanout.ErrOverBudget) {
		c.close(DisconnectSlow, false)
		return
	}
	c.node.logger.log(LogDebug, "write failed", "client", c.id, "error", err)
	c.leave(DisconnectWriteError)
}
