package http2

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// bufferSize is how much of a response is kept until the handler flushes it or returns: a
// response that fits is one write, and has a Content-Length.
const bufferSize = 4 << 10

// response is the http.ResponseWriter of a handler. It is used by one goroutine at a time,
// except the methods that set deadlines.
type response struct {
	// Static after construction.
	stream   *stream
	exchange *exchange
	request  *http.Request
	header   http.Header

	status   int     // zero before WriteHeader
	block    *[]byte // the fields of the header; nil before WriteHeader, and when it was sent
	buffer   *[]byte // of the body; nil while empty
	length   int64   // that the handler has announced; -1 for none
	written  int64
	typed    bool // the header says what the body is
	dated    bool
	bodyless bool // the status, or the method, has no body
	begun    bool // the header was sent
	trailers []string
}

var (
	_ http.ResponseWriter = (*response)(nil)
	_ http.Flusher        = (*response)(nil)
)

// Header implements http.ResponseWriter.
func (r *response) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter.
func (r *response) WriteHeader(status int) {
	switch {
	case r.status != 0:
		return
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid status %d", status))
	case status < 200:
		r.inform(status)
		return
	}
	r.status = status
	r.bodyless = r.request.Method == http.MethodHead || status == http.StatusNoContent || status == http.StatusNotModified
	r.trailers = trailerNames(r.header)
	r.measure()
	_, r.dated = r.header["Date"]
	_, typed := r.header["Content-Type"]
	r.typed = typed || r.header.Get("Content-Encoding") != ""
	block := outgoing.Get().(*[]byte)
	*block = appendHeader(appendStatus(*block, status), r.header) // fields with http.TrailerPrefix are no valid names
	r.block = block
}

// inform sends a header with an informational status. There is no switch of protocols.
func (r *response) inform(status int) {
	if status == http.StatusSwitchingProtocols {
		return
	}
	c := r.stream.conn
	block := appendHeader(appendStatus(nil, status), r.header)
	c.mu.Lock()
	defer c.mu.Unlock()
	if r.stream.err == nil {
		c.informLocked(r.stream, block)
	}
}

// measure reads the length that the handler announces. An invalid one is removed.
func (r *response) measure() {
	value := r.header.Get("Content-Length")
	if value == "" {
		return
	}
	n, err := strconv.ParseUint(value, 10, 63)
	if err != nil {
		r.header.Del("Content-Length")
		return
	}
	r.length = int64(n)
}

// Write implements http.ResponseWriter.
func (r *response) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.bodyless && r.request.Method != http.MethodHead {
		return 0, http.ErrBodyNotAllowed
	}
	r.written += int64(len(p))
	if r.length >= 0 && r.written > r.length {
		return 0, http.ErrContentLength
	}
	if r.buffer == nil {
		r.buffer = outgoing.Get().(*[]byte)
	}
	if len(*r.buffer)+len(p) <= bufferSize {
		*r.buffer = append(*r.buffer, p...)
		return len(p), nil
	}
	if err := r.sendBuffer(p); err != nil {
		return 0, err
	}
	if err := r.send(p, false); err != nil {
		return 0, err
	}
	return len(p), nil
}

// sendBuffer sends the header and what is kept of the body; next is what follows.
func (r *response) sendBuffer(next []byte) error {
	var body []byte
	if r.buffer != nil {
		body = *r.buffer
		defer putOutgoing(r.buffer)
		r.buffer = nil
	}
	if !r.begun {
		if start := body; len(start) > 0 || len(next) > 0 {
			if len(start) == 0 {
				start = next
			}
			r.detect(start)
		}
	}
	return r.send(body, false)
}

// detect says what the body is, unless the handler has.
func (r *response) detect(start []byte) {
	if !r.typed && r.block != nil {
		r.typed = true
		*r.block = appendField(*r.block, "Content-Type", http.DetectContentType(start))
	}
}

// Flush implements http.Flusher.
func (r *response) Flush() { _ = r.FlushError() } // its error is that of later writes

