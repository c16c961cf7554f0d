package http2

import (
	"errors"
	"io"
	"net"
	"net/http"

	"centrifugo/centrifuge/internal/eventloop"
)

// stream is a request and its response. Nearly all streams at any time are idle, and were
// taken over by a transport: they have no exchange.
type stream struct {
	// Static after construction.
	conn *conn
	id   uint32

	// Guarded by conn.mu.
	window      int64 // bytes that the client accepts
	received    int   // bytes that the client may still send
	remoteEnded bool  // the client has ended the request
	localEnded  bool  // the response has ended
	begun       bool  // the header of the response was sent
	waits       bool  // it is in conn.waiting
	err         error // why it has ended before its time
	exchange    *exchange
	taken       *taken
}

// taken is a stream that a transport has taken over. It is the transport's socket.
type taken struct {
	stream  *stream
	handler eventloop.Handler

	// Guarded by conn.mu.
	started bool
	closed  bool // Close was called, or Closed is called
}

var (
	_ eventloop.Socket = (*taken)(nil)
	_ eventloop.Taker  = (*response)(nil)
)

// Take implements eventloop.Taker. A response without a body, or of a length that was
// announced, cannot be taken over.
func (r *response) Take(h eventloop.Handler) (eventloop.Socket, error) {
	if !r.begun || r.bodyless || r.length >= 0 {
		return nil, http.ErrNotSupported
	}
	s := r.stream
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil {
		return nil, net.ErrClosed
	}
	s.exchange.body.discardLocked()
	s.exchange = nil
	s.taken = &taken{stream: s, handler: h}
	return s.taken, nil
}

// Start implements eventloop.Socket.
func (t *taken) Start([]byte) error {
	c := t.stream.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.stream.err != nil {
		return net.ErrClosed
	}
	t.started = true
	return nil
}

// Write implements eventloop.Socket.
func (t *taken) Write(b []byte) (n int, err error) {
	s := t.stream
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil || s.localEnded {
		return 0, net.ErrClosed
	}
	return c.sendLocked(s, nil, b, false)
}

// WantWrite implements eventloop.Socket. Writable is called each time that the stream has
// become able to send, and is expected to write all that it can.
func (t *taken) WantWrite(on bool) {
	s := t.stream
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case s.err != nil || s.localEnded:
	case on:
		c.awaitLocked(s)
	default:
		c.dismissLocked(s)
	}
}

// Resume implements eventloop.Socket. Nothing is read that could pause.
func (t *taken) Resume() {}

// CloseWrite implements eventloop.Socket. The stream is then complete.
func (t *taken) CloseWrite() error {
	s := t.stream
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err != nil || s.localEnded {
		return nil
	}
	if _, err := c.sendLocked(s, nil, nil, true); err != nil {
		return err
	}
	// The caller holds what Closed needs.
	go t.end(io.EOF)
	return nil
}

// Close implements eventloop.Socket.
func (t *taken) Close() {
	s := t.stream
	c := s.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	t.closed = true
	if s.err == nil && !s.localEnded {
		_ = c.writeLocked(appendReset(nil, s.id, codeCancel)) // its error has ended the connection
		c.forgetLocked(s, net.ErrClosed)
	}
}

// Blocking implements eventloop.Socket.
func (t *taken) Blocking() bool { return false }

// end tells the transport why the stream has ended.
func (t *taken) end(err error) {
	c := t.stream.conn
	c.mu.Lock()
	tell := t.started && !t.closed
	t.closed = true
	c.mu.Unlock()
	if tell {
		c.guard(func() { t.handler.Closed(err) })
	}
}

// writable lets whoever waits for the stream go on.
func (s *stream) writable() {
	c := s.conn
	c.mu.Lock()
	t, e := s.taken, s.exchange
	tell := t != nil && t.started && !t.closed
	c.mu.Unlock()
	switch {
	case tell:
		if !c.guard(t.handler.Writable) {
			t.end(errPanicked)
			t.Close()
		}
	case e != nil:
		e.wake()
	}
}

var errPanicked = errors.New("panic in a transport")
