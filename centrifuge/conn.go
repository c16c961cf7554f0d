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
// reading until the node calls Transport.Resume. Messages are handled one after another
// in the order of the calls; calls may overlap, as those of an emulated connection do.
func (c *Conn) Receive(message []byte) (more bool) { return c.client.receive(message) }

// Connect handles a connect request that did not arrive as a message, such as the one in
// the URL of a unidirectional connection. It takes the place of the first Receive. The
// node keeps request, which must not be changed afterwards. Where the protocol has
// replies, that to the request has the id 1. Connect reports false if the connection
// has ended; a second call closes it.
func (c *Conn) Connect(request *protocol.ConnectRequest) bool { return c.ConnectSince(request, nil) }

// ConnectSince is Connect for a client whose positions the transport knows: of each
// server-side subscription that can be recovered, what was published since the position
// that since returns is recovered (protocol.md 6.4). It takes precedence over a position in
// request. Nothing is recovered of a channel for which since returns nil, unless request has
// a position of it.
// The node calls since while it handles the request, from one goroutine. It must not
// block; it may be nil.
func (c *Conn) ConnectSince(request *protocol.ConnectRequest, since func(channel string) *StreamPosition) bool {
	return c.client.connect(&connectCall{request: request, since: since})
}

// Writable reports that a full socket accepted some of the bytes that were pending. A
// Blocking transport calls it during Write when the network accepted a part of the
// batch: the rest gets another Config.WriteTimeout.
func (c *Conn) Writable() {
	if w := c.client.writer(); w != nil {
		w.progress(c.client.node.timeline.now())
		return
	}
	c.client.outbox.Unblock()
}

// Done is closed when the transport was closed, and none of Write and Ping runs or will
// be called any more: a transport whose writes need a goroutine of its own, as an HTTP
// handler does, waits for it. It is for Blocking transports, and nil for others.
func (c *Conn) Done() <-chan struct{} {
	if w := c.client.writer(); w != nil {
		return w.done
	}
	return nil
}

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

// Finished reports that the peer sends nothing more and still reads, as after the half-close
// of a stream. The node handles the commands received before, for at most five seconds,
// writes their replies, and calls Transport.Close with code zero. The transport must not
// call Receive afterwards, and must call Closed once the connection has ended.
func (c *Conn) Finished() { c.client.finish() }

// Closed reports that the connection has ended and that everything received was
// passed to Receive. Commands received before are still executed. The transport must
// call Closed exactly once, whether or not the node called Transport.Close. The error,
// which may be nil, is logged.
func (c *Conn) Closed(err error) {
	if err != nil {
		c.client.node.logger.log(LogDebug, "connection ended", "client", c.client.id, "error", err)
	}
	c.client.leave(DisconnectConnectionClosed)
	if w := c.client.writer(); w != nil {
		w.cancel() // after the reason is set: a write that ends with an error has another one
	}
}

// newConn prepares a connection for its transport.
func newConn(ctx context.Context, n *Node, t Transport) *Conn {
	conn := &Conn{Client{node: n, transport: t, info: t.Info(), id: newID()}}
	c := &conn.client
	c.lane = n.hub.Lane(n.accepted.Add(1))
	c.counted = n.stats.transport(c.info.Name, c.lane)
	c.ctx, c.cancel = newClientContext(ctx)
	c.format, c.decided, c.draft = initialFormat(c.info)
	if c.info.Blocking {
		c.rare = &rare{writer: newBlockingWriter()}
	}
	n.outboxes.prepare(c)
	c.timer.Owner, c.timer.Shard = (*clientTimer)(c), c.lane
	c.startClock(n.timeline.now())
	return conn
}

// initialFormat derives the wire format from the transport. Until the first message
// tells the generation, errors are sent as V2 (protocol.md 8.6).
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
