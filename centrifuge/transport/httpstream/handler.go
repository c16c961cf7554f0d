package httpstream

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/centrifuge/transport/internal/refuse"
	"centrifugo/protocol"
)

// Handler makes connections of a node out of HTTP requests. Of a request it keeps the
// values of the context, so that middleware can authenticate the user.
//
// Middleware must not change the body of the response, for example compress it.
type Handler struct {
	// Static after construction.
	node   *centrifuge.Node
	config Config
	group  *eventloop.Group
}

// NewHandler returns a Handler that gives its connections to n. Close it after
// n.Shutdown.
func NewHandler(n *centrifuge.Node, config Config) *Handler {
	h := &Handler{node: n, config: config.withDefaults()}
	h.group = eventloop.NewGroup(eventloop.Config{
		Pollers: h.config.Pollers, ScheduledWrites: h.config.ScheduledWrites,
		// The node bounds a write that waits, by its own WriteTimeout.
		WriteTimeout: time.Hour,
		Panicked: func(value any, stack []byte) {
			h.config.OnError(fmt.Errorf("panic in a connection of %s: %v\n%s", h.config.name(), value, stack))
		},
	})
	return h
}

// Drain waits until every connection has ended. It returns the error of ctx if that is
// done first. After Node.Shutdown has ended the streams, each TCP connection lasts until
// its peer has closed it too, at most Config.CloseTimeout.
func (h *Handler) Drain(ctx context.Context) error { return h.group.Drain(ctx) }

// Close closes all connections that were taken over and ends the handler's goroutines.
// Call it after Node.Shutdown and Drain.
func (h *Handler) Close() { h.group.Close() }

// ServeHTTP implements http.Handler. It returns when the connection is established, over
// HTTP/2 and HTTP/3 when it has ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, ok := h.admit(w, r)
	if !ok {
		return
	}
	control := http.NewResponseController(w)
	// The timeouts of the server are for requests. An error means that there are none.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	h.setHeader(w.Header(), r, asked)
	judged := h.config.ConnectStatus != nil
	if !judged {
		if err := respond(w, h.config.Wire); err != nil {
			return // the client has gone
		}
	}
	c := &conn{handler: h, framing: framing{wire: h.config.Wire, protobuf: asked.protobuf}}
	join, first, err := h.takeOver(w, r, c, judged)
	switch {
	case errors.Is(err, http.ErrNotSupported):
		h.serve(&served{handler: h, framing: c.framing, writer: w, control: control, judged: judged}, r, asked)
	case err != nil:
		h.config.OnError(fmt.Errorf("taking a connection over: %w", err))
	default:
		h.hold(c, r, asked, join, first)
	}
}

// respond sends the header of a stream, and the beginning of a body of events.
func respond(w http.ResponseWriter, wire Wire) error {
	w.WriteHeader(http.StatusOK)
	if wire == Events {
		if _, err := w.Write([]byte(opening)); err != nil {
			return fmt.Errorf("sending the header: %w", err)
		}
	}
	if err := http.NewResponseController(w).Flush(); err != nil {
		return fmt.Errorf("sending the header: %w", err)
	}
	return nil
}

// setHeader sets the header of a stream (protocol.md 3.4).
func (h *Handler) setHeader(header http.Header, r *http.Request, asked *opened) {
	header.Set("X-Accel-Buffering", "no")
	header.Set("Cache-Control", "private, no-cache, no-store, must-revalidate, max-age=0")
	header.Set("Pragma", "no-cache")
	header.Set("Expire", "0")
	if r.ProtoMajor == 1 {
		// Nothing is read after a request that becomes a stream, and the end of the
		// stream is that of the connection: a client must not send another request.
		header.Set("Connection", "close")
	}
	switch {
	case h.config.Wire == Events:
		header.Set("Content-Type", "text/event-stream; charset=utf-8")
	case asked.protobuf:
		header.Set("Content-Type", "application/octet-stream")
	default:
		header.Set("Content-Type", "text/plain; charset=utf-8")
	}
}

