package protocol

import "centrifugo/internal/jsonscan"

// jsonReader reads messages in JSON.
type jsonReader struct {
	jsonscan.Reader
	v1      bool
	scratch *RequestScratch // nil to allocate
}

func newJSONReader(b []byte, l Limits) jsonReader {
	return jsonReader{Reader: jsonscan.NewReader(b, l.depth(), l.elements())}
}

// orNew turns null in a list or map into an empty message, as the Protobuf
// encoding does, so that no reader has to expect a nil there.
func orNew[T any](m *T) *T {
	if m == nil {
		return new(T)
	}
	return m
}
