package webtransport

import (
	"context"
	"net/http"
	"sync"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/refuse"
	"centrifugo/protocol"

	wt "github.com/quic-go/webtransport-go"
)

// past is a deadline that ends a write that waits.
var past = time.Time{}.Add(time.Second)

// transportName is the name of the transport.
const transportName = "webtransport"

// writePart is how many bytes are written before the node is told of the progress.
const writePart = 16 << 10

// conn is a connection: the core's Transport.
type conn struct {
	// Static after construction.
	handler *Handler
	request *http.Request // that opened the session
	session *session
	stream  *wt.Stream
	framing framing

	resume  chan struct{} // one token: Receive may be called again
	closing chan struct{} // closed by Close
	left    chan struct{} // closed by the reader when nothing is read any more
	ended   chan struct{} // closed when the session is closed

	// Owned by Write.
	watched bool // the end of the context interrupts writes

	// Guarded by mu.
	mu      sync.Mutex
	node    *centrifuge.Conn // nil before Accept has returned
	writing bool             // a Write is under way
	torn    bool             // a Write ended in the middle
}

var _ centrifuge.Transport = (*conn)(nil)

func (c *conn) setNode(node *centrifuge.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.node = node
}

// Info implements centrifuge.Transport.
func (c *conn) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{
		Name: transportName, Protobuf: c.framing.protobuf, Generation: centrifuge.GenerationV2,
		Blocking: true, DisconnectPush: true, MaxBatch: c.handler.config.MaxBatch,
	}
}

// outgoing holds buffers for joining messages.
var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxKeptOutgoing is the largest capacity of a buffer that returns to the pool, in bytes.
const maxKeptOutgoing = 256 << 10

func putOutgoing(b *[]byte) {
	if cap(*b) <= maxKeptOutgoing {
		*b = (*b)[:0]
		outgoing.Put(b)
	}
}

// Write implements centrifuge.Transport. It waits while the client's flow control or the
// congestion of the network does not let it send.
func (c *conn) Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error) {
	if !c.watched { // ctx is the same in all calls
		c.watched = true
		context.AfterFunc(ctx, c.interrupt)
	}
	node := c.startWriting()
	buffer := outgoing.Get().(*[]byte)
	defer putOutgoing(buffer)
	*buffer = c.framing.appendBatch(*buffer, batch)
	for b := *buffer; len(b) > 0 && err == nil; {
		var n int
		n, err = c.stream.Write(b[:min(len(b), writePart)])
		if b = b[n:]; len(b) > 0 && err == nil && node != nil {
			node.Writable()
		}
	}
	c.stopWriting(err)
	if err != nil && c.session.Context().Err() != nil {
		return 0, nil // the reader reports the end
	}
	return 0, err
}

func (c *conn) startWriting() *centrifuge.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = true
	return c.node
}

func (c *conn) stopWriting(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writing = false
	c.torn = c.torn || err != nil
}

// interrupt ends the Write that is under way, and all later ones.
func (c *conn) interrupt() { _ = c.stream.SetWriteDeadline(past) } // an error means that it is closed

// Ping implements centrifuge.Transport. The transport has no pings of its own.
func (c *conn) Ping() error { return nil }

// Resume implements centrifuge.Transport.
func (c *conn) Resume() {
	select {
	case c.resume <- struct{}{}:
	default: // there is a token
	}
}

// Close implements centrifuge.Transport. It ends the stream, and the session when the
// client has ended its side too, or after CloseTimeout: the close of a session discards
// what the client has not read. A stream whose last message is not complete is reset. Close
// does not wait.
func (c *conn) Close(code uint32, reason string) {
	c.mu.Lock()
	orderly := !c.writing && !c.torn
	c.mu.Unlock()
	close(c.closing)
	go c.end(code, reason, orderly)
}

func (c *conn) end(code uint32, reason string, orderly bool) {
	defer close(c.ended)
	if orderly && c.stream.Close() == nil {
		timeout := time.NewTimer(c.handler.config.CloseTimeout)
		defer timeout.Stop()
		select {
		case <-c.left:
		case <-timeout.C:
		}
	}
	c.session.close(centrifuge.Disconnect{Code: code, Reason: reason}, c.handler.config.CloseTimeout)
}

// refuse ends a connection that the node did not accept. A stream accepts a message of
// this size without waiting.
func (c *conn) refuse(d centrifuge.Disconnect) {
	if message, err := refuse.Push(c.framing.format(), d); err == nil {
		_ = c.stream.SetWriteDeadline(time.Now().Add(c.handler.config.CloseTimeout))
		_, err := c.stream.Write(c.framing.appendMessage(nil, message.Bytes))
		c.stopWriting(err)
	}
	c.Close(d.Code, d.Reason)
}
