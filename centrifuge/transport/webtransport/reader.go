package webtransport

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime/debug"

	"centrifugo/centrifuge"
)

// The size of the buffer for what a client sends, in bytes. It grows up to the largest
// message, and is replaced by a small one when it is empty again.
const (
	smallBuffer = 1 << 10
	keptBuffer  = 8 << 10
)

// earlyMessage bounds a message, in bytes, before the connect command has been answered,
// while the client is unknown.
const earlyMessage = 256 << 10

// errStreams is the end of a connection whose client has opened a second stream.
var errStreams = errors.New("client opened another stream")

// read passes what the client sends to the node until the stream ends, and reports the
// end.
func (c *conn) read() {
	var err error
	c.guard(func() { err = c.receive() })
	close(c.left)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	c.node.Closed(err)
}

// guard calls f. A panic ends the connection.
func (c *conn) guard(f func()) {
	defer func() {
		if reason := recover(); reason != nil {
			c.handler.config.OnError(fmt.Errorf("panic in a connection of webtransport: %v\n%s", reason, debug.Stack()))
			c.session.close(centrifuge.DisconnectServerError, c.handler.config.CloseTimeout)
		}
	}()
	f()
}

// receive returns the error that ended the stream. Once the connection is closed, what
// arrives is discarded.
func (c *conn) receive() error {
	in := incoming{framing: c.framing}
	for {
		free := in.free(c.limit())
		n, err := c.stream.Read(free)
		if n > 0 {
			message, bad := in.received(n, c.limit())
			if len(message) > 0 {
				c.deliver(message)
			}
			in.consume(len(message))
			if bad != nil {
				c.violated(bad)
				return c.discard()
			}
		}
		if err != nil {
			return err //nolint:wrapcheck // it is logged with its connection
		}
	}
}

// limit returns the largest message that the client may send now, in bytes.
func (c *conn) limit() int {
	limit := c.handler.config.MessageSizeLimit
	if limit > earlyMessage && !c.node.Client().Connected() {
		return earlyMessage
	}
	return limit
}

// deliver passes messages to the node, and waits until it wants more.
func (c *conn) deliver(message []byte) {
	select {
	case <-c.closing:
		return
	default:
	}
	if c.node.Receive(message) {
		return
	}
	select {
	case <-c.resume:
	case <-c.closing:
	case <-c.session.Context().Done():
	}
}

// violated ends a connection whose client broke the rules of the stream. What was received
// before is still answered.
func (c *conn) violated(why error) {
	status := http.StatusBadRequest
	if errors.Is(why, errTooLarge) {
		status = http.StatusRequestEntityTooLarge
	}
	c.handler.config.OnRefused(c.request, status, why.Error())
	c.node.Receive(c.framing.malformed())
}

// discard reads until the stream ends.
func (c *conn) discard() error {
	_, err := io.Copy(io.Discard, c.stream)
	return err //nolint:wrapcheck // it is logged with its connection
}

// refuseStreams ends the connection when its client opens another stream (protocol.md
// 3.7). It returns when the session has ended.
func (c *conn) refuseStreams() {
	stream, err := c.session.AcceptStream(c.session.Context())
	if err != nil {
		return
	}
	stream.CancelRead(0)
	stream.CancelWrite(0)
	c.handler.config.OnRefused(c.request, http.StatusBadRequest, errStreams.Error())
	c.node.Client().Disconnect(centrifuge.DisconnectBadRequest)
}

// incoming is the buffer for what a client sends.
type incoming struct {
	framing framing
	buffer  []byte
	scanned int // bytes at the beginning in which no message ends
}

// free returns where to read to: at least a byte, and no more than the largest message
// needs.
func (in *incoming) free(limit int) []byte {
	if len(in.buffer) == cap(in.buffer) {
		size := max(smallBuffer, 2*cap(in.buffer))
		size = min(size, max(limit, smallBuffer)+maxLengthSize+1)
		size = max(size, len(in.buffer)+1) // the limit may have been larger before
		grown := make([]byte, len(in.buffer), size)
		copy(grown, in.buffer)
		in.buffer = grown
	}
	return in.buffer[len(in.buffer):cap(in.buffer)]
}

// received returns the complete messages after n bytes were read. The error is about what
// follows them.
func (in *incoming) received(n, limit int) (messages []byte, err error) {
	in.buffer = in.buffer[:len(in.buffer)+n]
	whole, err := in.framing.whole(in.buffer, in.scanned, limit)
	return in.buffer[:whole], err
}

// consume removes messages from the beginning of the buffer.
func (in *incoming) consume(n int) {
	if n == len(in.buffer) && cap(in.buffer) > keptBuffer {
		*in = incoming{framing: in.framing}
		return
	}
	in.buffer = in.buffer[:copy(in.buffer, in.buffer[n:])]
	in.scanned = len(in.buffer)
}
