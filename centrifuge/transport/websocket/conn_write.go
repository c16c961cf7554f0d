package websocket

import (
	"context"

	"centrifugo/protocol"
)

// Write implements centrifuge.Transport.
func (c *conn) Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error) {
	if c.writer.Socket.Blocking() {
		defer c.writer.InterruptAfter(ctx)()
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
	if !c.stateIs(stateOpen) {
		return 0, nil
	}
	if err := c.writer.Write(messages, immutable); err != nil {
		c.dropAsideLocked(err)
		return 0, err
	}
	return c.writer.Pending(), nil
}

// Progress implements eventloop.Handler. mu is held.
func (c *conn) Progress() {
	if c.session != nil {
		c.session.Writable()
	}
}

// Writable implements eventloop.Handler. The core is told of all progress, because it
// closes a connection that makes none for too long.
func (c *conn) Writable() {
	c.mu.Lock()
	drained, progress, err := c.writer.Flush()
	leaving := drained && c.stateIs(stateLeaving)
	c.mu.Unlock()
	switch {
	case err != nil:
		c.drop(err)
	case leaving:
		c.drop(errLeft)
	case progress:
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
	err := c.writer.Write(appendControl(nil, opPing, nil), false)
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
	if !c.writer.SetLast(pong) {
		err = c.writer.Write(pong, true)
	}
	pending := c.writer.Pending()
	c.mu.Unlock()
	switch {
	case err != nil:
		c.drop(err)
	case pending > 0:
		c.session.Full(pending)
	}
}
