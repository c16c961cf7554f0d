package websocket

import (
	"context"

	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/protocol"
)

// Write implements centrifuge.Transport.
func (c *conn) Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error) {
	if c.socket.Blocking() {
		if s, ok := c.socket.(interface{ Interrupt() }); ok {
			stop := context.AfterFunc(ctx, s.Interrupt)
			defer stop()
		}
	}
	if c.handler.config.Unidirectional {
		return c.writePushes(batch)
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
	return c.backlog.Pending(), nil
}

// blockingPart is how many bytes are written to a blocking socket before the node is
// told of the progress.
const blockingPart = 64 << 10

// writeLocked writes whole messages behind everything that waits. It may keep immutable
// messages and copies others. A blocking socket gets the write timeout for each part, so
// that a peer that keeps reading receives a message of any size.
func (c *conn) writeLocked(messages []byte, immutable bool) error {
	if c.broken {
		return nil
	}
	for c.socket.Blocking() && len(messages) > blockingPart {
		if err := c.backlog.Write(c.socket, messages[:blockingPart], immutable); err != nil {
			return c.brokenLocked(err)
		}
		messages = messages[blockingPart:]
		if c.session != nil {
			c.session.Writable()
		}
	}
	return c.brokenLocked(c.backlog.Write(c.socket, messages, immutable))
}

// brokenLocked handles the error of a write. A peer that has reset the connection may
// have sent something before. That is still read, and the end is reported as the error
// of a read.
func (c *conn) brokenLocked(err error) error {
	if err == nil || !eventloop.IsEnded(err) {
		return err
	}
	c.broken = true
	c.backlog.Drop(c.socket)
	return nil
}

// Writable implements eventloop.Handler. The core is told of all progress, because it
// closes a connection that makes none for too long.
func (c *conn) Writable() {
	c.mu.Lock()
	if c.backlog.Len() == 0 {
		c.backlog.Drop(c.socket)
		c.mu.Unlock()
		return
	}
	told := c.backlog.Told()
	moved, err := c.backlog.Flush(c.socket)
	err = c.brokenLocked(err)
	drained := err == nil && c.backlog.Len() == 0
	if drained && c.stateIs(stateFailed) {
		err = c.socket.CloseWrite()
	}
	leaving := drained && c.stateIs(stateLeaving)
	tell := told && (moved || c.broken)
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
	if !c.backlog.SetLast(pong) {
		err = c.writeLocked(pong, true)
	}
	pending := c.backlog.Pending()
	c.mu.Unlock()
	switch {
	case err != nil:
		c.drop(err)
	case pending > 0:
		c.session.Full(pending)
	}
}
