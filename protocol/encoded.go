package protocol

import (
	"sync"
	"sync/atomic"
)

// Encoded is one encoded message. It is immutable, and every connection that
// sends the message shares it. It is safe for concurrent use.
type Encoded struct {
	// Bytes is the message without framing: one line of JSON without newline,
	// or one Protobuf message without length prefix.
	Bytes []byte
	// Kind says what the message is, for counters.
	Kind MessageKind
	// Label is the number of the label under which the message is counted, zero for none.
	// Numbers are those of the node that sends the message.
	Label uint16
	// Started says when the application got what became the message: microseconds on the clock
	// of the node that sends it, modulo 2^32. It is zero if the latency is not measured.
	Started uint32
	// Moves are the positions that the client has with the message and did not have
	// before it, for a transport that lets clients keep them; nil for none. Only
	// messages of unidirectional connections have any: other clients read them in
	// the message.
	Moves *Move

	building sync.Mutex // held while a form is built
	wire     [numWireForms]atomic.Pointer[WireMessage]
}

// Move is a change of the position of one subscription (protocol.md 6.3). It is
// immutable.
type Move struct {
	Channel string
	Epoch   string
	Offset  uint64
	Kind    MoveKind
	Next    *Move // another one of the same message; nil for none
}

// MoveKind says what a Move is.
type MoveKind uint8

const (
	// MoveOn is a later position of a subscription that may have begun or not: what is
	// not recoverable has not.
	MoveOn MoveKind = iota
	// MoveBegin is the first position of a subscription that can be recovered.
	MoveBegin
	// MoveEnd is the end of a subscription, which has no position.
	MoveEnd
)

// WireForm is a way to frame an encoded message for a transport. The set is
// closed because each form takes a word of every Encoded.
type WireForm uint8

const (
	// WireWebSocket is a WebSocket message (RFC 6455): text for JSON, binary for
	// Protobuf.
	WireWebSocket WireForm = iota
	// WireStream is an element of a byte stream: a line of JSON, or a Protobuf
	// message behind its length.
	WireStream
	// WireEvent is a server-sent event, which exists for JSON only.
	WireEvent
	numWireForms

	// WireGRPC is a message of a gRPC stream, which exists for Protobuf only, so it
	// shares the word of WireEvent.
	WireGRPC = WireEvent
)

// Wire returns e in a form. The first call for a form gets it from build and
// keeps it; later calls take no lock. It is safe for concurrent use. All calls
// for one form must pass an equal build, which must not call Wire.
func (e *Encoded) Wire(form WireForm, build func(message []byte) *WireMessage) *WireMessage {
	if m := e.wire[form].Load(); m != nil {
		return m
	}
	return e.buildWire(form, build)
}

func (e *Encoded) buildWire(form WireForm, build func(message []byte) *WireMessage) *WireMessage {
	e.building.Lock()
	defer e.building.Unlock()
	if m := e.wire[form].Load(); m != nil {
		return m
	}
	m := build(e.Bytes)
	e.wire[form].Store(m)
	return m
}

// WireMessage is an encoded message with the framing of a transport. It is
// immutable, and safe for concurrent use.
type WireMessage struct {
	// Bytes is the whole message.
	Bytes []byte
	// Header is the length of the framing in front of the message.
	Header int

	compressing sync.Mutex // held while compressed is made
	compressed  atomic.Pointer[[]byte]
}

// Compressor compresses wire messages. It must be safe for concurrent use.
type Compressor interface {
	// Compress returns m as a compressed message with framing, or nil if that is
	// not smaller than m.
	Compress(m *WireMessage) []byte
}

// Compressed returns m as c compresses it, or an empty slice if that is not
// smaller. The first call compresses and keeps the result, whichever c the later
// calls pass; they take no lock. It is safe for concurrent use.
func (m *WireMessage) Compressed(c Compressor) []byte {
	if b := m.compressed.Load(); b != nil {
		return *b
	}
	m.compressing.Lock()
	defer m.compressing.Unlock()
	if b := m.compressed.Load(); b != nil {
		return *b
	}
	b := c.Compress(m)
	m.compressed.Store(&b)
	return b
}
