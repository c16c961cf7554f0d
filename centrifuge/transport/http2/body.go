package http2

import (
	"io"
	"net/http"
)

// body is the body of a request, and what of it was received and not read.
type body struct {
	// Static after construction.
	stream  *stream
	awaited bool // the client waits for 100 Continue

	// Guarded by conn.mu.
	waiter   waiter
	data     []byte
	promised int64 // by Content-Length, less what has come; -1 for none
	ended    bool  // all of it has come
	closed   bool
	consumed int // bytes that were read since the client was last told
	limit    int // of the window
	trailer  http.Header
	request  *http.Request // its Trailer gets the values
}

var _ io.ReadCloser = (*body)(nil)

// Read implements io.Reader. It waits until something comes, or the deadline has passed.
func (b *body) Read(p []byte) (int, error) {
	c := b.stream.conn
	for {
		c.mu.Lock()
		n, done, err := b.readLocked(p)
		deadline := b.waiter.deadline
		c.mu.Unlock()
		if done {
			return n, err
		}
		if err := b.waiter.wait(deadline); err != nil {
			return 0, err
		}
	}
}

func (b *body) readLocked(p []byte) (n int, done bool, err error) {
	s := b.stream
	switch {
	case s.err != nil:
		return 0, true, s.err
	case b.closed:
		return 0, true, http.ErrBodyReadAfterClose
	case len(b.data) > 0:
		n = copy(p, b.data)
		if b.data = b.data[n:]; len(b.data) == 0 {
			b.data = nil
		}
		b.usedLocked(n)
		return n, true, nil
	case b.ended:
		for name, values := range b.trailer { // copies of the request share the map
			b.request.Trailer[name] = values
		}
		return 0, true, io.EOF
	case b.waiter.expired():
		return 0, true, errDeadline
	}
	if b.awaited && !s.begun {
		s.conn.informLocked(s, appendStatus(nil, http.StatusContinue))
	}
	b.awaited = false
	return 0, false, nil
}

// Close implements io.Closer. What comes then is discarded.
func (b *body) Close() error {
	c := b.stream.conn
	c.mu.Lock()
	defer c.mu.Unlock()
	b.discardLocked()
	return nil
}

// discardLocked drops what was not read.
func (b *body) discardLocked() {
	b.stream.conn.consumedLocked(len(b.data))
	b.data, b.closed = nil, true
}

func (b *body) addLocked(data []byte) {
	if b.closed {
		b.stream.conn.consumedLocked(len(data))
		return
	}
	b.data = append(b.data, data...)
	b.waiter.wake()
}

func (b *body) endLocked() {
	b.ended = true
	b.waiter.wake()
}

// usedLocked lets the client send more in place of n bytes that were read. A handler that
// reads on gets a larger window, up to maxWindowStream: otherwise a body would come at one
// window in a round trip.
func (b *body) usedLocked(n int) {
	s := b.stream
	s.conn.consumedLocked(n)
	if b.consumed += n; b.consumed < b.limit/2 || b.ended {
		return
	}
	more := b.consumed
	if b.limit < maxWindowStream {
		more += b.limit
		b.limit *= 2
	}
	b.consumed = 0
	s.received += more
	_ = s.conn.writeLocked(appendWindowUpdate(nil, s.id, more)) // its error has ended the connection
}

// paddedLocked lets the client send more in place of padding.
func (s *stream) paddedLocked(n int) {
	if n > 0 {
		s.exchange.body.usedLocked(n)
	}
}

// consumedLocked lets the client send more on the connection in place of n bytes that were
// used.
func (c *conn) consumedLocked(n int) {
	if c.consumed += n; c.consumed < windowConn/2 {
		return
	}
	c.received += c.consumed
	_ = c.writeLocked(appendWindowUpdate(nil, 0, c.consumed)) // its error has ended the connection
	c.consumed = 0
}
