package protocol

import "centrifugo/protocol/internal/protoscan"

// protoReader reads messages in Protobuf.
type protoReader struct {
	protoscan.Reader
	v1      bool
	scratch *RequestScratch // nil to allocate
}

func newProtoReader(b []byte, l Limits) (r protoReader) {
	r.Init(b, l.depth(), l.elements())
	return r
}