// FlushError sends what is kept, for http.ResponseController.
func (r *response) FlushError() error {
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	return r.sendBuffer(nil)
}

// finish ends the response when the handler has returned. A stream that a transport has
// taken over goes on.
func (r *response) finish() error {
	c := r.stream.conn
	c.mu.Lock()
	taken := r.stream.taken != nil
	c.mu.Unlock()
	if taken {
		return nil
	}
	if r.status == 0 {
		r.WriteHeader(http.StatusOK)
	}
	if r.length >= 0 && r.written < r.length && !r.bodyless {
		return http.ErrContentLength
	}
	if !r.begun && r.length < 0 && (!r.bodyless || r.request.Method == http.MethodHead && r.written > 0) {
		*r.block = appendField(*r.block, "Content-Length", strconv.FormatInt(r.written, 10))
	}
	if trailer := r.trailer(); trailer != nil {
		if err := r.sendBuffer(nil); err != nil {
			return err
		}
		return r.sendBlock(&trailer, nil, true)
	}
	var body []byte
	if r.buffer != nil {
		body = *r.buffer
		if !r.begun && len(body) > 0 {
			r.detect(body)
		}
	}
	return r.send(body, true)
}

// release gives the buffers back.
func (r *response) release() {
	for _, b := range []*[]byte{r.block, r.buffer} {
		if b != nil {
			putOutgoing(b)
		}
	}
	r.block, r.buffer = nil, nil
}

// send sends the header, if it was not, and a part of the body.
func (r *response) send(data []byte, end bool) error {
	if r.bodyless {
		data = nil
	}
	block := r.block
	if block != nil && !r.dated {
		*block = time.Now().UTC().AppendFormat(appendNumber(appendNumber(*block, staticNames["Date"], 4), len(http.TimeFormat), 7), http.TimeFormat)
	}
	err := r.sendBlock(block, data, end)
	if block != nil {
		r.block, r.begun = nil, true
		putOutgoing(block)
	}
	return err
}

// sendBlock sends a header block, if there is one, and data. It waits until the client and
// the socket accept all of it, or the deadline has passed.
func (r *response) sendBlock(block *[]byte, data []byte, end bool) error {
	s, w := r.stream, &r.exchange.writes
	c := s.conn
	var first []byte
	if block != nil {
		first = *block
	}
	for {
		c.mu.Lock()
		n, done, err := r.sendLocked(first, data, end)
		deadline := w.deadline
		c.mu.Unlock()
		if done {
			return err
		}
		first, data = nil, data[n:]
		if err := w.wait(deadline); err != nil {
			return err
		}
	}
}

func (r *response) sendLocked(block, data []byte, end bool) (n int, done bool, err error) {
	s := r.stream
	c := s.conn
	switch {
	case s.err != nil:
		return 0, true, s.err
	case s.localEnded:
		return 0, true, http.ErrHandlerTimeout
	case r.exchange.writes.expired():
		return 0, true, errDeadline
	}
	s.begun = s.begun || block != nil
	if n, err = c.sendLocked(s, block, data, end); err != nil || n == len(data) {
		return n, true, err
	}
	c.awaitLocked(s)
	return n, false, nil
}

// SetReadDeadline bounds the reading of the request, for http.ResponseController.
func (r *response) SetReadDeadline(t time.Time) error {
	r.setDeadline(&r.exchange.body.waiter, t)
	return nil
}

// SetWriteDeadline bounds the writing of the response, for http.ResponseController.
func (r *response) SetWriteDeadline(t time.Time) error {
	r.setDeadline(&r.exchange.writes, t)
	return nil
}

func (r *response) setDeadline(w *waiter, t time.Time) {
	c := r.stream.conn
	c.mu.Lock()
	w.deadline = t
	c.mu.Unlock()
	w.wake()
}

// EnableFullDuplex has nothing to do, for http.ResponseController.
func (r *response) EnableFullDuplex() error { return nil }
