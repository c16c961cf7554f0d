package httpstream

import (
	"errors"
	"fmt"
	"net/http"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// Emulation receives the commands of bidirectional connections. A request names the node
// and the session of a connection, so it may reach any node of a cluster (protocol.md
// 3.4).
type Emulation struct {
	node   *centrifuge.Node
	config Config
}

// NewEmulation returns an Emulation for the connections of n and of the nodes that n
// knows. Of config it uses CheckOrigin, MaxRequestBodySize, OnError and OnRefused.
func NewEmulation(n *centrifuge.Node, config Config) *Emulation {
	return &Emulation{node: n, config: config.withDefaults()}
}

// ServeHTTP implements http.Handler. It answers when the connection has the commands:
// they are processed in the order of the requests of a client that waits for each
// response. The replies come on the connection.
func (e *Emulation) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodOptions {
		answerPreflight(w)
		return
	}
	if refused := e.deliver(w, r); refused != nil {
		e.config.refuse(w, r, refused, methodsOfPost)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (e *Emulation) deliver(w http.ResponseWriter, r *http.Request) *refusal {
	if r.Method != http.MethodPost {
		return &refusal{http.StatusMethodNotAllowed, "method is not allowed"}
	}
	if !e.config.CheckOrigin(r) {
		return &refusal{http.StatusForbidden, "origin is not allowed"}
	}
	body, refused := e.config.readBody(w, r)
	if refused != nil {
		return refused
	}
	request, err := protocol.DecodeEmulationRequest(isProtobuf(r), body)
	if err != nil {
		return &refusal{http.StatusBadRequest, "request is malformed"}
	}
	return e.outcome(e.node.Deliver(r.Context(), request.Node, request.Session, request.Data))
}

// outcome returns the answer for an error of Deliver (protocol.md 3.4). A session that
// does not exist is no error of the request: its end is in the stream.
func (e *Emulation) outcome(err error) *refusal {
	switch {
	case err == nil, errors.Is(err, centrifuge.ErrUnknownSession):
		return nil
	case errors.Is(err, centrifuge.ErrUnknownNode):
		return &refusal{http.StatusNotFound, "node is not known"}
	case errors.Is(err, centrifuge.ErrControlDataTooLarge):
		return &refusal{http.StatusRequestEntityTooLarge, "data is too large"}
	case errors.Is(err, centrifuge.ErrShutdown), errors.Is(err, centrifuge.ErrNotRunning):
		return &refusal{http.StatusServiceUnavailable, "node is shutting down"}
	}
	e.config.OnError(fmt.Errorf("passing commands on: %w", err))
	return &refusal{http.StatusInternalServerError, "commands could not be passed on"}
}
