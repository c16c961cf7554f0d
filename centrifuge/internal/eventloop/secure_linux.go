//go:build linux

package eventloop

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
)

const (
	// recordSize is the most plaintext that one TLS record holds (RFC 8446 5.1).
	recordSize = 16 << 10
	// maxSealed bounds what is encrypted and not sent: a record that was split
	// (small ones at first, with a header each), and the answers that the peer
	// asks for while it reads nothing.
	maxSealed = 2 * recordSize
)

var errPeerReadsNothing = errors.New("peer asks TLS for answers and reads none")

// secureSocket is TLS over a socket that a poller watches. It is the handler of that
// socket and the socket of the handler above. The tls.Conn reads the poller's bytes
// without a copy, until it asks for more than there is. It then gets a temporary
// error: crypto/tls keeps the part of a record that it has and continues at the next
// Read, as it must after a deadline.
//
// What the tls.Conn writes is never refused, because that would corrupt the stream.
// What the kernel does not accept is kept, at most maxSealed. A Write that leaves
// something here returns a short n; the caller's next Write, which must begin with
// the same bytes, continues when the kernel has accepted the rest.
type secureSocket struct {
	// Static after construction.
	beneath polledSocket
	tls     *tls.Conn
	above   Handler

	// Owned by whoever reads.
	in   []byte  // came, and the tls.Conn has not asked for it yet
	rest *[]byte // what the handler has not used before it paused

	// Guarded by writing, which is held while something is encrypted.
	writing   sync.Mutex
	uncounted int // bytes that were encrypted, but not yet counted as written

	// Guarded by mu.
	mu     sync.Mutex
	sealed []byte // what the kernel has not taken
	wanted bool   // the handler waits for Writable
	ended  bool   // both sides have sent close_notify
}

// addSecure takes over what TLS runs over.
func (l *Loop) addSecure(c *tls.Conn, raw *Conn, h Handler) (_ Socket, polled bool, _ error) {
	tcp := raw.tcp.Load()
	if tcp == nil {
		return nil, false, net.ErrClosed // a loop has it already
	}
	if !c.ConnectionState().HandshakeComplete {
		return nil, false, nil // an interruption would end it for good
	}
	s := &secureSocket{tls: c, above: h}
	s.beneath.handler = s
	if polled, err := l.take(tcp, &s.beneath); !polled {
		return nil, false, err
	}
	raw.socket.Store(s)
	raw.tcp.Store(nil)
	return s, true, nil
}

func (s *secureSocket) Blocking() bool { return false }

// Start gives the handler what was decrypted before the socket came here, and
// then what the tls.Conn has read ahead.
func (s *secureSocket) Start(first []byte) error {
	if len(first) > 0 {
		rest := first
		s.rest = &rest
	}
	return s.beneath.Start(nil)
}

// Data implements Handler, for the socket beneath.
func (s *secureSocket) Data(b []byte) (n int, more bool) {
	if rest := s.rest; rest != nil {
		s.rest = nil
		if !s.deliver(*rest) {
			return 0, false
		}
	}
	s.in = b
	defer func() { s.in = nil }()
	plain := readBuffers.Get().(*[]byte)
	defer readBuffers.Put(plain)
	for !s.beneath.isShut() {
		n, err := s.tls.Read(*plain)
		if n > 0 && !s.deliver((*plain)[:n]) {
			return len(b) - len(s.in), false // err comes again, unless it was errNoMore
		}
		if err == errNoMore { //nolint:errorlint // wrapped in a lasting error it would have to end the connection
			tlsLeftovers.drop(s.tls)
			break
		}
		if err != nil {
			s.end(err)
		}
	}
	return len(b), true
}

// deliver reports whether the handler wants more. What it has not used comes
// again.
func (s *secureSocket) deliver(plain []byte) (more bool) {
	n, more := s.above.Data(plain)
	if !more && n < len(plain) {
		rest := append([]byte(nil), plain[n:]...)
		s.rest = &rest
	}
	return more
}

// Closed implements Handler, for the socket beneath.
func (s *secureSocket) Closed(err error) { s.above.Closed(err) }

