package websocket

import (
	"sync"

	"github.com/gobwas/ws"
)

// eventKind is the kind of event that a frame, or the last frame of a message, makes.
type eventKind uint8

const (
	eventNone eventKind = iota // more bytes are needed
	eventMessage
	eventPing
	eventPong
	eventClose
)

// event is a whole message or control frame.
type event struct {
	kind       eventKind
	text       bool // of a message: to be checked as UTF-8
	compressed bool // of a message: to be inflated first
	payload    []byte
}

// reader turns the bytes of one connection, in pieces of any size, into events. It
// allocates only while a frame or a message is incomplete.
type reader struct {
	partial *partial
}

// partial is an incomplete header, frame or message, or several of them.
type partial struct {
	header     [maxHeaderSize]byte
	headerSize uint8 // received bytes of the header
	inFrame    bool  // frame is being read
	inMessage  bool  // message has begun and its last frame is not complete

	frame header
	got   int64 // received bytes of the frame's payload

	first   byte // first byte of the message's first frame
	frames  int  // frames of the message so far
	message []byte
	control []byte // payload of a control frame, in an array of 125
}

var partials = sync.Pool{New: func() any { return &partial{control: make([]byte, 0, maxControlSize)} }}

// maxKeptMessage bounds the buffer that goes back to the pool with a partial.
const maxKeptMessage = 64 << 10

// rules are what a connection has negotiated.
type rules struct {
	limit   int64 // bytes of a message as received, over all of its frames
	frames  int   // in one message, zero for any number
	deflate bool  // RSV1 is allowed
}

// next reads at most one event from b and returns the bytes behind it. The payload is
// unmasked in place and valid until recycle, which must be called before the next call
// of next.
func (r *reader) next(b []byte, rules rules) (e event, rest []byte, bad *CloseError) {
	for len(b) > 0 {
		if r.partial == nil || !r.partial.inFrame {
			h, rest, ok, bad := r.takeHeader(b)
			if bad != nil {
				return event{}, nil, bad
			}
			b = rest
			if !ok {
				break
			}
			if bad := r.check(&h, rules); bad != nil {
				return event{}, nil, bad
			}
			if int64(len(b)) >= h.length && (r.partial == nil || h.control()) {
				payload := b[:h.length]
				b = b[h.length:]
				ws.Cipher(payload, h.mask, 0)
				if h.fin() {
					return wholeEvent(h.first, payload), b, nil
				}
				r.beginMessage(h.first, payload)
				continue
			}
			p := r.need()
			p.begin(h)
		}
		var whole bool
		if b, whole = r.partial.take(b); !whole {
			break
		}
		if e := r.partial.endFrame(); e.kind != eventNone {
			return e, b, nil
		}
	}
	return event{}, nil, nil
}

// recycle releases what is not needed after an event.
func (r *reader) recycle() {
	p := r.partial
	if p == nil {
		return
	}
	if p.inFrame {
		return
	}
	p.control = p.control[:0]
	if p.inMessage || p.headerSize > 0 {
		return
	}
	r.partial = nil
	p.message = p.message[:0]
	if cap(p.message) > maxKeptMessage {
		p.message = nil
	}
	partials.Put(p)
}

func (r *reader) need() *partial {
	if r.partial == nil {
		r.partial = partials.Get().(*partial)
	}
	return r.partial
}

// takeHeader takes a header from b, or the received part of it.
func (r *reader) takeHeader(b []byte) (h header, rest []byte, ok bool, bad *CloseError) {
	p := r.partial
	if p == nil || p.headerSize == 0 {
		h, n, bad := parseHeader(b)
		if bad != nil || n > 0 {
			return h, b[n:], n > 0, bad
		}
		p = r.need()
		p.headerSize = uint8(copy(p.header[:], b))
		return h, nil, false, nil
	}
	had := int(p.headerSize)
	size := had + copy(p.header[had:], b)
	h, n, bad := parseHeader(p.header[:size])
	if bad != nil {
		return h, nil, false, bad
	}
	if n == 0 {
		p.headerSize = uint8(size)
		return h, nil, false, nil
	}
	p.headerSize = 0
	return h, b[n-had:], true, nil
}

// check applies the rules that concern only the header.
func (r *reader) check(h *header, rules rules) *CloseError {
	inMessage := r.partial != nil && r.partial.inMessage
	opcode := h.opcode()
	if h.first&0x30 != 0 {
		return violation("reserved bit is set")
	}
	if h.compressed() && (!rules.deflate || opcode != opText && opcode != opBinary) {
		return violation("frame must not be compressed")
	}
	switch opcode {
	case opClose, opPing, opPong:
		if !h.fin() {
			return violation("control frame is fragmented")
		}
		if h.length > maxControlSize {
			return violation("control frame is too long")
		}
		return nil
	case opContinuation:
		if !inMessage {
			return violation("continuation of nothing")
		}
	case opText, opBinary:
		if inMessage {
			return violation("message within a message")
		}
	default:
		return violation("opcode is unknown")
	}
	left, frames := rules.limit, 1
	if inMessage {
		left -= int64(len(r.partial.message)) // neither is negative, so this cannot wrap
		frames += r.partial.frames
	}
	// The declared length is compared and never added to: it may be anything.
	if h.length > left {
		return &CloseError{closeTooBig, "message is too big"}
	}
	if rules.frames > 0 && frames > rules.frames {
		return &CloseError{closePolicy, "message has too many fragments"}
	}
	return nil
}

// beginMessage keeps the first frame of a fragmented message.
func (r *reader) beginMessage(first byte, payload []byte) {
	p := r.need()
	p.inMessage, p.first, p.frames = true, first, 1
	p.message = append(p.message[:0], payload...)
}

// begin starts a frame that is incomplete or that continues a message.
func (p *partial) begin(h header) {
	p.frame, p.got, p.inFrame = h, 0, true
	switch {
	case h.control():
	case p.inMessage:
		p.frames++
	default:
		p.inMessage, p.first, p.frames = true, h.first, 1
		p.message = p.message[:0]
	}
}

// take moves bytes of the current frame from b. It reports whether the frame is complete.
func (p *partial) take(b []byte) (rest []byte, whole bool) {
	piece := b[:min(int64(len(b)), p.frame.length-p.got)]
	ws.Cipher(piece, p.frame.mask, int(p.got%4))
	p.got += int64(len(piece))
	if p.frame.control() {
		p.control = append(p.control, piece...)
	} else {
		p.message = append(p.message, piece...)
	}
	return b[len(piece):], p.got == p.frame.length
}

// endFrame returns the event of a complete frame, if it makes one.
func (p *partial) endFrame() event {
	p.inFrame = false
	if p.frame.control() {
		return wholeEvent(p.frame.first, p.control)
	}
	if !p.frame.fin() {
		return event{}
	}
	p.inMessage = false
	return wholeEvent(p.first, p.message)
}

var eventKinds = [16]eventKind{
	opText: eventMessage, opBinary: eventMessage, opPing: eventPing, opPong: eventPong, opClose: eventClose,
}

func wholeEvent(first byte, payload []byte) event {
	return event{
		kind: eventKinds[first&0x0F], text: first&0x0F == opText, compressed: first&bitRSV1 != 0, payload: payload,
	}
}
