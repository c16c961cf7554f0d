package websocket

import (
	"time"

	"centrifugo/centrifuge"
)

// Close implements centrifuge.Transport: what is pending goes first, then a
// close frame; the TCP connection is dropped when the peer has answered it, or
// after CloseTimeout (protocol.md 3.2). It does not wait.
func (c *conn) Close(code uint32, reason string) {
	if !c.leave(stateClosing) {
		return
	}
	if code == centrifuge.DisconnectWriteError.Code && c.hasBacklog() {
		c.mu.Lock()
		c.dropAsideLocked(errStalled) // nobody reads what would be said
		c.mu.Unlock()
		return
	}
	if code > 0xFFFF || !validCloseCode(uint16(code)) {
		code = 0 // a frame without a code
	}
	if c.socket.Blocking() {
		go c.takeLeave(uint16(code), reason) // somebody may be in a write that waits
	} else {
		c.takeLeave(uint16(code), reason)
	}
}

func (c *conn) hasBacklog() bool {
	if c.socket.Blocking() {
		return false // mu may be held by a write that waits
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.backlog != nil
}

func (c *conn) takeLeave(code uint16, reason string) {
	c.mu.Lock()
	if err := c.sayCloseLocked(code, reason); err != nil {
		c.dropAsideLocked(err)
	}
	c.mu.Unlock()
	c.socket.Resume() // the answer has to be read
}

// leave ends the open state; one caller gets to do it.
func (c *conn) leave(next state) bool {
	return c.state.CompareAndSwap(uint32(stateOpen), uint32(next))
}

// sayCloseLocked sends a close frame behind all that waits. The caller has left
// the open state.
func (c *conn) sayCloseLocked(code uint16, reason string) error {
	if c.stateIs(stateDead) {
		return nil
	}
	if c.broken {
		return errLeft
	}
	c.closeTimer = time.AfterFunc(c.handler.config.CloseTimeout, func() { c.drop(errCloseTimeout) })
	return c.writeLocked(appendClose(make([]byte, 0, 2+maxControlSize), code, reason), false)
}

// peerClosed handles the peer's close frame: the answer to ours, or one that is
// to be answered with its own code.
func (c *conn) peerClosed(payload []byte) {
	said, bad := parseClose(payload)
	if bad != nil {
		c.fail(bad)
		return
	}
	c.discard = true // nothing may follow (RFC 6455 5.5.1)
	if !c.leave(stateLeaving) {
		c.drop(said)
		return
	}
	code := said.Code
	if code == closeNoStatus {
		code = 0
	}
	c.mu.Lock()
	err := c.sayCloseLocked(code, "")
	waits := err == nil && c.backlog != nil
	c.mu.Unlock()
	if !waits {
		c.drop(said)
	}
}
