package http2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// exchange is what a stream has while its handler runs.
type exchange struct {
	cancel context.CancelCauseFunc
	body   body
	writes waiter
}

// wake lets the handler look at what has changed.
func (e *exchange) wake() {
	e.body.waiter.wake()
	e.writes.wake()
}

var errHandlerReturned = errors.New("the handler has returned")

// begin serves the request of a header block.
func (c *conn) begin(b *fields) {
	status := 0
	request, reason := b.request()
	switch {
	case b.tooLarge:
		status = http.StatusRequestHeaderFieldsTooLarge
	case reason != "":
		c.resetStream(b.stream, codeProtocol, reason)
		return
	case request == nil:
		status = http.StatusBadRequest
	}
	s := &stream{conn: c, id: b.stream, received: windowStream, remoteEnded: b.end}
	if status != 0 {
		c.refuse(s, status)
		return
	}
	request.RemoteAddr = c.remote
	if c.tls != nil {
		state := c.tls.ConnectionState()
		request.TLS = &state
	}
	ctx := context.WithValue(c.server.config.BaseContext, http.LocalAddrContextKey, c.local)
	ctx, cancel := context.WithCancelCause(ctx)
	request = request.WithContext(ctx)
	e := &exchange{cancel: cancel, writes: newWaiter()}
	e.body = body{
		stream: s, waiter: newWaiter(), request: request, promised: request.ContentLength, ended: b.end, limit: windowStream,
		trailer: announcedTrailer(b.header), awaited: httpguts.HeaderValuesContainsToken(b.header["Expect"], "100-continue"),
	}
	request.Trailer = e.body.trailer.Clone()
	request.Header.Del("Expect") // Read has the answer
	request.Body = &e.body
	s.exchange = e
	c.mu.Lock()
	if c.ending {
		c.mu.Unlock()
		cancel(nil)
		return
	}
	s.window = c.initialWindow
	c.streams[s.id] = s
	c.handlers++
	c.disarmLocked()
	c.mu.Unlock()
	go c.run(&response{stream: s, exchange: e, request: request, header: make(http.Header), length: -1})
}

// refuse answers a request that no handler sees.
func (c *conn) refuse(s *stream, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.sendLocked(s, appendField(appendStatus(nil, status), "Content-Length", "0"), nil, true) // its error has ended the connection
}

// run calls the handler of a request.
func (c *conn) run(r *response) {
	defer c.returned(r)
	finished := false
	defer func() {
		if finished {
			return
		}
		if value := recover(); value != http.ErrAbortHandler { //nolint:errorlint // net/http compares it so
			c.server.config.OnError(fmt.Errorf("panic in a handler of %s: %v\n%s", c.remote, value, debug.Stack()))
		}
		c.abort(r.stream, codeInternal)
	}()
	c.server.config.Handler.ServeHTTP(r, r.request)
	if err := r.finish(); err != nil {
		c.abort(r.stream, codeInternal)
	}
	finished = true
}

// returned takes note of the end of a handler.
func (c *conn) returned(r *response) {
	r.exchange.cancel(errHandlerReturned)
	r.release()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.handlers--
}

// abort resets a stream whose response is not complete.
func (c *conn) abort(s *stream, answer code) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.err == nil && !s.localEnded {
		_ = c.writeLocked(appendReset(nil, s.id, answer)) // its error has ended the connection
		c.forgetLocked(s, http.ErrAbortHandler)
	}
}

// request returns the request of a header block, and why it is malformed (RFC 9113 8.1.1).
// It returns nil for one that is well formed and cannot be served.
func (b *fields) request() (_ *http.Request, malformed string) {
	if b.malformed != "" {
		return nil, b.malformed
	}
	if b.tooLarge {
		return nil, ""
	}
	method, path, authority := b.pseudo[pseudoMethod], b.pseudo[pseudoPath], b.pseudo[pseudoAuthority]
	protocol, extended := b.pseudo[pseudoProtocol]
	switch {
	case extended && method != http.MethodConnect:
		return nil, ":protocol without CONNECT"
	case method == http.MethodConnect && !extended:
		if path != "" || b.pseudo[pseudoScheme] != "" || authority == "" {
			return nil, "CONNECT needs an :authority and nothing else"
		}
	case !httpguts.ValidHeaderFieldName(method) || path == "":
		return nil, "request without a valid :method or :path"
	case b.pseudo[pseudoScheme] != "http" && b.pseudo[pseudoScheme] != "https":
		return nil, "request without a valid :scheme"
	}
	length, ok := contentLength(b.header, b.end)
	if !ok {
		return nil, "invalid Content-Length"
	}
	if cookies := b.header["Cookie"]; len(cookies) > 1 { // RFC 9113 8.2.3
		b.header["Cookie"] = []string{strings.Join(cookies, "; ")}
	}
	if authority == "" {
		authority = b.header.Get("Host")
	}
	b.header.Del("Host")
	if extended {
		b.header[pseudoProtocol] = []string{protocol}
	}
	target, uri := target(method, path, authority, extended)
	if target == nil || !httpguts.ValidHostHeader(authority) {
		return nil, ""
	}
	return &http.Request{
		Method: method, URL: target, RequestURI: uri, Host: authority, Header: b.header, ContentLength: length,
		Proto: "HTTP/2.0", ProtoMajor: 2,
	}, ""
}

// target returns what a request is for; nil if that is invalid.
func target(method, path, authority string, extended bool) (_ *url.URL, uri string) {
	if method == http.MethodConnect && !extended {
		return &url.URL{Host: authority}, authority
	}
	if path == "*" && method != http.MethodOptions || path != "*" && !strings.HasPrefix(path, "/") {
		return nil, ""
	}
	u, err := url.ParseRequestURI(path)
	if err != nil {
		return nil, ""
	}
	return u, path
}

// contentLength returns -1 for a body of an unknown length.
func contentLength(header http.Header, end bool) (n int64, ok bool) {
	values := header["Content-Length"]
	switch {
	case len(values) == 0 && end:
		return 0, true
	case len(values) == 0:
		return -1, true
	}
	for _, value := range values[1:] {
		if value != values[0] {
			return 0, false
		}
	}
	u, err := strconv.ParseUint(values[0], 10, 63)
	if err != nil || end && u > 0 {
		return 0, false
	}
	return int64(u), true
}

// announcedTrailer returns the fields of a trailer that a request announces; nil for none.
func announcedTrailer(header http.Header) (trailer http.Header) {
	for _, value := range header["Trailer"] {
		for name := range strings.SplitSeq(value, ",") {
			name = http.CanonicalHeaderKey(strings.TrimSpace(name))
			if !httpguts.ValidTrailerHeader(name) {
				continue
			}
			if trailer == nil {
				trailer = make(http.Header)
			}
			trailer[name] = nil
		}
	}
	return trailer
}
