package centrifuge

import (
	"errors"
	"sync/atomic"
	"time"

	"centrifugo/protocol"
)

// omittedLogInterval is the shortest time between two log entries about payloads
// that JSON connections are not sent: a publisher must not be able to fill the log.
const omittedLogInterval = time.Second

// omissions counts what JSON connections are not sent because it is not valid JSON.
type omissions struct {
	publications, payloads atomic.Uint64
	logged                 atomic.Int64 // when, in nanoseconds since the node started; zero for never
}

// omitted counts what c is not sent, and logs it now and then. Channel may be empty.
// It is also called by lanes, so a log handler that blocks must not hold it.
func (c *Client) omitted(channel string, what protocol.Omitted) {
	if !what.Any() {
		return
	}
	n := c.node
	o := &n.stats.omitted
	o.publications.Add(uint64(what.Publications)) //nolint:gosec // a length
	o.payloads.Add(uint64(what.Payloads))         //nolint:gosec // a count of fields
	last, now := o.logged.Load(), int64(n.timeline.now())
	if last != 0 && now-last < int64(omittedLogInterval) || !o.logged.CompareAndSwap(last, now) {
		return
	}
	go n.logger.log(LogWarn, "payload is not valid JSON, left out for a JSON client", "client", c.id, "channel", channel,
		"publications", what.Publications, "payloads", what.Payloads)
}

// encode makes the frame of a reply or push. What others made and the connection
// cannot carry is left out (see protocol.Reply.OmitNonJSON); the error is
// protocol.ErrNotJSON where nothing would be left.
func (c *Client) encode(r *protocol.Reply) (*protocol.Encoded, error) {
	frame, err := c.encodePossible(r)
	if err == nil && r.Push != nil && r.Push.Channel != "" {
		frame.Label = c.node.stats.of(r.Push.Channel).number
	}
	return frame, err
}

func (c *Client) encodePossible(r *protocol.Reply) (*protocol.Encoded, error) {
	format := c.wireFormat()
	frame, err := protocol.Encode(format, r)
	if !errors.Is(err, protocol.ErrNotJSON) {
		return frame, err
	}
	rest, omitted := r.OmitNonJSON()
	if frame, err = protocol.Encode(format, rest); err != nil {
		return nil, err
	}
	channel := ""
	if r.Push != nil {
		channel = r.Push.Channel
	}
	c.omitted(channel, omitted)
	return frame, nil
}

// encodeMoving is encode for a message with which the client has a position in a stream.
func (c *Client) encodeMoving(r *protocol.Reply, kind protocol.MoveKind, channel string, at StreamPosition) (*protocol.Encoded, error) {
	frame, err := c.encode(r)
	if err == nil && c.info.Unidirectional {
		frame.Moves = &protocol.Move{Channel: channel, Epoch: at.Epoch, Offset: at.Offset, Kind: kind}
	}
	return frame, err
}

// deliverable returns the publications that a connection with format f can carry,
// and how many are left out.
func deliverable(f protocol.Format, pubs []*Publication) (kept []*Publication, omitted int) {
	if f.Protobuf() {
		return pubs, 0
	}
	kept = make([]*Publication, 0, len(pubs))
	for _, pub := range pubs {
		if protocol.ValidJSON(pub.Data) {
			kept = append(kept, pub)
		}
	}
	return kept, len(pubs) - len(kept)
}
