package grpcstream

import (
	"errors"
	"io"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"centrifugo/centrifuge"
)

// read passes the commands of a client to the node until the stream ends. A message is one
// command without a length; an empty one is a pong.
func (c *conn) read(session *centrifuge.Conn) {
	defer func() {
		if reason := recover(); reason != nil {
			c.violate(session, c.service.panicked(c.wire, reason), centrifuge.DisconnectServerError)
		}
	}()
	done := c.stream.Context().Done() // closed at the latest when the handler has returned
	for {
		more, err := c.readMessage(session)
		switch {
		case errors.Is(err, io.EOF):
			session.Finished()
			return
		case err != nil && ended(err):
			return // the handler reports it
		case err != nil: // too long, or cannot be decompressed: gRPC has sent the status
			c.service.config.OnRefused(c.stream.Context(), address(c.stream.Context()), status.Convert(err))
			c.violate(session, err, centrifuge.DisconnectBadRequest)
			return
		case more:
			continue
		}
		select {
		case <-c.resume:
		case <-done:
			return
		}
	}
}

// ended reports whether err says that the stream has ended, rather than what a message is.
func ended(err error) bool {
	switch status.Code(err) { //nolint:exhaustive // the others are about messages
	case codes.Canceled, codes.DeadlineExceeded, codes.Unavailable:
		return true
	}
	return false
}

func (c *conn) readMessage(session *centrifuge.Conn) (more bool, err error) {
	var p prefixed
	if err := c.stream.RecvMsg(&p); err != nil {
		return false, err //nolint:wrapcheck // a status, or io.EOF
	}
	defer p.free()
	c.heard()
	return session.Receive(p.bytes), nil
}

// violate ends the connection with a status.
func (c *conn) violate(session *centrifuge.Conn, err error, d centrifuge.Disconnect) {
	c.violation.Store(status.Convert(err))
	session.Violated(d)
}
