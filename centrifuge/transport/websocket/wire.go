package websocket

import (
	"slices"
	"sync"
	"sync/atomic"

	"centrifugo/protocol"
)

// prebuilt is a frame of the protocol as a WebSocket message. It is cached with
// the frame and shared by every connection of the frame's format.
type prebuilt struct {
	// Static after construction.
	plain   []byte
	payload []byte // the part of plain behind the header

	// deflated is the compressed message, empty where compression gains nothing;
	// nil before somebody needs it.
	deflated atomic.Pointer[[]byte]
	mu       sync.Mutex // held while deflated is made
}

// buildText and buildBinary are functions without a closure: Frame.Wire calls
// them for the first connection only, the others must not pay for it.
func buildText(message []byte) any   { return newPrebuilt(message, false) }
func buildBinary(message []byte) any { return newPrebuilt(message, true) }

func newPrebuilt(message []byte, protobuf bool) *prebuilt {
	plain := appendJoined(nil, []*protocol.Encoded{{Bytes: message}}, protobuf)
	return &prebuilt{plain: plain, payload: serverPayload(plain)}
}

// prebuiltOf returns nil if something else cached its own form with f: then f
// is encoded like one that nobody shares.
func prebuiltOf(f *protocol.Encoded, protobuf bool) *prebuilt {
	build := buildText
	if protobuf {
		build = buildBinary
	}
	p, _ := f.Wire(build).(*prebuilt)
	return p
}

// shared reports whether f is likely to be sent by more than one connection, so
// that a prebuilt form pays. Replies go to one.
func shared(f *protocol.Encoded) bool {
	return f.Kind >= protocol.KindPushConnect || f.Kind == protocol.KindPing || f.Kind == protocol.KindUnknown
}

func firstByte(protobuf bool) byte {
	if protobuf {
		return bitFin | opBinary
	}
	return bitFin | opText
}

// appendJoined appends batch as one message (client-protocol 3.2). An empty
// batch adds nothing.
func appendJoined(dst []byte, batch []*protocol.Encoded, protobuf bool) []byte {
	if len(batch) == 0 {
		return dst
	}
	var format protocol.Format
	if protobuf {
		format = protocol.FormatProtobuf
	}
	size := protocol.BatchSize(format, batch)
	dst = slices.Grow(dst, maxServerHeader+size)
	return protocol.AppendBatch(appendHeader(dst, firstByte(protobuf), size), format, batch)
}

// outgoing are buffers in which messages are joined.
var outgoing = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// maxKeptOutgoing bounds a buffer that goes back to the pool. Large batches are
// copied too: to write 180 KB costs 160 µs, the copy 2.3 of them, and neither
// writev nor a write for each large frame was measurably better.
const maxKeptOutgoing = 256 << 10

func putOutgoing(b *[]byte) {
	if cap(*b) <= maxKeptOutgoing {
		*b = (*b)[:0]
		outgoing.Put(b)
	}
}
