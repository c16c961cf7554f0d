package http2

import (
	"bytes"
	"encoding/binary"
	"slices"
	"time"
)

// Data implements eventloop.Handler.
func (c *conn) Data(b []byte) (n int, more bool) {
	n = len(b)
	if c.ignores() {
		return n, true
	}
	before := len(c.partial)
	if before > 0 {
		b = append(c.partial, b...)
		c.partial = b
	}
	rest, full, err := c.read(b)
	if err != nil {
		c.partial = nil
		c.fail(err)
		return n, true
	}
	switch {
	case full && len(rest) <= n: // it comes again
		n -= len(rest)
		c.partial = nil
	case full: // nothing was handled
		n = 0
		c.partial = b[:before]
	case len(rest) == 0:
		c.partial = nil
	case before == 0 || len(rest) < len(b):
		c.partial = bytes.Clone(rest)
	}
	return n, c.reply(full)
}

func (c *conn) ignores() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ending
}

// reply sends the answers to what was read. It reports false if too much waits for the
// socket to read on.
func (c *conn) reply(full bool) (more bool) {
	c.mu.Lock()
	_ = c.writeLocked(c.replies) // its error has ended the connection
	c.replies = nil
	c.paused = c.fullLocked() || full && c.writer.Len() > 0
	more = !c.paused
	c.mu.Unlock()
	c.wake()
	if full && more {
		c.writer.Socket.Resume()
		return false
	}
	return more
}

// fullLocked reports whether too much waits for the socket.
func (c *conn) fullLocked() bool { return c.writer.Len() > maxBacklog }

// read handles the frames in b and returns the beginning of the next one. It stops before
// its end, and reports that, when too much waits for the socket.
func (c *conn) read(b []byte) (rest []byte, full bool, err error) {
	if !c.greeted {
		if n := min(len(b), len(preface)); string(b[:n]) != preface[:n] {
			return nil, false, connError{codeProtocol, "no HTTP/2 preface"}
		}
		if len(b) < len(preface) {
			return b, false, nil
		}
		c.greeted, b = true, b[len(preface):]
	}
	for {
		f, rest, ok, err := nextFrame(b)
		if err != nil || !ok {
			return rest, false, err
		}
		if c.full() {
			return b, true, nil
		}
		if err := c.frame(f); err != nil {
			return nil, false, err
		}
		b = rest
	}
}

func (c *conn) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.fullLocked()
}

func (c *conn) frame(f frame) error {
	switch {
	case !c.settled && (f.kind != kindSettings || f.has(flagAck)):
		return connError{codeProtocol, "the first frame is not SETTINGS"}
	case c.fields != nil && (f.kind != kindContinuation || f.stream != c.fields.stream):
		return connError{codeProtocol, "frame within a header block"}
	case c.fields == nil && f.kind == kindContinuation:
		return connError{codeProtocol, "CONTINUATION without a header block"}
	}
	c.settled = true
	if costs(f) && c.overspent() {
		return connError{codeCalm, "too many frames that carry nothing"}
	}
	switch f.kind {
	case kindData:
		return c.data(f)
	case kindHeaders:
		return c.headers(f)
	case kindContinuation:
		return c.decode(f.payload, f.has(flagEndHeaders))
	case kindPriority:
		return c.priority(f)
	case kindReset:
		return c.reset(f)
	case kindSettings:
		return c.settings(f)
	case kindPush:
		return connError{codeProtocol, "PUSH_PROMISE from a client"}
	case kindPing:
		return c.ping(f)
	case kindGoAway:
		return goAway(f)
	case kindWindowUpdate:
		return c.windowUpdate(f)
	}
	return nil // unknown kinds are ignored (RFC 9113 4.1)
}

// costs reports whether f carries nothing. Resets are judged by what they reset, and updates
// of windows by what was sent.
func costs(f frame) bool {
	switch f.kind {
	case kindData:
		return len(f.payload) == 0 && !f.has(flagEndStream)
	case kindContinuation:
		return len(f.payload) == 0
	case kindHeaders, kindReset, kindWindowUpdate:
		return false
	}
	return true
}

// overspent takes note of a frame that carries nothing. It reports true if that was one too
// many.
func (c *conn) overspent() bool { return !c.budget.spend(time.Now) }

// streamLocked returns a stream that is open. known is false for one that the client has not begun.
func (c *conn) streamLocked(id uint32) (s *stream, known bool) {
	return c.streams[id], id <= c.last && id%2 == 1
}

// resetStream ends a stream with an error of the client's, and not the connection.
func (c *conn) resetStream(id uint32, answer code, reason string) {
	c.replies = appendReset(c.replies, id, answer)
	c.mu.Lock()
	s := c.streams[id]
	err := connError{answer, reason}
	if s != nil {
		c.forgetLocked(s, err)
	} else {
		c.abandonLocked(id, windowStream)
	}
	c.mu.Unlock()
	if s != nil {
		s.over(err)
	}
}

