package httpstream

import (
	"slices"
	"strconv"
	"sync"

	"centrifugo/protocol"

	"google.golang.org/protobuf/encoding/protowire"
)

// framing is how messages become the bytes of a response body.
type framing struct {
	wire     Wire
	protobuf bool
	// chunked is set for HTTP/1.1 connections that are taken over: what is written
	// together is a chunk (RFC 9112, 7.1).
	chunked bool
}

// The parts of a server-sent event.
const (
	eventPrefix = "data: "
	eventSuffix = "\n\n"
)

// opening is the beginning of a body of events: it makes proxies and clients that wait
// for the first byte pass on the response.
const opening = "\r\n"

// lastChunk ends a chunked body.
const lastChunk = "0\r\n\r\n"

// size returns the number of bytes of a message in the body.
func (f framing) size(m *protocol.Encoded) int {
	switch {
	case f.wire == Events:
		return len(eventPrefix) + len(m.Bytes) + len(eventSuffix)
	case f.protobuf:
		return protowire.SizeVarint(uint64(len(m.Bytes))) + len(m.Bytes)
	}
	return len(m.Bytes) + 1
}

// appendMessage appends a message as it is in the body.
func (f framing) appendMessage(dst []byte, message []byte) []byte {
	switch {
	case f.wire == Events:
		return append(append(append(dst, eventPrefix...), message...), eventSuffix...)
	case f.protobuf:
		return append(protowire.AppendVarint(dst, uint64(len(message))), message...)
	}
	return append(append(dst, message...), '\n')
}

// appendBatch appends messages, in one chunk if the body is chunked. A line in front of the
// last event, which has its id, may be empty. The client takes the id when it has the whole
// event: what it has not received completely it gets again.
func (f framing) appendBatch(dst []byte, batch []*protocol.Encoded, idLine []byte) []byte {
	size := len(idLine)
	for _, m := range batch {
		size += f.size(m)
	}
	if size == 0 {
		return dst
	}
	dst = slices.Grow(dst, size+chunkOverhead)
	dst = f.appendChunkHeader(dst, size)
	for i, m := range batch {
		if i == len(batch)-1 {
			dst = append(dst, idLine...)
		}
		dst = f.appendMessage(dst, m.Bytes)
	}
	return f.appendChunkEnd(dst)
}

// chunkOverhead is the most that a chunk adds to its content: the size in hexadecimal and
// two line ends.
const chunkOverhead = 16 + 4

func (f framing) appendChunkHeader(dst []byte, size int) []byte {
	if !f.chunked {
		return dst
	}
	return append(strconv.AppendInt(dst, int64(size), 16), "\r\n"...)
}

func (f framing) appendChunkEnd(dst []byte) []byte {
	if !f.chunked {
		return dst
	}
	return append(dst, "\r\n"...)
}

// shared returns the bytes of m that all connections of a wire and an encoding write for
// a message that several of them get.
func (f framing) shared(m *protocol.Encoded) []byte {
	w := m.Wire(f.form())
	if f.chunked {
		return w.Bytes
	}
	return w.Bytes[w.Header : len(w.Bytes)-len("\r\n")]
}

// form returns the form of messages and the function that builds it, for Encoded.Wire.
// The functions are no closures, so that a call does not allocate when the form is built.
func (f framing) form() (protocol.WireForm, func([]byte) *protocol.WireMessage) {
	switch {
	case f.wire == Events:
		return protocol.WireEvent, buildEvent
	case f.protobuf:
		return protocol.WireStream, buildProtobuf
	}
	return protocol.WireStream, buildLine
}

func buildEvent(message []byte) *protocol.WireMessage {
	return framing{wire: Events, chunked: true}.build(message)
}

func buildLine(message []byte) *protocol.WireMessage { return framing{chunked: true}.build(message) }

func buildProtobuf(message []byte) *protocol.WireMessage {
	return framing{protobuf: true, chunked: true}.build(message)
}

func (f framing) build(message []byte) *protocol.WireMessage {
	m := &protocol.Encoded{Bytes: message}
	size := f.size(m)
	whole := f.appendChunkHeader(make([]byte, 0, size+chunkOverhead), size)
	header := len(whole)
	return &protocol.WireMessage{Bytes: f.appendChunkEnd(f.appendMessage(whole, message)), Header: header}
}

// manyGet reports whether several connections are likely to send m, so that it is worth
// keeping its bytes. A reply goes to one connection.
func manyGet(m *protocol.Encoded) bool {
	return m.Kind >= protocol.KindPushConnect || m.Kind == protocol.KindPing || m.Kind == protocol.KindUnknown
}

// outgoing holds buffers for joining messages.
var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxKeptOutgoing is the largest capacity of a buffer that returns to the pool, in bytes.
const maxKeptOutgoing = 256 << 10

func putOutgoing(b *[]byte) {
	if cap(*b) <= maxKeptOutgoing {
		*b = (*b)[:0]
		outgoing.Put(b)
	}
}
