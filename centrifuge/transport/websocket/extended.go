package websocket

import (
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

// isExtendedConnect reports whether a request over HTTP/2 or HTTP/3 opens a WebSocket (RFC
// 8441 4, RFC 9220 3). net/http announces the method to clients of HTTP/2 only with
// GODEBUG=http2xconnect=1, and resets such requests otherwise.
func isExtendedConnect(r *http.Request) bool {
	if r.Method != http.MethodConnect {
		return false
	}
	return r.Header.Get(":protocol") == "websocket" || r.ProtoMajor == 3 && r.Proto == "websocket"
}

// streamConn is the stream of an extended CONNECT request as a connection. It belongs to
// the handler of the request, which must not return before wait does.
type streamConn struct {
	// Static after construction.
	body    io.Reader
	writer  http.ResponseWriter
	control *http.ResponseController
	address streamAddr
	done    chan struct{} // closed by Close

	uses sync.WaitGroup // calls that use the request

	// Guarded by mu.
	mu       sync.Mutex
	closed   bool
	writing  bool
	deadline time.Time // of writes
}

var _ net.Conn = (*streamConn)(nil)

// openStream answers an extended CONNECT request and returns its stream.
func openStream(w http.ResponseWriter, r *http.Request, asked *upgrade) (*streamConn, error) {
	c := &streamConn{
		body: r.Body, writer: w, control: http.NewResponseController(w), address: streamAddr(r.RemoteAddr), done: make(chan struct{}),
	}
	// The timeouts of the server are for requests. An error means that there are none.
	_ = c.control.SetReadDeadline(time.Time{})
	_ = c.control.SetWriteDeadline(time.Time{})
	if asked.subprotocol != "" {
		w.Header().Set("Sec-WebSocket-Protocol", asked.subprotocol)
	}
	if asked.deflate {
		w.Header().Set("Sec-WebSocket-Extensions", deflateResponse)
	}
	w.WriteHeader(http.StatusOK)
	return c, c.control.Flush() //nolint:wrapcheck // the client has gone
}

// begin reports whether the stream may be used. Then uses.Done must follow.
func (c *streamConn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		c.uses.Add(1)
	}
	return !c.closed
}

// wait returns when the connection is closed and nothing uses the request.
func (c *streamConn) wait() {
	<-c.done
	c.uses.Wait()
}

// Read implements net.Conn.
func (c *streamConn) Read(b []byte) (int, error) {
	if !c.begin() {
		return 0, net.ErrClosed
	}
	defer c.uses.Done()
	return c.body.Read(b) //nolint:wrapcheck // it is the reader
}

// Write implements net.Conn. The deadline is that of the stream only while a write runs:
// net/http resets a stream of HTTP/2 whose deadline passes, whether it is written or not.
func (c *streamConn) Write(b []byte) (n int, err error) {
	if !c.begin() {
		return 0, net.ErrClosed
	}
	defer c.uses.Done()
	if err := c.startWriting(); err != nil {
		return 0, err
	}
	defer c.stopWriting()
	if n, err = c.writer.Write(b); err == nil {
		err = c.control.Flush()
	}
	return n, err //nolint:wrapcheck // it is the writer
}

func (c *streamConn) startWriting() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.deadline.IsZero() && !c.deadline.After(time.Now()) {
		return os.ErrDeadlineExceeded
	}
	c.writing = true
	return c.control.SetWriteDeadline(c.deadline) //nolint:wrapcheck // the stream has ended
}

func (c *streamConn) stopWriting() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	if c.deadline.After(time.Now()) {
		_ = c.control.SetWriteDeadline(time.Time{}) // an error means that the stream has ended
	}
}

// SetWriteDeadline implements net.Conn.
func (c *streamConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	if c.deadline = t; c.writing {
		return c.control.SetWriteDeadline(t) //nolint:wrapcheck // the stream has ended
	}
	return nil
}

// SetReadDeadline implements net.Conn.
func (c *streamConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	return c.control.SetReadDeadline(t) //nolint:wrapcheck // the stream has ended
}

// SetDeadline implements net.Conn.
func (c *streamConn) SetDeadline(t time.Time) error {
	if err := c.SetWriteDeadline(t); err != nil {
		return err
	}
	return c.SetReadDeadline(t)
}

// Close implements net.Conn. The handler of the request returns, which ends the stream.
func (c *streamConn) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return net.ErrClosed
	}
	c.closed = true
	_ = c.control.SetReadDeadline(past) // an error means that the stream has ended
	if c.writing {
		_ = c.control.SetWriteDeadline(past)
	}
	close(c.done)
	return nil
}

// past is a deadline that ends what waits.
var past = time.Time{}.Add(time.Second)

// LocalAddr implements net.Conn.
func (c *streamConn) LocalAddr() net.Addr { return streamAddr("") }

// RemoteAddr implements net.Conn.
func (c *streamConn) RemoteAddr() net.Addr { return c.address }

// streamAddr is the address of the peer of a request.
type streamAddr string

// Network implements net.Addr.
func (streamAddr) Network() string { return "http" }

// String implements net.Addr.
func (a streamAddr) String() string { return string(a) }
