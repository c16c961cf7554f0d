package http2

import (
	"crypto/tls"
	"net"
	"sync"
	"time"
)

// Listener takes the connections of l whose TLS handshake chooses "h2" for the server. Accept
// returns all others: for net/http, which serves HTTP/2 itself where a connection cannot be
// polled. A connection whose handshake has failed is returned too, so that net/http logs it.
// Close closes l.
//
// l must be a listener of package crypto/tls, on connections of websocket.Listener.
func (s *Server) Listener(l net.Listener) net.Listener {
	return &listener{Listener: l, server: s, accepted: make(chan accepted), closed: make(chan struct{})}
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

type listener struct {
	net.Listener

	server   *Server
	start    sync.Once
	accepted chan accepted
	once     sync.Once
	closed   chan struct{}
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	l.start.Do(func() { go l.run() })
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close() //nolint:wrapcheck // a listener's errors are looked at by type
}

// run accepts connections until the listener is closed. After an error it goes on when Accept
// is called again, which is after a while if the error is temporary.
func (l *listener) run() {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			if !l.pass(accepted{err: err}) {
				return
			}
			continue
		}
		go l.greet(c)
	}
}

// pass gives a to Accept. It reports false if the listener is closed.
func (l *listener) pass(a accepted) bool {
	select {
	case l.accepted <- a:
		return true
	case <-l.closed:
		return false
	}
}

// greet does the handshake of a connection and finds out who serves it.
func (l *listener) greet(c net.Conn) {
	t, ok := c.(*tls.Conn)
	if ok {
		_ = t.SetDeadline(time.Now().Add(l.server.config.HandshakeTimeout)) // an error means that it is closed, which the handshake finds
		err := t.HandshakeContext(l.server.config.BaseContext)
		_ = t.SetDeadline(time.Time{})
		if err == nil && t.ConnectionState().NegotiatedProtocol == "h2" && l.server.serve(t) {
			return
		}
	}
	if !l.pass(accepted{conn: c}) {
		_ = c.Close()
	}
}
