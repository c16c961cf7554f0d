package clientcodec

import (
	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/internal/jsonscan"
	"centrifugo/protocol"
	"centrifugo/protocol/internal/protoscan"
)

// jsonReader reads messages in JSON.
type jsonReader struct {
	jsonscan.Reader
	v1      bool
	scratch *ReplyScratch // nil to allocate
}

// protoReader reads messages in Protobuf.
type protoReader struct {
	protoscan.Reader
	v1      bool
	scratch *ReplyScratch // nil to allocate
}

// orNew turns null in a list or map into an empty message, as the Protobuf
// encoding does, so that no reader has to expect a nil there.
func orNew[T any](m *T) *T {
	if m == nil {
		return new(T)
	}
	return m
}

// kindOfNumber returns KindUnknown for a number without a kind.
func kindOfNumber(kinds *kindsByNumber, num protowire.Number) protocol.MessageKind {
	if num >= protowire.Number(len(kinds)) {
		return protocol.KindUnknown
	}
	return kinds[num]
}
