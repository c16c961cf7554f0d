package websocket

import (
	"unicode/utf8"

	"centrifugo/centrifuge"
)

// What a connection may send before its connect command has been answered, when
// nobody knows yet who it is. It holds no more than this and one mailbox,
// whatever it declares, and ends with the node's StaleCloseDelay.
const (
	// earlyMessage bounds a message in bytes, as it comes and once it is inflated,
	// where the configured limits are larger. The largest honest one comes from
	// SDKs that send their subscribe commands behind the connect command in one
	// message: 128 subscriptions (the usual limit of channels) with tokens of 2 KiB.
	earlyMessage = 256 << 10
	// earlyFrames bounds the fragments of a message, and the control frames.
	earlyFrames = 1024
)

// rules are those for what comes next.
func (c *conn) rules() rules {
	rules := rules{limit: int64(c.handler.config.MessageSizeLimit), deflate: c.request.deflate}
	if !c.isConnected() {
		rules.limit, rules.frames = min(rules.limit, earlyMessage), earlyFrames
	}
	return rules
}

func (c *conn) isConnected() bool {
	if !c.connected {
		c.connected = c.session.Connected()
	}
	return c.connected
}

// inflatedLimit is the most bytes of a message once it is inflated.
func (c *conn) inflatedLimit() int {
	limit := c.handler.config.DecompressedSizeLimit
	if !c.isConnected() {
		limit = min(limit, earlyMessage)
	}
	return limit
}

// early counts a control frame. It reports false where too many came before the
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

// maxDiscarded bounds what a peer may send after it broke the protocol, in bytes. A
// message that was under way when it was found too large usually ends within it, so
// that its sender reads the close frame; a flood does not cost a core until CloseTimeout.
const maxDiscarded = 4 << 20

// handle acts on an event. It reports false where the session wants no more.
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

// receive hands a message to the session. One that comes after our close frame
// is dropped.
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
	return c.session.Receive(message)
}

// fail ends a connection whose peer broke the protocol: a close frame goes out,
// then the end of our stream, and what comes is thrown away for a while. To
// drop the TCP connection at once would make the kernel reset it, and the
// close frame might never be read.
func (c *conn) fail(why *CloseError) {
	c.discard = true
	if !c.leave(stateFailed) { // an orderly end is not to be had any more
		c.drop(why)
		return
	}
	c.mu.Lock()
	err := c.sayCloseLocked(why.Code, why.Reason)
	if err == nil && c.backlog == nil {
		err = c.socket.CloseWrite()
	}
	c.mu.Unlock()
	c.session.Violated(centrifuge.Disconnect{Code: uint32(why.Code), Reason: why.Reason})
	if err != nil {
		c.drop(err)
	}
}
