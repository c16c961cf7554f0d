package httpstream

import (
	"errors"
	"io"
	"net/http"

	"centrifugo/protocol"
)

// statusClientClosed is answered when the body could not be read: the client has closed
// the request (protocol.md 3.4).
const statusClientClosed = 499

// preflightMaxAge is how long browsers may keep the answer to a preflight, in seconds.
const preflightMaxAge = "300"

// opened is what a request asks for.
type opened struct {
	protobuf bool
	commands []byte                   // of a bidirectional connection
	connect  *protocol.ConnectRequest // of a unidirectional connection
	eventID  string                   // the last one that the client has; empty for none
}

// refusal is an answer with an HTTP status.
type refusal struct {
	status int
	reason string
}

// Methods in the header Allow.
const (
	methodsOfPost   = "POST, OPTIONS"
	methodsOfEvents = "GET, POST"
)

// admit checks a request and answers those that do not become a connection.
func (h *Handler) admit(w http.ResponseWriter, r *http.Request) (*opened, bool) {
	methods := methodsOfEvents
	if h.config.Wire == Stream {
		methods = methodsOfPost
		if r.Method == http.MethodOptions {
			answerPreflight(w)
			return nil, false
		}
	}
	asked, refused := h.read(w, r)
	if refused != nil {
		h.config.refuse(w, r, refused, methods)
		return nil, false
	}
	return asked, true
}

// answerPreflight answers a request by which a browser asks what a page of another origin
// may send. Middleware sets the header that says whether it may send anything.
func answerPreflight(w http.ResponseWriter) {
	header := w.Header()
	header.Set("Access-Control-Max-Age", preflightMaxAge)
	header.Set("Access-Control-Allow-Methods", methodsOfPost)
	w.WriteHeader(http.StatusNoContent)
}

func (c *Config) refuse(w http.ResponseWriter, r *http.Request, refused *refusal, methods string) {
	c.OnRefused(r, refused.status, refused.reason)
	if refused.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", methods)
	}
	http.Error(w, refused.reason, refused.status)
}

// isProtobuf reports whether a request is in Protobuf. The match is exact (protocol.md
// 3.4).
func isProtobuf(r *http.Request) bool {
	return r.Header.Get("Content-Type") == "application/octet-stream"
}

// readBody reads the body of a request.
func (c *Config) readBody(w http.ResponseWriter, r *http.Request) ([]byte, *refusal) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, int64(c.MaxRequestBodySize)))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &refusal{http.StatusRequestEntityTooLarge, "body is too large"}
	case err != nil:
		return nil, &refusal{statusClientClosed, "body could not be read"}
	}
	return body, nil
}

// read reads what a request asks for.
func (h *Handler) read(w http.ResponseWriter, r *http.Request) (*opened, *refusal) {
	get := r.Method == http.MethodGet && h.config.Wire == Events
	if !get && r.Method != http.MethodPost {
		return nil, &refusal{http.StatusMethodNotAllowed, "method is not allowed"}
	}
	if !h.config.CheckOrigin(r) {
		return nil, &refusal{http.StatusForbidden, "origin is not allowed"}
	}
	asked := &opened{protobuf: h.config.Wire == Stream && !h.config.Unidirectional && isProtobuf(r)}
	var message []byte
	if get {
		parameter := r.URL.Query().Get("cf_connect")
		if len(parameter) > h.config.MaxRequestBodySize {
			return nil, &refusal{http.StatusRequestURITooLong, "cf_connect is too large"}
		}
		message = []byte(parameter)
	} else {
		var refused *refusal
		if message, refused = h.config.readBody(w, r); refused != nil {
			return nil, refused
		}
	}
	if h.config.Unidirectional {
		if h.config.Wire == Events {
			asked.eventID = requestedID(r)
		}
		return asked, asked.readConnect(message, get)
	}
	if get && len(message) == 0 {
		return nil, &refusal{http.StatusBadRequest, "cf_connect is missing"}
	}
	asked.commands = message
	return asked, nil
}

// readConnect decodes the connect request of a unidirectional connection. It may be
// missing in a URL.
func (o *opened) readConnect(message []byte, url bool) *refusal {
	if url && len(message) == 0 {
		o.connect = new(protocol.ConnectRequest)
		return nil
	}
	var err error
	if o.connect, err = protocol.DecodeConnectRequest(0, message); err != nil {
		return &refusal{http.StatusBadRequest, "connect request is malformed"}
	}
	return nil
}
