package webtransport

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/centrifuge/transport/internal/refuse"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"
)

// opensSession reports whether a request opens a session, by the name of the present draft
// or that of earlier ones, which browsers use (draft-ietf-webtrans-http3, 3.2).
func opensSession(r *http.Request) bool {
	return r.Method == http.MethodConnect && (r.Proto == "webtransport" || r.Proto == "webtransport-h3")
}

// Handler makes connections of a node out of requests for WebTransport sessions. Of a
// request it keeps the values of the context, so that middleware can authenticate the
// user. It is safe for concurrent use.
type Handler struct {
	// Static after construction.
	node   *centrifuge.Node
	config Config
	server *wt.Server       // nil before Attach
	group  *eventloop.Group // counts the connections
}

// NewHandler returns a Handler that gives its connections to n.
func NewHandler(n *centrifuge.Node, config Config) *Handler {
	return &Handler{node: n, config: config.withDefaults(), group: eventloop.NewGroup(eventloop.Config{})}
}

// Attach makes server announce WebTransport to its clients. Call it once, before server
// serves. A program serves the QUIC connections of server by ServeQUICConn.
func (h *Handler) Attach(server *http3.Server) {
	h.server = &wt.Server{
		H3:          server,
		CheckOrigin: func(*http.Request) bool { return true }, // admit has checked it
	}
}

// EnableQUIC sets what WebTransport needs of QUIC in the configuration of a listener.
func EnableQUIC(c *quic.Config) {
	c.EnableDatagrams = true
	c.EnableStreamResetPartialDelivery = true
}

// ServeQUICConn serves a QUIC connection: sessions, and requests to the server of Attach.
// It returns when the connection has ended. The listener needs the configuration of
// EnableQUIC.
func (h *Handler) ServeQUICConn(c *quic.Conn) error {
	if err := h.server.ServeQUICConn(c); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving a QUIC connection: %w", err)
	}
	return nil
}

// Drain waits until every connection has ended. It returns the error of ctx if that is
// done first. After Node.Shutdown has ended the connections, each lasts until its client
// has closed it too, at most Config.CloseTimeout.
func (h *Handler) Drain(ctx context.Context) error { return h.group.Drain(ctx) }

// Close closes all QUIC connections that ServeQUICConn serves. Call it after Node.Shutdown
// and Drain.
func (h *Handler) Close() {
	h.group.Close()
	if h.server != nil {
		_ = h.server.Close() // its error is one of a listener, which it does not have
	}
}

// ServeHTTP implements http.Handler. It returns when the connection has ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.admit(w, r) {
		return
	}
	control := http.NewResponseController(w)
	// The timeouts of the server are for requests. An error means that there are none.
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Time{})
	session, err := h.upgrade(w, r)
	if err != nil {
		h.refuse(w, r, http.StatusBadRequest, "session could not be opened")
		return
	}
	h.group.Begin()
	defer h.group.End()
	h.serve(session, r)
}

// admit checks a request and answers those that do not become a connection.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case r.ProtoMajor != 3:
		h.refuse(w, r, http.StatusHTTPVersionNotSupported, "webtransport needs HTTP/3")
	case !opensSession(r):
		w.Header().Set("Allow", http.MethodConnect)
		h.refuse(w, r, http.StatusMethodNotAllowed, "method must be CONNECT, for webtransport")
	case h.server == nil:
		h.refuse(w, r, http.StatusNotImplemented, "webtransport is not served here")
	case !h.config.CheckOrigin(r):
		h.refuse(w, r, http.StatusForbidden, "origin is not allowed")
	default:
		return true
	}
	return false
}

func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, status int, reason string) {
	h.config.OnRefused(r, status, reason)
	http.Error(w, reason, status)
}

// serve serves a session until its end.
func (h *Handler) serve(session *session, r *http.Request) {
	stream, err := h.stream(session)
	if err != nil {
		h.config.OnRefused(r, http.StatusRequestTimeout, "no stream was opened")
		session.close(centrifuge.DisconnectStale, h.config.CloseTimeout)
		return
	}
	c := &conn{
		handler: h, request: r, session: session, stream: stream,
		framing: framing{protobuf: r.URL.Query().Get("cf_protocol") == "protobuf"},
		resume:  make(chan struct{}, 1), closing: make(chan struct{}), left: make(chan struct{}), ended: make(chan struct{}),
	}
	node, err := h.node.Accept(r.Context(), c)
	if err != nil {
		c.refuse(refuse.Disconnect(err, transportName, h.config.OnError))
		_ = c.discard() // its error is that of the end
		close(c.left)
		<-c.ended
		return
	}
	c.setNode(node)
	go c.guard(c.refuseStreams)
	c.read()
	<-node.Done()
	<-c.ended
}

// stream waits for the stream of a session.
func (h *Handler) stream(session *session) (*wt.Stream, error) {
	ctx, cancel := context.WithTimeout(session.Context(), h.config.StreamTimeout)
	defer cancel()
	return session.AcceptStream(ctx) //nolint:wrapcheck // it is not told to anybody
}
