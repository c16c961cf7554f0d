package websocket

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// errClosed ends a connection that is closed without a handshake.
var errClosed = errors.New("closed without a closing handshake")

// parseUnidirectional returns what the request of a unidirectional connection asks for, or
// the status that refuses it.
func (h *Handler) parseUnidirectional(r *http.Request) (asked upgrade, status int, reason string) {
	asked.generation = centrifuge.GenerationV2
	asked.subprotocol = subprotocol(r.Header["Sec-Websocket-Protocol"])
	if asked.subprotocol == subprotocolProtobuf {
		asked.subprotocol = "" // not chosen: there is JSON only
	}
	asked.deflate = h.config.Compression && wantsDeflate(r.Header["Sec-Websocket-Extensions"])
	connect := r.URL.Query().Get("cf_connect")
	if connect == "" {
		return asked, 0, ""
	}
	if len(connect) > h.config.MessageSizeLimit {
		return asked, http.StatusRequestURITooLong, "cf_connect is too large"
	}
	var err error
	if asked.connect, err = protocol.DecodeConnectRequest(0, []byte(connect)); err != nil {
		return asked, http.StatusBadRequest, "connect request is malformed"
	}
	return asked, 0, ""
}

// receiveConnect passes the first message to the session, as a connect request. Others are
// ignored.
func (c *conn) receiveConnect(message []byte) (more bool) {
	if c.progress&progressAsked != 0 {
		return true
	}
	c.progress |= progressAsked
	request, err := protocol.DecodeConnectRequest(0, slices.Clone(message))
	if err != nil {
		c.session.Disconnect(centrifuge.DisconnectBadRequest)
		return true
	}
	c.session.Connect(request)
	return true
}

// writePushes writes each push as a message, or all as one. A ping of the protocol is
// followed by one of WebSocket, which browsers answer by themselves: proxies then see
// traffic in both directions.
func (c *conn) writePushes(batch []*protocol.Encoded) (pending int, err error) {
	if len(batch) == 0 {
		return c.writeMessages(nil, true)
	}
	if len(batch) == 1 && batch[0].Kind != protocol.KindPing {
		return c.writeMessages(c.single(batch[0]), true)
	}
	buffer := outgoing.Get().(*[]byte)
	defer putOutgoing(buffer)
	if c.handler.config.JoinPushes {
		*buffer = c.appendBatch(*buffer, batch)
	} else {
		for _, push := range batch {
			*buffer = append(*buffer, c.single(push)...)
		}
	}
	if slices.ContainsFunc(batch, func(push *protocol.Encoded) bool { return push.Kind == protocol.KindPing }) {
		*buffer = appendControl(*buffer, opPing, nil)
	}
	return c.writeMessages(*buffer, false)
}

// closeWithoutHandshake closes the TCP connection when everything is written, or after
// CloseTimeout. The caller has left the open state.
func (c *conn) closeWithoutHandshake() {
	if c.writer.Socket.Blocking() {
		go c.drop(errClosed) // mu may be held by a write that waits
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stateIs(stateDead) {
		return
	}
	if c.writer.Len() == 0 {
		c.dropAsideLocked(errClosed)
		return
	}
	c.state.Store(uint32(stateLeaving)) // Writable drops it
	c.closeTimer = time.AfterFunc(c.handler.config.CloseTimeout, c.timeOut)
}
