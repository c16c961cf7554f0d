package protocol

import "google.golang.org/protobuf/encoding/protowire"

// AppendBatch appends messages as one transport message. JSON messages are
// separated by newlines, without one at the end; each Protobuf message follows its
// length. AppendBatch does not allocate if dst has the capacity for [BatchSize].
func AppendBatch(dst []byte, f Format, messages []*Encoded) []byte {
	for i, m := range messages {
		switch {
		case f.Protobuf():
			dst = protowire.AppendVarint(dst, uint64(len(m.Bytes)))
		case i > 0:
			dst = append(dst, '\n')
		}
		dst = append(dst, m.Bytes...)
	}
	return dst
}

// BatchSize returns the number of bytes that [AppendBatch] appends.
func BatchSize(f Format, messages []*Encoded) int {
	size := 0
	for _, m := range messages {
		size += len(m.Bytes)
		if f.Protobuf() {
			size += protowire.SizeVarint(uint64(len(m.Bytes)))
		}
	}
	if !f.Protobuf() && len(messages) > 1 {
		size += len(messages) - 1
	}
	return size
}
