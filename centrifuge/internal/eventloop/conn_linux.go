//go:build linux

package eventloop

import (
	"net"
	"sync/atomic"
	"time"
)

// Beneath prepares c, when it is a TCP connection, to be what a TLS connection
// runs over: a Loop that is given that one then polls it. Otherwise it returns c.
func Beneath(c net.Conn) net.Conn {
	switch c := c.(type) {
	case *net.TCPConn:
		b := &Conn{}
		b.tcp.Store(c)
		return b
	case Attributed:
		b := &attributedConn{from: c.RemoteAddr()}
		b.tcp.Store(c.Raw())
		return b
	}
	return c
}

// attributedConn is a Conn with the address of an Attributed. The others do without the field.
type attributedConn struct {
	Conn

	from net.Addr
}

// RemoteAddr implements net.Conn.
func (c *attributedConn) RemoteAddr() net.Addr { return c.from }

// Conn is a TCP connection that a Loop can take away from whoever uses it: from
// a tls.Conn, which goes on to read and write, but without waiting.
type Conn struct {
	tcp    atomic.Pointer[net.TCPConn]  // nil since a loop took it over
	socket atomic.Pointer[secureSocket] // set before tcp becomes nil
}

var _ net.Conn = (*Conn)(nil)

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.Read(b)
	}
	return c.socket.Load().receive(b)
}

// Write implements net.Conn.
func (c *Conn) Write(b []byte) (int, error) {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.Write(b)
	}
	return c.socket.Load().send(b)
}

// Close implements net.Conn.
func (c *Conn) Close() error {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.Close()
	}
	c.socket.Load().beneath.Close()
	return nil
}

// LocalAddr implements net.Conn.
func (c *Conn) LocalAddr() net.Addr {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.LocalAddr()
	}
	return taken{}
}

// RemoteAddr implements net.Conn.
func (c *Conn) RemoteAddr() net.Addr {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.RemoteAddr()
	}
	return taken{}
}

// SetDeadline implements net.Conn. Nothing waits in a loop, so that it has no
// effect there.
func (c *Conn) SetDeadline(t time.Time) error {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.SetDeadline(t)
	}
	return nil
}

// SetReadDeadline implements net.Conn, as SetDeadline does.
func (c *Conn) SetReadDeadline(t time.Time) error {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.SetReadDeadline(t)
	}
	return nil
}

// SetWriteDeadline implements net.Conn, as SetDeadline does.
func (c *Conn) SetWriteDeadline(t time.Time) error {
	if tcp := c.tcp.Load(); tcp != nil {
		return tcp.SetWriteDeadline(t)
	}
	return nil
}

// taken replaces the addresses of a connection that a loop has taken over. No caller
// needs them, and they would cost 300 bytes per idle connection.
type taken struct{}

func (taken) Network() string { return "tcp" }
func (taken) String() string  { return "taken over by an event loop" }