// Writable implements Handler, for the socket beneath.
func (s *secureSocket) Writable() {
	s.mu.Lock()
	wanted := s.wanted
	var err error
	if !wanted { // otherwise the handler's Write does it, and counts what left
		err = s.flushLocked()
		s.watchLocked()
	}
	s.mu.Unlock()
	if err != nil && !isEnded(err) { // after a reset the reader comes to the end
		s.beneath.end(err)
	} else if wanted {
		s.above.Writable()
	}
}

// Progress implements Handler. The socket beneath is not Blocking.
func (s *secureSocket) Progress() {}

func (s *secureSocket) WantWrite(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wanted = on
	s.watchLocked()
}

func (s *secureSocket) watchLocked() { s.beneath.WantWrite(s.wanted || len(s.sealed) > 0) }

// Write implements Socket.
func (s *secureSocket) Write(b []byte) (n int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.beneath.isShut() {
		return 0, net.ErrClosed
	}
	for {
		counted, sent, err := s.settle()
		n += min(counted, len(b)-n)
		if err != nil || !sent || n == len(b) {
			return n, err
		}
		chunk := b[n:min(len(b), n+recordSize)]
		if _, err := s.tls.Write(chunk); err != nil {
			return n, s.writeError(err)
		}
		s.uncounted = len(chunk)
	}
}

// writeError is what a Write returns when crypto/tls refuses it.
func (s *secureSocket) writeError(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return net.ErrClosed
	}
	return err
}

// settle flushes and counts a part of the encrypted bytes as written: all of them when
// everything has been sent, otherwise a proportional part without the last byte. This
// is how the progress of a slow reader is seen. The caller holds writing.
func (s *secureSocket) settle() (counted int, sent bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := len(s.sealed)
	err = s.flushLocked()
	after := len(s.sealed)
	if after == 0 {
		counted = s.uncounted
	} else {
		counted = s.uncounted * (before - after) / before
	}
	s.uncounted -= counted
	return counted, after == 0, err
}

// flushLocked gives the kernel what is sealed, as far as it takes it.
func (s *secureSocket) flushLocked() error {
	if len(s.sealed) == 0 {
		return nil
	}
	n, err := s.beneath.Write(s.sealed)
	if s.sealed = s.sealed[n:]; len(s.sealed) == 0 || isEnded(err) {
		s.sealed = nil
	}
	return err
}

// send takes what the tls.Conn writes.
func (s *secureSocket) send(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sent := 0
	if len(s.sealed) == 0 {
		var err error
		if sent, err = s.beneath.Write(b); err != nil || sent == len(b) {
			return sent, err
		}
	}
	if len(s.sealed)+len(b)-sent > maxSealed {
		return sent, errPeerReadsNothing
	}
	s.sealed = append(s.sealed, b[sent:]...)
	s.watchLocked()
	return len(b), nil
}

// receive gives the tls.Conn what has come.
func (s *secureSocket) receive(b []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, errNoMore
	}
	n := copy(b, s.in)
	s.in = s.in[n:]
	return n, nil
}

func (s *secureSocket) Resume() { s.beneath.Resume() }

func (s *secureSocket) CloseWrite() error {
	if s.beneath.isShut() {
		return nil
	}
	return s.tls.CloseWrite()
}

// Close says goodbye as far as the kernel takes it. The tls.Conn closes the
// socket beneath.
func (s *secureSocket) Close() { _ = s.tls.Close() }

func (s *secureSocket) limitUnacknowledged() { s.beneath.limitUnacknowledged() }

func (s *secureSocket) resetAtClose() { s.beneath.resetAtClose() }

// end answers the peer's goodbye, or its nonsense, and tells the handler.
func (s *secureSocket) end(err error) {
	s.mu.Lock()
	s.ended = true
	s.mu.Unlock()
	_ = s.tls.CloseWrite()
	s.beneath.end(err)
}

// errNoMore ends a Read that has used up what came. crypto/tls goes on after it
// because it is temporary.
var errNoMore net.Error = noMore{}

type noMore struct{}

func (noMore) Error() string   { return "no more bytes for now" }
func (noMore) Timeout() bool   { return true }
func (noMore) Temporary() bool { return true }
