package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/centrifuge/transport/internal/refuse"
	"centrifugo/protocol"
)

// handshakeTimeout bounds the time for writing the answer of the handshake.
const handshakeTimeout = 10 * time.Second

// accept makes a session of a connection.
type accept func(ctx context.Context, t centrifuge.Transport) (session, error)

// Handler upgrades HTTP requests to WebSocket connections of a node. It keeps
// the request's context values, so that middleware can authenticate the user, and
// nothing else of the request.
type Handler struct {
	// Static after construction.
	config   Config
	accept   accept
	deflater *deflater
	group    *eventloop.Group
}

// newHandler is NewHandler with the node's part abstracted.
func newHandler(accept accept, config Config) *Handler {
	config = config.withDefaults()
	return &Handler{
		config: config, accept: accept, deflater: newDeflater(config.CompressionLevel),
		group: eventloop.NewGroup(eventloop.Config{
			Pollers:         config.Pollers,
			WriteTimeout:    config.WriteTimeout,
			ScheduledWrites: config.ScheduledWrites,
			Panicked: func(value any, stack []byte) {
				config.OnError(fmt.Errorf("panic in a websocket connection: %v\n%s", value, stack))
			},
		}),
	}
}

// Drain waits until every connection has ended. It returns the error of ctx if that is
// done first. After Node.Shutdown has sent close frames, each connection lasts until its
// peer has answered, at most Config.CloseTimeout. Closing a socket at once could discard
// data that the peer has not read yet.
func (h *Handler) Drain(ctx context.Context) error { return h.group.Drain(ctx) }

// Close closes all connections without close frames and ends the handler's goroutines.
// Call it after Node.Shutdown and Drain.
func (h *Handler) Close() { h.group.Close() }

// ServeHTTP implements http.Handler. It returns when the connection is
// established, over HTTP/2 and HTTP/3 when it has ended.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, ok := h.admit(w, r)
	if !ok {
		return
	}
	loop, err := h.group.Loop()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		h.config.OnError(fmt.Errorf("starting event loop: %w", err))
		return
	}
	tcp, first, err := h.upgrade(w, r, &asked)
	if err != nil {
		if tcp != nil {
			_ = tcp.Close() // the answer has been written
		}
		return
	}
	if stream, ok := tcp.(*streamConn); ok {
		defer stream.wait()
	}
	c := &conn{handler: h, request: asked.request}
	if err := c.join(loop, tcp); err != nil {
		_ = tcp.Close() // the loop was closed meanwhile
		return
	}
	s, err := h.accept(r.Context(), c)
	if err != nil {
		s = refused{}
		h.refuse(c, err)
	}
	c.start(s, asked.connect, first)
}

// admit checks a request and answers those that cannot become a connection.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (upgrade, bool) {
	answer := func(status int, text string) (upgrade, bool) {
		h.config.OnRefused(r, status, text)
		http.Error(w, text, status)
		return upgrade{}, false
	}
	if status, text := checkHandshake(w.Header(), r); status != 0 {
		return answer(status, text)
	}
	if !h.config.CheckOrigin(r) {
		return answer(http.StatusForbidden, "origin is not allowed")
	}
	if h.config.Unidirectional {
		asked, status, reason := h.parseUnidirectional(r)
		if status != 0 {
			return answer(status, reason)
		}
		return asked, true
	}
	request, ok := parseRequest(r.URL.Query())
	if !ok {
		return answer(http.StatusBadRequest, "unknown cf_protocol_version")
	}
	asked := upgrade{request: request, subprotocol: subprotocol(r.Header["Sec-Websocket-Protocol"])}
	asked.protobuf = asked.protobuf || asked.subprotocol == subprotocolProtobuf
	asked.deflate = h.config.Compression && wantsDeflate(r.Header["Sec-Websocket-Extensions"])
	return asked, true
}

