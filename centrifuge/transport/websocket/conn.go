package websocket

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/eventloop"
)

// session is the node's side of a connection: *centrifuge.Conn.
type session interface {
	// Receive takes a message, valid during the call; false asks to read no
	// more before Resume.
	Receive(message []byte) (more bool)
	// Connected reports whether the connect command has succeeded.
	Connected() bool
	// Writable says that the socket has taken some of what was pending.
	Writable()
	// Full says that the socket has not taken an answer of the connection's own.
	Full(pending int)
	Pong()
	// Violated says that the peer broke the protocol and is not read any more.
	Violated(centrifuge.Disconnect)
	// Closed comes once, when the connection has ended.
	Closed(err error)
}

// state of a connection. It only grows.
type state uint32

const (
	stateOpen    state = iota
	stateClosing       // Close was called: our close frame is sent, the peer's awaited
	stateFailed        // the peer broke the protocol: our close frame is sent, its bytes are dropped
	stateLeaving       // the peer's close frame came: ours answers it and waits for room
	stateDead          // the socket is closed
)

var (
	errCloseTimeout = errors.New("peer did not answer the close frame")
	errLeft         = errors.New("peer left")
	errStalled      = errors.New("peer takes nothing")
	errSendsOn      = errors.New("peer sends on after the close frame")
)

// conn is one connection: the core's Transport and the event loop's Handler.
type conn struct {
	// Static after construction.
	handler *Handler
	socket  eventloop.Socket
	request request

	// state is left by compare-and-swap where it is open, and ends under mu.
	state atomic.Uint32

	// Owned by the reader: whoever is in Data.
	reader    reader
	discard   bool   // what comes is not looked at any more
	connected bool   // the session has said so
	controls  uint16 // control frames that came before
	discarded uint32 // bytes that came since discard, up to maxDiscarded

	// Guarded by mu, which is held while bytes go to this socket: that orders
	// replies, pongs and the close frame.
	mu         sync.Mutex
	session    session     // nil before start
	backlog    *backlog    // nil while everything was taken
	broken     bool        // the peer takes no more; what it had sent is read to its end
	closeTimer *time.Timer // nil before a close frame was sent
}

var (
	_ centrifuge.Transport = (*conn)(nil)
	_ eventloop.Handler    = (*conn)(nil)
)

// Info implements centrifuge.Transport.
func (c *conn) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{
		Name:       "websocket",
		Protobuf:   c.request.protobuf,
		Generation: c.request.generation,
		NativePing: c.request.nativePing,
		Blocking:   c.socket.Blocking(),
		MaxBatch:   c.handler.config.MaxBatch,
	}
}

// Resume implements centrifuge.Transport.
func (c *conn) Resume() { c.socket.Resume() }

// join gives the connection its socket, under mu: a loop that is closed in this
// moment tells the connection so.
func (c *conn) join(loop *eventloop.Loop, tcp net.Conn) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.socket, err = loop.Add(tcp, c); err == nil {
		c.handler.live.Add(1)
	}
	return err
}

// start gives the connection its session and begins reading; first came with
// the handshake.
func (c *conn) start(s session, first []byte) {
	c.mu.Lock()
	c.session = s
	dead := c.stateIs(stateDead)
	c.mu.Unlock()
	if dead { // ended before it began, when there was nobody to tell
		s.Closed(net.ErrClosed)
		return
	}
	if err := c.socket.Start(first); err != nil {
		c.drop(err)
	}
}

func (c *conn) stateIs(s state) bool { return state(c.state.Load()) == s }

// Closed implements eventloop.Handler.
func (c *conn) Closed(err error) { c.drop(err) }

// drop ends the connection and tells the session. The core's own calls use
// dropAsideLocked: the core may hold what its Closed needs.
func (c *conn) drop(err error) {
	c.mu.Lock()
	s := c.dropLocked()
	c.mu.Unlock()
	if s != nil {
		s.Closed(err)
	}
}

// dropAsideLocked is drop for a caller that comes from the core.
func (c *conn) dropAsideLocked(err error) {
	if s := c.dropLocked(); s != nil {
		go s.Closed(err)
	}
}

// dropLocked closes the socket. It returns the session that the caller has to
// tell: none if that was done, or if start will do it.
func (c *conn) dropLocked() session {
	if c.stateIs(stateDead) {
		return nil
	}
	c.state.Store(uint32(stateDead))
	c.backlog = nil
	if c.closeTimer != nil {
		c.closeTimer.Stop()
	}
	c.socket.Close()
	c.handler.ended()
	return c.session
}
