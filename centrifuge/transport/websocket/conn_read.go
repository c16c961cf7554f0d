package websocket

import (
	"unicode/utf8"

	"centrifugo/centrifuge"
)

// Bounds of what a connection may send before its connect command has been answered,
// while the client is unknown. The connection uses no more memory than these bounds and
// one mailbox, whatever lengths it declares, and the node closes it after StaleCloseDelay.
const (
	// earlyMessage bounds a message in bytes, as received and after inflating, where the
	// configured limits are larger. The largest regular message comes from SDKs that send
	// their subscribe commands together with the connect command: 128 subscriptions (the usual limit of channels) with tokens of 2 KiB.
	earlyMessage = 256 << 10
	// earlyFrames bounds the fragments of a message, and the control frames.
	earlyFrames = 1024
)

// rules returns the rules for the next frame.
func (c *conn) rules() rules {
	rules := rules{limit: int64(c.handler.config.MessageSizeLimit), deflate: c.request.deflate}
	if !c.isConnected() {
		rules.limit, rules.frames = min(rules.limit, earlyMessage), earlyFrames
	}
	return rules
}

func (c *conn) isConnected() bool {
	if c.progress&progressConnected == 0 && c.session.Connected() {
		c.progress |= progressConnected
	}
	return c.progress&progressConnected != 0
}

// inflatedLimit returns the maximum size of a message after inflating, in bytes.
func (c *conn) inflatedLimit() int {
	limit := c.handler.config.DecompressedSizeLimit
	if !c.isConnected() {
		limit = min(limit, earlyMessage)
	}
	return limit
}

// early counts a control frame. It returns false if too many were received before the
// connect command was answered.
func (c *conn) early() bool {
	if c.isConnected() {
		return true
	}
	if c.controls++; c.controls <= earlyFrames {
		return true
	}
	c.fail(&CloseError{closePolicy, "too many frames before connect"})
	return false
}

// Data implements eventloop.Handler.
func (c *conn) Data(b []byte) (n int, more bool) {
	rules := c.rules()
	rest := b
	for len(rest) > 0 && !c.discard && !c.stateIs(stateDead) {
		e, tail, bad := c.reader.next(rest, rules)
		rest = tail
		if bad != nil {
			c.fail(bad)
			break
		}
		more := c.handle(e)
		c.reader.recycle()
		if !more {
			return len(b) - len(rest), false
		}
	}
	if c.discard {
		c.discarded += uint32(len(rest)) //nolint:gosec // at most maxDiscarded and a read buffer
		if c.discarded > maxDiscarded {
			c.drop(errSendsOn)
		}
	}
	return len(b), true
}

// maxDiscarded bounds what a peer may send after it broke the protocol, in bytes. The
// rest of a message that was found too large usually fits, so that its sender reads the
// close frame. A flood does not use a core until CloseTimeout.
const maxDiscarded = 4 << 20

// handle processes an event. It returns false if the session must not receive more.
func (c *conn) handle(e event) (more bool) {
	switch e.kind {
	case eventMessage:
		return c.receive(e)
	case eventPing:
		if c.early() {
			c.answerPing(e.payload)
		}
	case eventPong:
		if c.early() {
			c.session.Pong()
		}
	case eventClose:
		c.peerClosed(e.payload)
	}
	return true
}

// receive passes a message to the session. Messages behind our close frame are dropped.
func (c *conn) receive(e event) (more bool) {
	if !c.stateIs(stateOpen) {
		return true
	}
	message := e.payload
	if e.compressed {
		inflater := inflaters.Get().(*inflater)
		defer inflater.release()
		var bad *CloseError
		if message, bad = inflater.inflate(e.payload, c.inflatedLimit()); bad != nil {
			c.fail(bad)
			return true
		}
	}
	if e.text && !utf8.Valid(message) {
		c.fail(&CloseError{closeInvalidData, "text is not UTF-8"})
		return true
	}
	if c.handler.config.Unidirectional {
		return c.receiveConnect(message)
	}
	return c.session.Receive(message)
}

// fail ends a connection whose peer broke the protocol. It sends a close frame and the
// end of the stream, and discards further input for a while. If it closed the TCP
// connection at once, the kernel would reset it, and the peer might not read the close
// frame.
func (c *conn) fail(why *CloseError) {
	c.discard = true
	if !c.leave(stateFailed) { // a close frame was sent before
		c.drop(why)
		return
	}
	c.mu.Lock()
	err := c.sendCloseLocked(why.Code, why.Reason)
	if err == nil {
		err = c.writer.CloseWrite()
	}
	c.mu.Unlock()
	c.session.Violated(centrifuge.Disconnect{Code: uint32(why.Code), Reason: why.Reason})
	if err != nil {
		c.drop(err)
	}
}
