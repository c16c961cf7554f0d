package centrifuge

import (
	"context"

	"centrifugo/protocol"
)

// Conn is the node's side of one connection, as its transport sees it. Node.Accept
// returns it. The transport reports what happens on the connection by calling its
// methods; applications use the Client instead. The methods are safe for concurrent
// use unless they say otherwise, and none of them blocks.
type Conn struct{ client Client }

// Client returns the connection as the application sees it.
func (c *Conn) Client() *Client { return &c.client }

// Receive handles one incoming message of any number of commands. The message is
// valid only during the call. If Receive returns false, the transport must stop
// reading until the node calls Transport.Resume. Calls must not overlap.
func (c *Conn) Receive(message []byte) (more bool) { return c.client.receive(message) }

// Writable reports that a full socket accepted some of the bytes that were pending.
func (c *Conn) Writable() { c.client.outbox.Unblock() }

// Full reports that the socket did not accept something that the transport wrote by
// itself, such as the answer to a ping: pending bytes wait. The transport must call
// Writable later, as after a write. Full is for transports that are not Blocking.
func (c *Conn) Full(pending int) {
	if c.client.outbox.Block(pending) {
		c.client.stalled()
	}
}

// Pong reports that the peer answered a ping of the transport. Unsolicited pongs are
// allowed (RFC 6455, 5.5.3).
func (c *Conn) Pong() { c.client.ponged() }

// Violated reports that the peer broke the rules of the transport, that the transport
// sent its own answer and that it discards all further input. Commands received before
// are still executed. The transport must call Closed once the connection has ended.
func (c *Conn) Violated(d Disconnect) { c.client.leave(d) }

// Closed reports that the connection has ended and that everything received was
// passed to Receive. Commands received before are still executed. The transport must
// call Closed exactly once, whether or not the node called Transport.Close. The error,
// which may be nil, is logged.
func (c *Conn) Closed(err error) {
	if err != nil {
		c.client.node.logger.log(LogDebug, "connection ended", "client", c.client.id, "error", err)
	}
	c.client.leave(DisconnectConnectionClosed)
}

// newConn prepares a connection for its transport.
func newConn(ctx context.Context, n *Node, t Transport) *Conn {
	conn := &Conn{Client{node: n, transport: t, info: t.Info(), id: newID()}}
	c := &conn.client
	c.lane = n.hub.Lane(n.accepted.Add(1))
	c.counted = n.stats.transport(c.info.Name, c.lane)
	c.ctx, c.cancel = context.WithCancel(ctx)
	c.format, c.decided, c.draft = initialFormat(c.info)
	n.outboxes.prepare(c)
	c.timer.Owner = (*clientTimer)(c)
	c.startClock(n.timeline.now())
	return conn
}

// initialFormat derives the wire format from the transport. Until the first message
// tells the generation, errors are sent as V2 (client-protocol 2.7).
func initialFormat(info TransportInfo) (f protocol.Format, decided, draft bool) {
	if info.Protobuf {
		f |= protocol.FormatProtobuf
	}
	switch {
	case info.Unidirectional:
		return f | protocol.FormatUni, true, false
	case info.Generation == GenerationV1 || info.Generation == GenerationV1Draft:
		return f | protocol.FormatV1, true, info.Generation == GenerationV1Draft
	}
	return f, info.Generation == GenerationV2, false
}
