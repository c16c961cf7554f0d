package websocket

import (
	"unicode/utf8"

	"centrifugo/centrifuge"
)

// Data implements eventloop.Handler.
func (c *conn) Data(b []byte) (n int, more bool) {
	rules := rules{limit: int64(c.handler.config.MessageSizeLimit), deflate: c.request.deflate}
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
	return len(b), true
}

// handle acts on an event. It reports false where the session wants no more.
func (c *conn) handle(e event) (more bool) {
	switch e.kind {
	case eventMessage:
		return c.receive(e)
	case eventPing:
		c.answerPing(e.payload)
	case eventPong:
		c.session.Pong()
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
		if message, bad = inflater.inflate(e.payload, c.handler.config.DecompressedSizeLimit); bad != nil {
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
	c.session.Disconnect(centrifuge.Disconnect{Code: uint32(why.Code), Reason: why.Reason})
	if err != nil {
		c.drop(err)
	}
}
