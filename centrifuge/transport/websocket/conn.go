package websocket

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/protocol"
)

// session is the node's side of a connection: *centrifuge.Conn.
type session interface {
	// Receive processes a message that is valid only during the call. If it returns
	// false, the transport must not read before Resume.
	Receive(message []byte) (more bool)
	// Connect processes the connect request of a unidirectional connection. It reports
	// false if the connection has ended.
	Connect(request *protocol.ConnectRequest) bool
	// Disconnect ends the connection for a reason of the transport.
	Disconnect(centrifuge.Disconnect)
	// Connected reports whether the connect command has succeeded.
	Connected() bool
	// Writable reports that the socket has accepted some of the pending bytes.
	Writable()
	// Full reports that the socket has not accepted an answer of the transport itself,
	// such as a pong: pending bytes wait.
	Full(pending int)
	Pong()
	// Violated reports that the peer broke the protocol and is not read any more.
	Violated(centrifuge.Disconnect)
	// Closed is called once, when the connection has ended.
	Closed(err error)
}

// state of a connection. Its value only increases.
type state uint32

const (
	stateOpen    state = iota
	stateClosing       // Close was called: our close frame is sent, the peer's awaited; or the peer's is being answered
	stateFailed        // the peer broke the protocol: our close frame is sent, its bytes are dropped
	stateLeaving       // the peer's close frame was received: ours answers it and waits to be written
	stateDead          // the socket is closed
)

// progress of a connection, as bits: another bool would make every connection larger.
type progress uint8

const (
	progressConnected progress = 1 << iota // the session has reported it
	progressAsked                          // the connect request of a unidirectional connection was received
)

var (
	errCloseTimeout = errors.New("peer did not answer the close frame")
	errLeft         = errors.New("peer left")
	errStalled      = errors.New("peer does not read")
	errSendsOn      = errors.New("peer continues to send after the close frame")
)

// conn is one connection: the core's Transport and the event loop's Handler.
type conn struct {
	// Static after construction.
	handler *Handler
	request request

	// state changes from open by compare-and-swap, and to dead under mu.
	state atomic.Uint32

	// Owned by the reader: the goroutine in Data.
	reader    reader
	discard   bool // further bytes are ignored
	progress  progress
	controls  uint16 // control frames received before the connect command
	discarded uint32 // bytes received since discard was set, up to maxDiscarded

	// Guarded by mu, which is held while bytes are written to the socket. This orders
	// replies, pongs and the close frame. The socket of writer is static.
	mu         sync.Mutex
	session    session // nil before start
	writer     eventloop.Writer
	closeTimer *time.Timer // nil until a close frame is sent
}

var (
	_ centrifuge.Transport = (*conn)(nil)
	_ eventloop.Handler    = (*conn)(nil)
)

// Info implements centrifuge.Transport.
func (c *conn) Info() centrifuge.TransportInfo {
	config := &c.handler.config
	info := centrifuge.TransportInfo{
		Name:       "websocket",
		Protobuf:   c.request.protobuf,
		Generation: c.request.generation,
		NativePing: c.request.nativePing,
		Blocking:   c.writer.Socket.Blocking(),
		MaxBatch:   config.MaxBatch,
	}
	if config.Unidirectional {
		info.Name, info.Unidirectional, info.DisconnectPush = "uni_websocket", true, !config.NoDisconnectPush
	}
	return info
}

// Resume implements centrifuge.Transport.
func (c *conn) Resume() { c.writer.Socket.Resume() }

// join adds the connection to the loop and sets its socket. It holds mu, because a loop
// that closes at this moment calls Closed.
func (c *conn) join(loop *eventloop.Loop, tcp net.Conn) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writer.Socket, err = loop.Add(tcp, c); err == nil {
		c.handler.group.Begin()
	}
	return err
}

// start sets the connection's session and begins reading; first holds the bytes that
// were received behind the handshake. The connect request is that in the URL, or nil.
func (c *conn) start(s session, connect *protocol.ConnectRequest, first []byte) {
	c.mu.Lock()
	c.session = s
	dead := c.stateIs(stateDead)
	c.mu.Unlock()
	if dead { // it ended before there was a session to tell
		s.Closed(net.ErrClosed)
		return
	}
	if connect != nil {
		c.progress |= progressAsked
		s.Connect(connect)
	}
	if err := c.writer.Socket.Start(first); err != nil {
		c.drop(err)
	}
}

func (c *conn) stateIs(s state) bool { return state(c.state.Load()) == s }

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

// dropLocked closes the socket. It returns the session that the caller must tell, or
// nil if it has been told or start will do so.
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
