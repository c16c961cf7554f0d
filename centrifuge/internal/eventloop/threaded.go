package eventloop

import (
	"bytes"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// peekSize is how much a waiting goroutine reads into memory of its own: a pong
// fits. Only a read that fills it makes the next one take a pooled buffer.
const peekSize = 32

// writeSize is how much is written before the next deadline is set, and so what a
// peer must take within it.
const writeSize = 64 << 10

// readBuffers are used by threaded sockets while they receive a message.
var readBuffers = sync.Pool{New: func() any { b := make([]byte, 16<<10); return &b }}

// past is a deadline that ends whatever a connection waits for.
var past = time.Unix(1, 0)

// threadedSocket has a goroutine that reads, and a Write that waits.
type threadedSocket struct {
	// Static after construction.
	loop    *Loop
	conn    net.Conn
	handler Handler
	resume  chan struct{} // Resume and Close to the reader; one slot, never closed

	flow        flow
	closed      atomic.Bool
	interrupted atomic.Bool

	// Owned by the reader.
	peek [peekSize]byte

	// Guarded by loop.mu.
	started bool
}

func (s *threadedSocket) Blocking() bool { return true }

func (s *threadedSocket) Start(first []byte) error {
	first = bytes.Clone(first)
	s.loop.mu.Lock()
	defer s.loop.mu.Unlock()
	if s.loop.closed || s.closed.Load() {
		return net.ErrClosed
	}
	s.started = true
	s.loop.wg.Go(func() { s.run(first) })
	return nil
}

// run owns the exit: whoever ends the socket makes it return.
func (s *threadedSocket) run(first []byte) {
	err := s.read(first)
	s.end(err)
	_ = s.conn.Close() // the connection is given up either way
	s.forget()
}

func (s *threadedSocket) read(first []byte) error {
	if len(first) > 0 {
		if err := s.deliver(first); err != nil {
			return err
		}
	}
	var pooled *[]byte
	defer func() {
		if pooled != nil {
			readBuffers.Put(pooled)
		}
	}()
	buf := s.peek[:]
	for {
		n, err := s.conn.Read(buf)
		if n > 0 {
			if err := s.deliver(buf[:n]); err != nil {
				return err
			}
		}
		if err != nil {
			return err
		}
		switch full := n == len(buf); {
		case full && pooled == nil:
			pooled = readBuffers.Get().(*[]byte)
			buf = *pooled
		case !full && pooled != nil:
			readBuffers.Put(pooled)
			pooled, buf = nil, s.peek[:]
		}
	}
}

// deliver hands b to the handler and waits wherever that wants no more.
func (s *threadedSocket) deliver(b []byte) error {
	for {
		var n int
		more := false
		s.flow.begin()
		if s.closed.Load() {
			return net.ErrClosed
		}
		if !s.loop.guard(func() { n, more = s.handler.Data(b) }) {
			return ErrPanic
		}
		if more {
			return nil
		}
		b = b[n:]
		if s.flow.pause() {
			<-s.resume
		}
		if len(b) == 0 {
			return nil
		}
	}
}

// Write gives every part of b the time that the loop allows for a write: a peer that
// goes on reading, however slowly, gets a message of any size.
func (s *threadedSocket) Write(b []byte) (written int, err error) {
	for {
		part := b[written:min(written+writeSize, len(b))]
		if s.closed.Load() {
			return written, net.ErrClosed
		}
		if err := s.conn.SetWriteDeadline(time.Now().Add(s.loop.config.WriteTimeout)); err != nil {
			return written, err
		}
		if s.interrupted.Load() { // after the deadline was set, which may have undone that of Interrupt
			return written, os.ErrDeadlineExceeded
		}
		n, err := s.conn.Write(part)
		if written += n; err != nil && s.closed.Load() {
			return written, net.ErrClosed // the deadline that end has set
		}
		if err != nil || written == len(b) {
			return written, err
		}
		s.handler.Progress()
	}
}

// Interrupt makes a Write that waits, and all later ones, return an error.
func (s *threadedSocket) Interrupt() {
	s.interrupted.Store(true)
	_ = s.conn.SetWriteDeadline(past) // an error means that it is closed already
}

// WantWrite has nothing to do: Write waits.
func (s *threadedSocket) WantWrite(bool) {}

func (s *threadedSocket) Resume() {
	if s.flow.resume() {
		s.wake()
	}
}

func (s *threadedSocket) wake() {
	select {
	case s.resume <- struct{}{}:
	default: // a wake is on its way
	}
}

func (s *threadedSocket) CloseWrite() error {
	if c, ok := s.conn.(interface{ CloseWrite() error }); ok && !s.closed.Load() {
		return c.CloseWrite()
	}
	return nil
}

// Close ends the reader, which closes the connection: tls.Conn.Close may wait
// for seconds to send its close_notify, and the caller must not wait.
func (s *threadedSocket) Close() {
	if s.closed.CompareAndSwap(false, true) {
		s.interrupt()
	}
}

// end closes the socket and tells the handler why, unless it is closed already.
func (s *threadedSocket) end(err error) {
	if s.closed.CompareAndSwap(false, true) {
		s.interrupt()
		s.loop.guard(func() { s.handler.Closed(err) })
	}
}

func (s *threadedSocket) interrupt() {
	s.loop.mu.Lock()
	started := s.started
	s.loop.mu.Unlock()
	if !started {
		_ = s.conn.Close() // there is no reader to be told
		s.forget()
		return
	}
	_ = s.conn.SetDeadline(past) // an error means that it is closed already
	s.wake()
}

func (s *threadedSocket) forget() {
	s.loop.mu.Lock()
	delete(s.loop.threaded, s)
	s.loop.mu.Unlock()
}
