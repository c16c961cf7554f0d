package grpcstream

import (
	"context"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// errStuck is the status of a stream whose client did not read.
var errStuck = status.Error(codes.Aborted, "client does not read")

// conn is a connection: the core's Transport.
type conn struct {
	// Static after construction.
	service    *Service
	wire       *wire
	stream     grpc.ServerStream
	generation centrifuge.Generation // static after admit
	heard      func()                // the client has sent a message, or the stream ends; any number of times

	session atomic.Pointer[centrifuge.Conn] // nil before Accept has returned

	// resume lets the reader go on. Resume sends, the reader receives.
	resume chan struct{}
	// violation is the status of a message that gRPC refused, nil without.
	violation atomic.Pointer[status.Status]
	advised   sync.Once

	// interrupted is closed when a Write took too long. gRPC has no deadline for a
	// write: it ends when the handler returns.
	interrupted chan struct{}
	once        sync.Once
	writing     atomic.Bool
}

var _ centrifuge.Transport = (*conn)(nil)

// wait returns when the connection has ended, with the status of the stream. A connection
// that the node has ended has status OK: a disconnect push or the trailer says why.
func (c *conn) wait(session *centrifuge.Conn) error {
	select {
	case <-c.stream.Context().Done():
		err := context.Cause(c.stream.Context())
		session.Closed(err)
		return status.FromContextError(err).Err()
	case <-c.interrupted:
		c.advise(c.adviceOf(centrifuge.DisconnectWriteError))
		session.Closed(errStuck)
		return errStuck
	case <-session.Done():
		session.Closed(nil)
		return c.violation.Load().Err() //nolint:wrapcheck // a status; that of nil is nil
	}
}

// Info implements centrifuge.Transport.
func (c *conn) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{
		Name: c.wire.transport, Protobuf: true, Generation: c.generation, Unidirectional: c.wire.unidirectional,
		Blocking: true, DisconnectPush: c.wire.unidirectional, MaxBatch: c.service.config.MaxBatch,
	}
}

// Write implements centrifuge.Transport. gRPC accepts about 64 KiB of a stream before it
// waits for the client.
func (c *conn) Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error) {
	c.writing.Store(true)
	defer c.writing.Store(false)
	stop := context.AfterFunc(ctx, c.interrupt)
	defer stop()
	for i, message := range batch {
		if err := c.stream.SendMsg(message); err != nil {
			return 0, err //nolint:wrapcheck // the core logs it
		}
		if session := c.session.Load(); session != nil && i < len(batch)-1 {
			session.Writable()
		}
	}
	return 0, nil
}

// interrupt ends the Write that is under way. Without one the handler waits for Done,
// so that a stream which was written completely ends with status OK.
func (c *conn) interrupt() {
	if c.writing.Load() {
		c.once.Do(func() { close(c.interrupted) })
	}
}

// Ping implements centrifuge.Transport. Only V1 asks for a ping of the transport
// (protocol.md 8.5). HTTP/2 has pings for the whole connection, which the server sends and
// whose absence ends all its streams, so that an open stream is answer enough.
func (c *conn) Ping() error {
	if session := c.session.Load(); session != nil {
		session.Pong()
	}
	return nil
}

// Resume implements centrifuge.Transport.
func (c *conn) Resume() {
	select {
	case c.resume <- struct{}{}:
	default:
	}
}

// Close implements centrifuge.Transport. The handler returns when Done is closed, which
// ends the stream after what was written.
func (c *conn) Close(code uint32, reason string) {
	switch {
	case code == 0: // the client has ended the connection
	case c.generation == centrifuge.GenerationV2:
		c.advise(c.adviceOf(centrifuge.Disconnect{Code: code, Reason: reason}))
	default: // the reason is the advice (protocol.md 8.5)
		c.advise(reason)
	}
}
