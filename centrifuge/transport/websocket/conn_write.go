package websocket

import (
	"bytes"
	"context"

	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/protocol"
)

// backlog holds the bytes that the socket has not accepted. It may begin in the middle of
// a message, and ends with a whole one, so that messages can be appended.
type backlog struct {
	rest  []byte
	owned bool   // rest may be appended to; otherwise it is part of a shared message
	pong  []byte // answers the latest ping received meanwhile (RFC 6455 5.5.3)
	waits bool   // the core must be told when the socket has accepted something
}

func (b *backlog) append(message []byte) {
	if !b.owned {
		b.rest, b.owned = append(make([]byte, 0, len(b.rest)+len(message)), b.rest...), true
	}
	b.rest = append(b.rest, message...)
}

// Write implements centrifuge.Transport.
func (c *conn) Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error) {
	if c.socket.Blocking() {
		if s, ok := c.socket.(interface{ Interrupt() }); ok {
			stop := context.AfterFunc(ctx, s.Interrupt)
			defer stop()
		}
	}
	if len(batch) == 1 && shared(batch[0]) {
		return c.writeMessages(c.single(batch[0]), true)
	}
	if len(batch) == 0 {
		return c.writeMessages(nil, true)
	}
	buffer := outgoing.Get().(*[]byte)
	defer putOutgoing(buffer)
	*buffer = c.appendBatch(*buffer, batch)
	return c.writeMessages(*buffer, false)
}

// single returns the WebSocket message that all connections send for f.
func (c *conn) single(f *protocol.Encoded) []byte {
	if c.compresses(f) {
		if message := c.handler.deflater.deflated(f, c.request.protobuf); len(message) > 0 {
			return message
		}
	}
	return messageOf(f, c.request.protobuf).Bytes
}

func (c *conn) compresses(f *protocol.Encoded) bool {
	return c.request.deflate && len(f.Bytes) >= c.handler.config.CompressionMinSize
}

// appendBatch appends batch as one WebSocket message. With compression, an encoded
// message that is compressed becomes a WebSocket message of its own, so that it is
// compressed once for all connections instead of once for each batch.
func (c *conn) appendBatch(dst []byte, batch []*protocol.Encoded) []byte {
	plain := 0 // messages from here on are not compressed
	for i, f := range batch {
		if !c.compresses(f) {
			continue
		}
		if message := c.handler.deflater.deflated(f, c.request.protobuf); len(message) > 0 {
			dst = appendJoined(dst, batch[plain:i], c.request.protobuf)
			dst = append(dst, message...)
			plain = i + 1
		}
	}
	return appendJoined(dst, batch[plain:], c.request.protobuf)
}

// writeMessages writes messages and returns the number of pending bytes; with no messages
// it only returns that number. Messages that the peer cannot receive any more are dropped
// without an error: the session learns of the end by Closed or Violated, after it has
// received what the peer had sent.
func (c *conn) writeMessages(messages []byte, immutable bool) (pending int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stateIs(stateOpen) || c.broken {
		return 0, nil
	}
	if err := c.writeLocked(messages, immutable); err != nil {
		c.dropAsideLocked(err)
		return 0, err
	}
	return c.waitsLocked(), nil
}

// writeLocked writes whole messages behind everything that waits. It may keep immutable
// messages and copies others.
func (c *conn) writeLocked(messages []byte, immutable bool) error {
	if len(messages) == 0 || c.broken {
		return nil
	}
	if c.backlog != nil {
		c.backlog.append(messages)
		return nil
	}
	n, err := c.writeSocketLocked(messages)
	if err != nil {
		return c.brokenLocked(err)
	}
	if n == len(messages) {
		return nil
	}
	rest := messages[n:]
	if !immutable {
		rest = bytes.Clone(rest)
	}
	c.backlog = &backlog{rest: rest, owned: !immutable}
	c.socket.WantWrite(true)
	return nil
}

// blockingPart is how many bytes are written to a blocking socket before the node is
// told of the progress.
const blockingPart = 64 << 10

// writeSocketLocked writes b. A blocking socket gets the write timeout for each part, so
// that a peer that keeps reading receives a message of any size.
func (c *conn) writeSocketLocked(b []byte) (written int, err error) {
	if !c.socket.Blocking() || len(b) <= blockingPart {
		return c.socket.Write(b)
	}
	for {
		n, err := c.socket.Write(b[written:min(written+blockingPart, len(b))])
		if written += n; err != nil || written == len(b) {
			return written, err
		}
		if c.session != nil {
			c.session.Writable()
		}
	}
}

// brokenLocked handles an error of a write. A peer that has reset the connection may
// have sent something before. That is still read, and the end is reported as the error
// of a read.
func (c *conn) brokenLocked(err error) error {
	if !eventloop.IsEnded(err) {
		return err
	}
	c.broken, c.backlog = true, nil
	c.socket.WantWrite(false)
	return nil
}

// flushLocked writes what waits, as far as the socket accepts it. It reports whether the
// socket has accepted anything.
func (c *conn) flushLocked() (moved bool, err error) {
	b := c.backlog
	for len(b.rest) > 0 {
		n, err := c.socket.Write(b.rest)
		if err != nil {
			return moved, c.brokenLocked(err)
		}
		moved = moved || n > 0
		if b.rest = b.rest[n:]; len(b.rest) > 0 {
			return moved, nil
		}
		b.rest, b.pong, b.owned = b.pong, nil, true
	}
	c.backlog = nil
	c.socket.WantWrite(false)
	return moved, nil
}

// Writable implements eventloop.Handler. The core is told of all progress, because it
// closes a connection that makes none for too long.
func (c *conn) Writable() {
	c.mu.Lock()
	b := c.backlog
	if b == nil {
		c.socket.WantWrite(false)
		c.mu.Unlock()
		return
	}
	moved, err := c.flushLocked()
	drained := err == nil && c.backlog == nil
	if drained && c.stateIs(stateFailed) {
		err = c.socket.CloseWrite()
	}
	leaving := drained && c.stateIs(stateLeaving)
	tell := b.waits && (moved || c.broken) // read under mu: a write may set it meanwhile
	c.mu.Unlock()
	switch {
	case err != nil:
		c.drop(err)
	case leaving:
		c.drop(errLeft)
	case tell:
		c.session.Writable()
	}
}

// Ping implements centrifuge.Transport.
func (c *conn) Ping() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stateIs(stateOpen) {
		return nil // as in writeMessages
	}
	err := c.writeLocked(appendControl(nil, opPing, nil), false)
	if err != nil {
		c.dropAsideLocked(err)
	}
	return err
}

// waitsLocked returns the number of bytes that the socket has not accepted. The core is
// then told when the socket accepts some of them.
func (c *conn) waitsLocked() (pending int) {
	if c.backlog == nil {
		return 0
	}
	c.backlog.waits = true
	return len(c.backlog.rest) + len(c.backlog.pong)
}

// answerPing sends a pong. While bytes wait, only the latest pong is kept, so that a peer
// that pings without reading does not use memory. The core checks that the peer reads.
func (c *conn) answerPing(payload []byte) {
	c.mu.Lock()
	if !c.stateIs(stateOpen) {
		c.mu.Unlock()
		return
	}
	pong := appendControl(make([]byte, 0, 2+len(payload)), opPong, payload)
	var err error
	if c.backlog != nil {
		c.backlog.pong = pong
	} else {
		err = c.writeLocked(pong, true)
	}
	pending := c.waitsLocked()
	c.mu.Unlock()
	switch {
	case err != nil:
		c.drop(err)
	case pending > 0:
		c.session.Full(pending)
	}
}
