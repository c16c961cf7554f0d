package websocket

import (
	"slices"
	"sync"

	"centrifugo/protocol"
)

// messageOf returns f as one WebSocket message, which all connections of f's format share.
func messageOf(f *protocol.Encoded, protobuf bool) *protocol.WireMessage {
	build := buildText
	if protobuf {
		build = buildBinary
	}
	return f.Wire(protocol.WireWebSocket, build)
}

// buildText and buildBinary are not closures, so that a call of Wire does not
// allocate for the connections that find the message built.
func buildText(message []byte) *protocol.WireMessage   { return buildMessage(message, false) }
func buildBinary(message []byte) *protocol.WireMessage { return buildMessage(message, true) }

func buildMessage(message []byte, protobuf bool) *protocol.WireMessage {
	whole := appendJoined(nil, []*protocol.Encoded{{Bytes: message}}, protobuf)
	return &protocol.WireMessage{Bytes: whole, Header: len(whole) - len(serverPayload(whole))}
}

// shared reports whether f is likely to be sent by more than one connection, so
// that a message built once pays. Replies go to one.
func shared(f *protocol.Encoded) bool {
	return f.Kind >= protocol.KindPushConnect || f.Kind == protocol.KindPing || f.Kind == protocol.KindUnknown
}

func firstByte(protobuf bool) byte {
	if protobuf {
		return bitFin | opBinary
	}
	return bitFin | opText
}

// appendJoined appends batch as one message (protocol.md 3.2). An empty
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
