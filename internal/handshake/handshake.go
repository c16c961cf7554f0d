// Package handshake lets listeners do something with each connection before Accept returns
// it: read a header, or begin TLS. Each connection has a goroutine for that, so that a slow
// client does not keep others waiting.
package handshake

import (
	"errors"
	"net"
	"sync"
)

// Config says what a listener does.
type Config struct {
	// Do is called for each connection, on a goroutine of its own. It returns the connection that
	// Accept returns, or nil if it has kept or closed it. Close of the listener closes the
	// connection meanwhile; Do must then return.
	Do func(net.Conn) net.Conn
	// Needed reports whether a connection needs Do; Accept returns the others at once. Nil is for
	// all. It must not wait.
	Needed func(net.Conn) bool
	// AtOnce bounds the calls of Do at a time; more connections wait in the kernel. Zero is for
	// no bound.
	AtOnce int
}

// Listener returns a listener that accepts the connections of l. Close must be called, even if
// Accept was not; it returns when no call of Do is left, and closes connections that Accept has
// not returned.
func Listener(l net.Listener, config Config) net.Listener {
	s := &listener{
		Listener: l, config: config,
		accepted: make(chan accepted), done: make(chan struct{}), pending: make(map[net.Conn]struct{}),
	}
	if config.AtOnce > 0 {
		s.slots = make(chan struct{}, config.AtOnce)
	}
	s.running.Go(s.run)
	return s
}

// accepted is what Accept returns.
type accepted struct {
	conn net.Conn
	err  error
}

type listener struct {
	net.Listener

	// Static after construction.
	config   Config
	accepted chan accepted // to Accept; never closed
	slots    chan struct{} // one for each call of Do; never closed, nil without a bound
	done     chan struct{} // closed by Close
	running  sync.WaitGroup

	// Guarded by mu.
	mu      sync.Mutex
	pending map[net.Conn]struct{} // connections with which Do is busy
	closed  bool
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	select {
	case a := <-l.accepted:
		return a.conn, a.err
	case <-l.done:
		return nil, net.ErrClosed
	}
}

// Close implements net.Listener.
func (l *listener) Close() error {
	err := l.Listener.Close()
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.done)
	}
	for conn := range l.pending {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.running.Wait()
	return err //nolint:wrapcheck // a listener's errors are looked at by type
}

// run accepts connections until the listener is closed. After a temporary error it waits for
// the next Accept, which comes when the server wants to try again.
func (l *listener) run() {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err != nil:
			l.deliver(nil, err)
			if errors.Is(err, net.ErrClosed) {
				return
			}
		case l.config.Needed != nil && !l.config.Needed(conn):
			l.deliver(conn, nil)
		default:
			l.begin(conn)
		}
	}
}

// deliver gives a connection or an error to Accept.
func (l *listener) deliver(conn net.Conn, err error) {
	select {
	case l.accepted <- accepted{conn, err}:
	case <-l.done:
		if conn != nil {
			_ = conn.Close()
		}
	}
}

// begin calls Do on a goroutine, when there is a slot.
func (l *listener) begin(conn net.Conn) {
	if l.slots != nil {
		select {
		case l.slots <- struct{}{}:
		case <-l.done:
			_ = conn.Close()
			return
		}
	}
	l.mu.Lock()
	l.pending[conn] = struct{}{}
	if l.closed {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.running.Go(func() {
		ready := l.config.Do(conn)
		l.mu.Lock()
		delete(l.pending, conn)
		l.mu.Unlock()
		if l.slots != nil {
			<-l.slots
		}
		if ready != nil {
			l.deliver(ready, nil)
		}
	})
}
