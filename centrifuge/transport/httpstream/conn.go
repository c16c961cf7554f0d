package httpstream

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/centrifuge/transport/internal/refuse"
	"centrifugo/protocol"
)

// session is the node's side of a connection: *centrifuge.Conn.
type session interface {
	// Writable reports that the socket has accepted some of the pending bytes.
	Writable()
	// Closed is called once, when the connection has ended.
	Closed(err error)
}

// refused is the session of a connection that the node did not accept.
type refused struct{}

func (refused) Writable()    {}
func (refused) Closed(error) {}

// state of a connection. Its value only increases.
type state uint32

const (
	stateOpen    state = iota
	stateClosing       // Close was called: the end of the body is sent, the peer's awaited
	stateDead          // the socket is closed
)

var (
	errCloseTimeout = errors.New("peer did not close the connection")
	errStalled      = errors.New("peer does not read")
	errSendsOn      = errors.New("peer sends on after its request")
)

// maxDiscarded bounds what a peer may send behind its request, in bytes. Pipelined
// requests are not answered: the response says that the connection ends with it.
const maxDiscarded = 64 << 10

// conn is a connection on the event loop: the core's Transport and the loop's Handler.
type conn struct {
	// Static after construction.
	handler *Handler
	framing framing

	// state changes from open by compare-and-swap, and to dead under mu.
	state atomic.Uint32

	// Owned by the reader: the goroutine in Data.
	discarded int

	// Owned by Write.
	positions *positions // nil while the client has none

	// Guarded by mu, which is held while bytes are written to the socket. The socket of
	// writer is static.
	mu         sync.Mutex
	session    session // nil before begin
	writer     eventloop.Writer
	answer     *answer     // nil when the status has been sent
	closeTimer *time.Timer // nil until the body has ended
}

var (
	_ centrifuge.Transport = (*conn)(nil)
	_ eventloop.Handler    = (*conn)(nil)
)

// Info implements centrifuge.Transport.
func (c *conn) Info() centrifuge.TransportInfo {
	return c.handler.info(c.framing, c.writer.Socket.Blocking())
}

// Resume implements centrifuge.Transport. The socket is read all the time: what the peer
// sends is discarded.
func (c *conn) Resume() {}

// join gives the connection its socket. It holds mu, because a loop that closes at this moment
// calls Closed.
func (c *conn) join(add func(eventloop.Handler) (eventloop.Socket, error)) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writer.Socket, err = add(c); err == nil {
		c.handler.group.Begin()
	}
	return err
}

// begin sets the session. If the connection has ended before, it tells the session.
func (c *conn) begin(s session) {
	c.mu.Lock()
	c.session = s
	dead := c.stateIs(stateDead)
	c.mu.Unlock()
	if dead {
		s.Closed(net.ErrClosed)
	}
}

// read begins to read from the socket; first holds what was received before.
func (c *conn) read(first []byte) {
	if c.stateIs(stateDead) {
		return
	}
	if err := c.writer.Socket.Start(first); err != nil {
		c.drop(err)
	}
}

// refuse ends a connection that the node did not accept.
func (c *conn) refuse(d centrifuge.Disconnect) {
	if message, err := refuse.Push(c.handler.format(c.framing), d); err == nil {
		_, _ = c.Write(context.Background(), []*protocol.Encoded{message}) // its error has ended the connection
	}
	c.Close(d.Code, d.Reason)
}

// client returns the connection as the application sees it; nil if the node did not accept
// it.
func (c *conn) client() *centrifuge.Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s, ok := c.session.(*centrifuge.Conn); ok {
		return s.Client()
	}
	return nil
}

func (c *conn) stateIs(s state) bool { return state(c.state.Load()) == s }

// Write implements centrifuge.Transport.
func (c *conn) Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error) {
	if c.writer.Socket.Blocking() {
		defer c.writer.InterruptAfter(ctx)()
	}
	if err := c.accepted(batch); err != nil {
		return 0, err
	}
	id := c.handler.nextID(&c.positions, batch, c.client)
	if id == nil && len(batch) == 1 && manyGet(batch[0]) {
		return c.writeBody(c.framing.shared(batch[0]), true)
	}
	buffer := outgoing.Get().(*[]byte)
	defer putOutgoing(buffer)
	*buffer = c.framing.appendBatch(*buffer, batch, id)
	return c.writeBody(*buffer, false)
}

