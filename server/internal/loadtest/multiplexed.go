package loadtest

import (
	"io"
	"sync"
	"time"
)

// multiplexed are the connections of a fleet of which each carries several clients.
type multiplexed[T io.Closer] struct {
	streams int // clients of a connection

	// Guarded by mu, which is a leaf.
	mu    sync.Mutex
	conns map[int]func() (T, error)
}

// of returns the connection that a client shares. The first of them dials.
func (m *multiplexed[T]) of(client int, dial func() (T, error)) (T, error) {
	n := client / m.streams
	m.mu.Lock()
	conn := m.conns[n]
	if conn == nil {
		if m.conns == nil {
			m.conns = make(map[int]func() (T, error))
		}
		conn = sync.OnceValues(dial)
		m.conns[n] = conn
	}
	m.mu.Unlock()
	return conn()
}

// forget makes the next client of a connection dial again.
func (m *multiplexed[T]) forget(client int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, client/m.streams)
}

// close closes all connections; m may be nil. None may be dialed any more.
func (m *multiplexed[T]) close() {
	if m == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, conn := range m.conns {
		if c, err := conn(); err == nil {
			_ = c.Close()
		}
	}
}

// receive feeds a client with what next returns until that is an error, which end explains.
func (f *fleet) receive(c *client, l link, next func() ([]byte, error), take func(*client, []byte), end func(error) Cause) {
	for {
		b, err := next()
		f.mu.Lock()
		if c.link != l {
			f.mu.Unlock()
			return // closed by the fleet
		}
		f.readAt = 0
		f.count(c, len(b))
		if len(b) > 0 {
			take(c, b)
		}
		if err != nil && c.link == l {
			why := end(err)
			f.refuse(c, why, why.Kind == causeDisconnect && isTemporary(why.Code))
		}
		closed, slow := c.link != l, c.slow && c.state == stateReady
		f.mu.Unlock()
		if closed || slow && !pause(f.stop, time.Duration(len(b))*slowPause/slowPart) {
			return
		}
	}
}

// receiveFrom is receive for a link whose messages are in a stream of bytes.
func (f *fleet) receiveFrom(c *client, l link, from io.Reader) {
	buf := make([]byte, 4096)
	f.receive(c, l, func() ([]byte, error) {
		n, err := from.Read(buf)
		return buf[:n], err //nolint:wrapcheck // ended says it
	}, f.messages, func(err error) Cause { return ended(c, err) })
}
