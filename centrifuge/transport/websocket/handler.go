package websocket

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/internal/eventloop"
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

	live    atomic.Int64  // connections whose socket is open
	drained chan struct{} // one token when live falls to zero

	// Guarded by mu.
	mu     sync.Mutex
	loop   *eventloop.Loop // nil before the first connection
	closed bool
}

// newHandler is NewHandler with the node's part abstracted.
func newHandler(accept accept, config Config) *Handler {
	config = config.withDefaults()
	return &Handler{
		config: config, accept: accept, deflater: newDeflater(config.CompressionLevel), drained: make(chan struct{}, 1),
	}
}

// Drain waits until every connection has ended. It returns the error of ctx if that is
// done first. After Node.Shutdown has sent close frames, each connection lasts until its
// peer has answered, at most Config.CloseTimeout. Closing a socket at once could discard
// data that the peer has not read yet.
func (h *Handler) Drain(ctx context.Context) error {
	for h.live.Load() > 0 {
		select {
		case <-h.drained:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (h *Handler) ended() {
	if h.live.Add(-1) > 0 {
		return
	}
	select {
	case h.drained <- struct{}{}:
	default: // there is a token
	}
}

// Close closes all connections without close frames and ends the handler's goroutines.
// Call it after Node.Shutdown and Drain.
func (h *Handler) Close() {
	h.mu.Lock()
	loop := h.loop
	h.closed = true
	h.mu.Unlock()
	if loop != nil {
		loop.Close()
	}
}

// eventLoop starts the loop for the first connection.
func (h *Handler) eventLoop() (*eventloop.Loop, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, eventloop.ErrClosed
	}
	if h.loop != nil {
		return h.loop, nil
	}
	loop, err := eventloop.New(eventloop.Config{
		Pollers:      h.config.Pollers,
		WriteTimeout: h.config.WriteTimeout,
		Panicked: func(value any, stack []byte) {
			h.config.OnError(fmt.Errorf("panic in a websocket connection: %v\n%s", value, stack))
		},
	})
	h.loop = loop
	return loop, err
}

// ServeHTTP implements http.Handler. It returns when the connection is
// established.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	asked, ok := h.admit(w, r)
	if !ok {
		return
	}
	loop, err := h.eventLoop()
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
	c.start(s, first)
}

// admit checks a request and answers those that cannot become a connection.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (upgrade, bool) {
	answer := func(status int, text string) (upgrade, bool) {
		h.config.OnRefused(r, status, text)
		http.Error(w, text, status)
		return upgrade{}, false
	}
	if r.ProtoMajor > 1 { // has no Upgrade header (RFC 9113 8.2.2), which a 426 must have
		if r.Method == http.MethodConnect {
			return answer(http.StatusNotImplemented, "websocket over HTTP/2 is not supported, use HTTP/1.1")
		}
		return answer(http.StatusHTTPVersionNotSupported, "websocket needs HTTP/1.1")
	}
	if !isUpgrade(r) {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		return answer(http.StatusUpgradeRequired, "websocket upgrade required")
	}
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		return answer(http.StatusMethodNotAllowed, "method must be GET")
	}
	if !hasToken(r.Header["Sec-Websocket-Version"], "13") {
		w.Header().Set("Connection", "Upgrade")
		w.Header().Set("Upgrade", "websocket")
		w.Header().Set("Sec-WebSocket-Version", "13")
		return answer(http.StatusUpgradeRequired, "websocket version must be 13")
	}
	if !validKey(r.Header.Get("Sec-WebSocket-Key")) {
		return answer(http.StatusBadRequest, "invalid Sec-WebSocket-Key")
	}
	request, ok := parseRequest(r.URL.Query())
	if !ok {
		return answer(http.StatusBadRequest, "unknown cf_protocol_version")
	}
	if !h.config.CheckOrigin(r) {
		return answer(http.StatusForbidden, "origin is not allowed")
	}
	asked := upgrade{request: request, subprotocol: subprotocol(r.Header["Sec-Websocket-Protocol"])}
	asked.protobuf = asked.protobuf || asked.subprotocol == subprotocolProtobuf
	asked.deflate = h.config.Compression && wantsDeflate(r.Header["Sec-Websocket-Extensions"])
	return asked, true
}

// upgrade answers the handshake. first holds bytes that were received behind the request.
// The buffers of net/http are released.
func (h *Handler) upgrade(w http.ResponseWriter, r *http.Request, asked *upgrade) (tcp net.Conn, first []byte, err error) {
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
	disconnect := centrifuge.DisconnectServerError
	switch {
	case errors.As(err, &disconnect):
	case errors.Is(err, centrifuge.ErrShutdown):
		disconnect = centrifuge.DisconnectShutdown
	default:
		h.config.OnError(fmt.Errorf("accepting websocket connection: %w", err))
	}
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

func (refused) Receive([]byte) bool            { return true }
func (refused) Connected() bool                { return false }
func (refused) Writable()                      {}
func (refused) Pong()                          {}
func (refused) Full(int)                       {}
func (refused) Violated(centrifuge.Disconnect) {}
func (refused) Closed(error)                   {}
