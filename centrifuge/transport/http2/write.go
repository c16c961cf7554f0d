package http2

import (
	"slices"
	"sync"
)

// outgoing are buffers of the frames of one write. Larger ones are not kept.
var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

const maxKeptBuffer = 64 << 10

func putOutgoing(b *[]byte) {
	if cap(*b) <= maxKeptBuffer {
		*b = (*b)[:0]
		outgoing.Put(b)
	}
}

// writeLocked writes frames behind everything that waits. They count against no window.
func (c *conn) writeLocked(frames []byte) error {
	if c.dead || len(frames) == 0 {
		return nil
	}
	err := c.writer.Write(frames, false)
	if err != nil {
		go c.drop(err) // the caller holds locks that the ends of streams need
	}
	return err //nolint:wrapcheck // of the socket
}

// updateSize is how many bytes a client reads, at least, before it updates a window, except
// behind a frame: the client of net/http has 4 KB for it.
const updateSize = 256

// sendLocked writes a header block, if it is not nil, and of data what the windows of the
// client and the socket admit: n bytes. With end the stream ends behind all of data.
func (c *conn) sendLocked(s *stream, block, data []byte, end bool) (n int, err error) {
	for {
		part, err := c.sendPartLocked(s, block, data[n:], end)
		n += part
		if block = nil; err != nil || n == len(data) || c.admittedLocked(s, 1) == 0 {
			return n, err
		}
	}
}

// sendPartLocked does so with maxWrite bytes at most.
func (c *conn) sendPartLocked(s *stream, block, data []byte, end bool) (n int, err error) {
	n = c.admittedLocked(s, len(data))
	complete := end && n == len(data)
	buffer := outgoing.Get().(*[]byte)
	defer putOutgoing(buffer)
	b := *buffer
	if block != nil {
		b = c.appendBlockLocked(b, s, block, complete && len(data) == 0)
	}
	for rest := data[:n]; len(rest) > 0; {
		part := rest[:min(len(rest), maxFrame)]
		rest = rest[len(part):]
		flags := uint8(0)
		if complete && len(rest) == 0 {
			flags = flagEndStream
		}
		b = append(appendFrameHeader(b, len(part), kindData, flags, s.id), part...)
		c.updates += 2 + int64(len(part)/updateSize)
	}
	if complete && len(data) == 0 && block == nil {
		b = appendFrameHeader(b, 0, kindData, flagEndStream, s.id)
	}
	s.window -= int64(n)
	c.window -= int64(n)
	if complete {
		s.localEnded = true
		if !s.remoteEnded { // the rest of the request is not needed (RFC 9113 8.1)
			b = appendReset(b, s.id, codeNone)
		}
	}
	*buffer = b
	err = c.writeLocked(b)
	if complete {
		c.forgetLocked(s, nil)
	}
	return n, err
}

// appendBlockLocked appends the frames of a header block.
func (c *conn) appendBlockLocked(dst []byte, s *stream, block []byte, end bool) []byte {
	if c.tableReduced {
		c.tableReduced = false
		block = append([]byte{tableSizeZero}, block...)
	}
	return appendBlock(dst, block, s.id, end)
}

// informLocked sends a header with an informational status.
func (c *conn) informLocked(s *stream, block []byte) {
	_ = c.writeLocked(c.appendBlockLocked(nil, s, block, false)) // its error has ended the connection
}

// admittedLocked returns how many of size bytes may be sent on s now. While something waits
// for the socket, that is none: the streams take turns.
func (c *conn) admittedLocked(s *stream, size int) int {
	if c.writer.Len() > 0 {
		return 0
	}
	return int(max(min(int64(size), s.window, c.window, maxWrite), 0))
}

// awaitLocked makes wake tell s when it can send.
func (c *conn) awaitLocked(s *stream) {
	if !s.waits {
		s.waits = true
		c.waiting = append(c.waiting, s)
	}
	if c.admittedLocked(s, 1) > 0 {
		go c.wake() // it became able to meanwhile, and the caller holds its lock
	}
}

func (c *conn) dismissLocked(s *stream) {
	if s.waits {
		s.waits = false
		c.waiting = slices.DeleteFunc(c.waiting, func(other *stream) bool { return other == s })
	}
}

// wake lets streams go on that wait and can send now. Calls of a transport do not overlap:
// one that comes meanwhile makes the first go on.
func (c *conn) wake() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wakeAgain = true; c.waking {
		return
	}
	c.waking = true
	for c.wakeAgain {
		c.wakeAgain = false
		c.wakeLocked()
	}
	c.waking = false
}

// wakeLocked does so, for each stream once at most. A stream of a transport remains in turn
// until it is dismissed.
func (c *conn) wakeLocked() {
	for range len(c.waiting) {
		i := slices.IndexFunc(c.waiting, func(s *stream) bool { return c.admittedLocked(s, 1) > 0 })
		if i < 0 {
			return
		}
		s := c.waiting[i]
		c.dismissLocked(s)
		if s.taken != nil {
			s.waits = true
			c.waiting = append(c.waiting, s)
		}
		c.mu.Unlock()
		s.writable()
		c.mu.Lock()
	}
}