func (c *conn) data(f frame) error {
	body, err := f.unpadded()
	if err != nil {
		return err
	}
	c.mu.Lock()
	s, known := c.streamLocked(f.stream)
	if !known {
		c.mu.Unlock()
		return connError{codeProtocol, "DATA for a stream that has not begun"}
	}
	size := len(f.payload)
	if c.received -= size; c.received < 0 {
		c.mu.Unlock()
		return connError{codeFlowControl, "DATA beyond the window of the connection"}
	}
	answer, reason := codeNone, ""
	if s == nil {
		c.late -= size
	}
	tooLate := c.late < 0
	c.late = max(c.late, 0)
	switch {
	case s == nil && slices.Contains(c.abandoned, f.stream):
		c.consumedLocked(size)
	case s == nil || s.remoteEnded:
		answer, reason = codeStreamClosed, "DATA for a stream that has ended"
	case s.received < size:
		answer, reason = codeFlowControl, "DATA beyond the window of the stream"
	default:
		s.received -= size
		s.remoteEnded = f.has(flagEndStream)
		answer, reason = s.arrivedLocked(body, size)
	}
	if answer != codeNone {
		c.consumedLocked(size)
	}
	c.mu.Unlock()
	if answer != codeNone {
		c.resetStream(f.stream, answer, reason)
	}
	if tooLate && c.overspent() {
		return connError{codeCalm, "too much DATA for streams that have ended"}
	}
	return nil
}

// arrivedLocked gives a part of the body to the handler. size includes padding.
func (s *stream) arrivedLocked(b []byte, size int) (answer code, reason string) {
	c := s.conn
	if s.exchange == nil {
		c.consumedLocked(size)
		return codeNone, ""
	}
	body := &s.exchange.body
	if body.promised >= 0 {
		body.promised -= int64(len(b))
		if body.promised < 0 || s.remoteEnded && body.promised > 0 {
			return codeProtocol, "body of another length than Content-Length"
		}
	}
	s.paddedLocked(size - len(b))
	body.addLocked(b)
	if s.remoteEnded {
		body.endLocked()
	}
	return codeNone, ""
}

func (c *conn) priority(f frame) error {
	switch {
	case f.stream == 0:
		return connError{codeProtocol, "PRIORITY for the connection"}
	case len(f.payload) != 5:
		c.resetStream(f.stream, codeFrameSize, "PRIORITY of a wrong size")
	case binary.BigEndian.Uint32(f.payload)&maxWindow == f.stream:
		c.resetStream(f.stream, codeProtocol, "stream that depends on itself")
	}
	return nil
}

func (c *conn) reset(f frame) error {
	if len(f.payload) != 4 {
		return connError{codeFrameSize, "RST_STREAM of a wrong size"}
	}
	err := resetError{code(binary.BigEndian.Uint32(f.payload))}
	c.mu.Lock()
	s, known := c.streamLocked(f.stream)
	costs := s == nil || !s.begun
	if s != nil {
		s.remoteEnded = true
		c.forgetLocked(s, err)
	}
	c.mu.Unlock()
	if s != nil {
		s.over(err) // also if the connection ends now
	}
	switch {
	case !known:
		return connError{codeProtocol, "RST_STREAM for a stream that has not begun"}
	case costs && c.overspent():
		return connError{codeCalm, "too many requests that are reset"}
	}
	return nil
}

func (c *conn) ping(f frame) error {
	switch {
	case f.stream != 0:
		return connError{codeProtocol, "PING for a stream"}
	case len(f.payload) != 8:
		return connError{codeFrameSize, "PING of a wrong size"}
	case !f.has(flagAck):
		c.replies = append(appendFrameHeader(c.replies, 8, kindPing, flagAck, 0), f.payload...)
	}
	return nil
}

// goAway checks that frame of a client: it does not change what the client may send.
func goAway(f frame) error {
	switch {
	case f.stream != 0:
		return connError{codeProtocol, "GOAWAY for a stream"}
	case len(f.payload) < 8:
		return connError{codeFrameSize, "GOAWAY of a wrong size"}
	}
	return nil
}

func (c *conn) windowUpdate(f frame) error {
	if len(f.payload) != 4 {
		return connError{codeFrameSize, "WINDOW_UPDATE of a wrong size"}
	}
	more := int64(binary.BigEndian.Uint32(f.payload) & maxWindow)
	if f.stream == 0 {
		return c.widen(more)
	}
	answer, reason := codeNone, ""
	c.mu.Lock()
	uncalled := c.uncalledUpdateLocked()
	s, known := c.streamLocked(f.stream)
	switch {
	case more == 0:
		answer, reason = codeProtocol, "WINDOW_UPDATE of nothing"
	case s == nil:
	case s.window+more > maxWindow:
		answer, reason = codeFlowControl, "window of more than 2^31-1 bytes"
	default:
		s.window += more
	}
	c.mu.Unlock()
	switch {
	case !known:
		return connError{codeProtocol, "WINDOW_UPDATE for a stream that has not begun"}
	case uncalled && c.overspent():
		return connError{codeCalm, "too many WINDOW_UPDATE frames"}
	}
	if answer != codeNone {
		c.resetStream(f.stream, answer, reason)
	}
	return nil
}

// uncalledUpdateLocked takes note of a WINDOW_UPDATE frame. It reports true if nothing was sent
// that called for it.
func (c *conn) uncalledUpdateLocked() bool {
	uncalled := c.updates == 0
	if !uncalled {
		c.updates--
	}
	return uncalled
}

// widen adds to the window of the connection.
func (c *conn) widen(more int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	uncalled := c.uncalledUpdateLocked()
	switch {
	case more == 0:
		return connError{codeProtocol, "WINDOW_UPDATE of nothing"}
	case uncalled && c.overspent():
		return connError{codeCalm, "too many WINDOW_UPDATE frames"}
	case c.window+more > maxWindow:
		return connError{codeFlowControl, "window of more than 2^31-1 bytes"}
	}
	c.window += more
	return nil
}
