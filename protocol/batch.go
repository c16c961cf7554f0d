package protocol

import "google.golang.org/protobuf/encoding/protowire"

// AppendBatch appends frames as one transport message: JSON joined by
// newlines, without one at the end; Protobuf each behind its length. It does
// not allocate when dst has room for [BatchSize].
func AppendBatch(dst []byte, f Format, frames []*Encoded) []byte {
	for i, frame := range frames {
		switch {
		case f.Protobuf():
			dst = protowire.AppendVarint(dst, uint64(len(frame.Bytes)))
		case i > 0:
			dst = append(dst, '\n')
		}
		dst = append(dst, frame.Bytes...)
	}
	return dst
}

// BatchSize returns the number of bytes that [AppendBatch] appends.
func BatchSize(f Format, frames []*Encoded) int {
	size := 0
	for _, frame := range frames {
		size += len(frame.Bytes)
		if f.Protobuf() {
			size += protowire.SizeVarint(uint64(len(frame.Bytes)))
		}
	}
	if !f.Protobuf() && len(frames) > 1 {
		size += len(frames) - 1
	}
	return size
}