// takeOver takes the connection of a request over from its server. join gives c its socket;
// first holds what was received behind the request. It returns http.ErrNotSupported for
// a connection that the server must serve.
func (h *Handler) takeOver(w http.ResponseWriter, r *http.Request, c *conn, judged bool) (join func() error, first []byte, err error) {
	if w.Header().Get("Content-Encoding") != "" {
		return nil, nil, http.ErrNotSupported // middleware encodes the body
	}
	if taker := takerOf(w); taker != nil && !judged {
		return func() error { return c.join(taker.Take) }, nil, nil
	}
	tcp, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, err
	}
	c.framing.chunked = r.ProtoAtLeast(1, 1)
	if judged {
		c.answer = newAnswer(w, r)
	}
	return func() error { return h.joinLoop(c, tcp) }, buffered(buffers.Reader), nil
}

// takerOf finds the Taker of a response beneath its middlewares, as http.ResponseController
// does. It returns nil if there is none.
func takerOf(w http.ResponseWriter) eventloop.Taker {
	for {
		switch t := w.(type) {
		case eventloop.Taker:
			return t
		case interface{ Unwrap() http.ResponseWriter }:
			w = t.Unwrap()
		default:
			return nil
		}
	}
}

// joinLoop puts a connection that was taken over from net/http on the event loop, or closes
// it.
func (h *Handler) joinLoop(c *conn, tcp net.Conn) error {
	_ = tcp.SetDeadline(time.Time{}) // an error means that it is closed, which reading finds
	loop, err := h.group.Loop()
	if err == nil {
		err = c.join(func(c eventloop.Handler) (eventloop.Socket, error) { return loop.Add(tcp, c) })
	}
	if err != nil {
		_ = tcp.Close()
	}
	return err //nolint:wrapcheck // the caller says what failed
}

// buffered copies what r has read ahead.
func buffered(r *bufio.Reader) []byte {
	ahead, _ := r.Peek(r.Buffered()) // cannot fail for buffered bytes
	return bytes.Clone(ahead)
}

// hold gives a connection that was taken over to the node.
func (h *Handler) hold(c *conn, r *http.Request, asked *opened, join func() error, first []byte) {
	if err := join(); err != nil {
		if !errors.Is(err, eventloop.ErrClosed) && !errors.Is(err, net.ErrClosed) {
			h.config.OnError(fmt.Errorf("taking a connection over: %w", err))
		}
		return
	}
	session, err := h.node.Accept(r.Context(), c)
	if err != nil {
		c.begin(refused{})
		c.refuse(refuse.Disconnect(err, h.config.name(), h.config.OnError))
		c.read(first)
		return
	}
	c.begin(session)
	h.pass(session, asked)
	c.read(first)
}

// pass hands what a request asks for to the node.
func (h *Handler) pass(session *centrifuge.Conn, asked *opened) {
	switch {
	case asked.connect == nil:
		session.Receive(asked.commands)
	case asked.eventID == "":
		session.Connect(asked.connect)
	default:
		id, err := parseEventID(asked.eventID)
		if err != nil {
			h.config.OnPositionsLost(session.Client(), err.Error())
		}
		session.ConnectSince(asked.connect, id.since)
	}
}

// info describes the connections of h to the node.
func (h *Handler) info(f framing, blocking bool) centrifuge.TransportInfo {
	return centrifuge.TransportInfo{
		Name:           h.config.name(),
		Protobuf:       f.protobuf,
		Generation:     centrifuge.GenerationV2,
		Unidirectional: h.config.Unidirectional,
		Emulation:      !h.config.Unidirectional,
		Blocking:       blocking,
		DisconnectPush: true,
		MaxBatch:       h.config.MaxBatch,
	}
}

// format returns the wire format of the messages of a connection.
func (h *Handler) format(f framing) (format protocol.Format) {
	if f.protobuf {
		format |= protocol.FormatProtobuf
	}
	if h.config.Unidirectional {
		format |= protocol.FormatUni
	}
	return format
}