// checkHandshake returns the status of the answer to a request that opens no WebSocket, and
// sets the header of the answer; zero for one that does.
func checkHandshake(header http.Header, r *http.Request) (status int, text string) {
	if r.ProtoMajor > 1 { // has no Upgrade header (RFC 9113 8.2.2), which a 426 must have
		return checkExtended(header, r)
	}
	if !isUpgrade(r) {
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "websocket")
		return http.StatusUpgradeRequired, "websocket upgrade required"
	}
	if r.Method != http.MethodGet {
		header.Set("Allow", http.MethodGet)
		return http.StatusMethodNotAllowed, "method must be GET"
	}
	if !hasToken(r.Header["Sec-Websocket-Version"], "13") {
		header.Set("Connection", "Upgrade")
		header.Set("Upgrade", "websocket")
		header.Set("Sec-WebSocket-Version", "13")
		return http.StatusUpgradeRequired, "websocket version must be 13"
	}
	if !validKey(r.Header.Get("Sec-WebSocket-Key")) {
		return http.StatusBadRequest, "invalid Sec-WebSocket-Key"
	}
	return 0, ""
}

// checkExtended is checkHandshake for HTTP/2 and HTTP/3, where there is no key.
func checkExtended(header http.Header, r *http.Request) (status int, text string) {
	switch {
	case isExtendedConnect(r) && hasToken(r.Header["Sec-Websocket-Version"], "13"):
		return 0, ""
	case isExtendedConnect(r):
		header.Set("Sec-WebSocket-Version", "13")
		return http.StatusBadRequest, "websocket version must be 13"
	case r.Method == http.MethodConnect:
		return http.StatusNotImplemented, "the protocol must be websocket"
	}
	return http.StatusHTTPVersionNotSupported, "websocket needs HTTP/1.1, or a CONNECT request"
}

// upgrade answers the handshake. first holds bytes that were received behind the request.
// The buffers of net/http are released.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request, asked *upgrade) (tcp net.Conn, first []byte, err error) {
	if r.ProtoMajor > 1 {
		stream, err := openStream(w, r, asked)
		return stream, nil, err
	}
	tcp, buffers, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return nil, nil, fmt.Errorf("taking the connection over: %w", err)
	}
	first = buffered(buffers.Reader)
	if err := tcp.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return tcp, nil, fmt.Errorf("setting a deadline: %w", err)
	}
	if _, err := tcp.Write(asked.appendAnswer(nil, r.Header.Get("Sec-WebSocket-Key"))); err != nil {
		return tcp, nil, fmt.Errorf("answering the handshake: %w", err)
	}
	if err := tcp.SetDeadline(time.Time{}); err != nil {
		return tcp, nil, fmt.Errorf("clearing the deadline: %w", err)
	}
	return tcp, first, nil
}

// buffered copies what r has read ahead.
func buffered(r *bufio.Reader) []byte {
	ahead, _ := r.Peek(r.Buffered()) // cannot fail for buffered bytes
	return bytes.Clone(ahead)
}

// refuse closes a connection that the node did not accept.
func (h *Handler) refuse(c *conn, err error) {
	disconnect := refuse.Disconnect(err, c.Info().Name, h.config.OnError)
	reason := disconnect.Reason
	if g := c.request.generation; g == centrifuge.GenerationV1 || g == centrifuge.GenerationV1Draft {
		text, _ := json.Marshal(struct { // protocol.md 5.8; a string and a bool cannot fail
			Reason    string `json:"reason"`
			Reconnect bool   `json:"reconnect"`
		}{reason, disconnect.Reconnect()})
		reason = string(text)
	}
	c.Close(disconnect.Code, reason)
}

// refused is the session of a connection that the node did not accept. It lasts until the
// close frame is answered.
type refused struct{}

func (refused) Receive([]byte) bool                   { return true }
func (refused) Connect(*protocol.ConnectRequest) bool { return false }
func (refused) Disconnect(centrifuge.Disconnect)      {}
func (refused) Connected() bool                       { return false }
func (refused) Writable()                             {}
func (refused) Pong()                                 {}
func (refused) Full(int)                              {}
func (refused) Violated(centrifuge.Disconnect)        {}
func (refused) Closed(error)                          {}
