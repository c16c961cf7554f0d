package websocket

import (
	"time"

	"centrifugo/centrifuge"
)

// Close implements centrifuge.Transport. It sends what is pending, then a close frame.
// The TCP connection is closed when the peer has answered, or after CloseTimeout
// (protocol.md 3.2). Close does not wait.
func (c *conn) Close(code uint32, reason string) {
	if !c.leave(stateClosing) {
		return
	}
	if code == centrifuge.DisconnectWriteError.Code && c.bytesWait() {
		c.mu.Lock()
		c.dropAsideLocked(errStalled) // the peer would not read a close frame
		c.mu.Unlock()
		return
	}
	if c.handler.config.NoClosingHandshake {
		c.closeWithoutHandshake()
		return
	}
	if code > 0xFFFF || !validCloseCode(uint16(code)) {
		code = 0 // a frame without a code
	}
	if c.writer.Socket.Blocking() {
		go c.sendClose(uint16(code), reason) // mu may be held by a write that waits
	} else {
		c.sendClose(uint16(code), reason)
	}
}

func (c *conn) bytesWait() bool {
	if c.writer.Socket.Blocking() {
		return false // mu may be held by a write that waits
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.writer.Len() > 0
}

func (c *conn) sendClose(code uint16, reason string) {
	c.mu.Lock()
	if err := c.sendCloseLocked(code, reason); err != nil {
		c.dropAsideLocked(err)
	}
	c.mu.Unlock()
	c.writer.Socket.Resume() // to read the peer's answer
}

// leave ends the open state. It returns true for one caller only.
func (c *conn) leave(next state) bool {
	return c.state.CompareAndSwap(uint32(stateOpen), uint32(next))
}

// sendCloseLocked sends a close frame behind everything that waits. The caller has left
// the open state.
func (c *conn) sendCloseLocked(code uint16, reason string) error {
	if c.stateIs(stateDead) {
		return nil
	}
	if c.writer.Broken() {
		return errLeft
	}
	c.closeTimer = time.AfterFunc(c.handler.config.CloseTimeout, c.timeOut)
	return c.writer.Write(appendClose(make([]byte, 0, 2+maxControlSize), code, reason), false)
}

// peerClosed handles the peer's close frame: it is the answer to ours, or is answered
// with the same code.
func (c *conn) peerClosed(payload []byte) {
	said, bad := parseClose(payload)
	if bad != nil {
		c.fail(bad)
		return
	}
	c.discard = true // nothing may follow (RFC 6455 5.5.1)
	if !c.leave(stateClosing) {
		c.drop(said)
		return
	}
	code := said.Code
	if code == closeNoStatus {
		code = 0
	}
	c.mu.Lock()
	err := c.sendCloseLocked(code, "")
	waits := err == nil && c.writer.Len() > 0
	if waits {
		c.state.Store(uint32(stateLeaving)) // Writable drops it
	}
	c.mu.Unlock()
	if !waits {
		c.drop(said)
	}
}