// accepted sends the head of a response that waits for the outcome of the connect
// request, which batch shows.
func (c *conn) accepted(batch []*protocol.Encoded) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.answer == nil || len(batch) == 0 || refuses(batch) || !c.stateIs(stateOpen) {
		return nil
	}
	head := c.answer.stream(c.framing)
	c.answer = nil
	err := c.writer.Write(head, true)
	if err != nil {
		c.dropAsideLocked(err)
	}
	return err
}

// Ping implements centrifuge.Transport. The transport has no pings of its own.
func (c *conn) Ping() error { return nil }

// writeBody writes a part of the body and returns the number of pending bytes. What the
// peer cannot receive any more is dropped without an error: the core learns of the end by
// Closed.
func (c *conn) writeBody(b []byte, immutable bool) (pending int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stateIs(stateOpen) || c.answer != nil {
		return 0, nil
	}
	if err := c.writer.Write(b, immutable); err != nil {
		c.dropAsideLocked(err)
		return 0, err
	}
	return c.writer.Pending(), nil
}

// Progress implements eventloop.Handler. mu is held.
func (c *conn) Progress() { c.session.Writable() }

// Writable implements eventloop.Handler. The core is told of all progress, because it
// closes a connection that makes none for too long.
func (c *conn) Writable() {
	c.mu.Lock()
	_, progress, err := c.writer.Flush()
	c.mu.Unlock()
	switch {
	case err != nil:
		c.drop(err)
	case progress:
		c.session.Writable()
	}
}

// Data implements eventloop.Handler. What a peer sends behind its request is discarded.
func (c *conn) Data(b []byte) (n int, more bool) {
	if c.discarded += len(b); c.discarded > maxDiscarded {
		c.drop(errSendsOn)
	}
	return len(b), true
}

// Close implements centrifuge.Transport. It ends the body behind what is pending, and the
// TCP connection when the peer has closed its side, or after CloseTimeout. If it closed
// the socket at once, the kernel might reset the connection, and the peer might not read
// the end. Close does not wait.
func (c *conn) Close(code uint32, _ string) {
	if !c.state.CompareAndSwap(uint32(stateOpen), uint32(stateClosing)) {
		return
	}
	if c.writer.Socket.Blocking() {
		go c.end(code) // mu may be held by a write that waits
	} else {
		c.end(code)
	}
}

func (c *conn) end(code uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stateIs(stateDead) {
		return
	}
	if code == centrifuge.DisconnectWriteError.Code && c.writer.Len() > 0 {
		c.dropAsideLocked(errStalled)
		return
	}
	c.closeTimer = time.AfterFunc(c.handler.config.CloseTimeout, c.timeOut)
	err := c.writeEndLocked(code)
	if err == nil {
		err = c.writer.CloseWrite()
	}
	if err != nil {
		c.dropAsideLocked(err)
	}
}

// writeEndLocked ends the body, or answers a connect request that was refused.
func (c *conn) writeEndLocked(code uint32) error {
	switch {
	case c.answer != nil:
		status, body := c.handler.config.ConnectStatus(code)
		return c.writer.Write(c.answer.refusal(status, body), true)
	case c.framing.chunked:
		return c.writer.Write([]byte(lastChunk), true)
	}
	return nil
}

// Closed implements eventloop.Handler.
func (c *conn) Closed(err error) { c.drop(err) }

// drop ends the connection and tells the session. Calls from the core use
// dropAsideLocked, because the core may hold locks that its Closed needs.
func (c *conn) drop(err error) {
	c.mu.Lock()
	s := c.dropLocked()
	c.mu.Unlock()
	if s != nil {
		s.Closed(err)
	}
}

// timeOut ends a connection whose peer has not answered our end within CloseTimeout.
func (c *conn) timeOut() {
	c.writer.GiveUp()
	c.drop(errCloseTimeout)
}

// dropAsideLocked is drop for calls from the core.
func (c *conn) dropAsideLocked(err error) {
	if s := c.dropLocked(); s != nil {
		go s.Closed(err)
	}
}

// dropLocked closes the socket. It returns the session that the caller must tell, or nil
// if it has been told or begin will do so.
func (c *conn) dropLocked() session {
	if c.stateIs(stateDead) {
		return nil
	}
	c.state.Store(uint32(stateDead))
	if c.closeTimer != nil {
		c.closeTimer.Stop()
	}
	c.writer.Close()
	c.handler.group.End()
	return c.session
}
