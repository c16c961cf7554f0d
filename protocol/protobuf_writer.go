package protocol

import (
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoWriter appends Protobuf.
type protoWriter struct {
	b        []byte
	v1       bool
	internal bool // also write the fields that only brokers see
}

// A nested is the position of an unfinished message: its start, and the number of
// bytes before it that are reserved for its length.
type nested struct{ start, width int }

func (w *protoWriter) tag(num protowire.Number, typ protowire.Type) {
	if num < 16 {
		w.b = append(w.b, byte(num)<<3|byte(typ))
		return
	}
	w.b = protowire.AppendTag(w.b, num, typ)
}

func (w *protoWriter) varint(v uint64) {
	if v < 0x80 {
		w.b = append(w.b, byte(v))
		return
	}
	w.b = protowire.AppendVarint(w.b, v)
}

// open begins a message field, and close ends it. open reserves one byte for the
// length; close moves a message whose length needs more. That is cheaper than
// computing the sizes of all messages first.
func (w *protoWriter) open(num protowire.Number) nested { return w.openSized(num, 0) }

// openSized is open with an estimate of the length, which avoids the move.
func (w *protoWriter) openSized(num protowire.Number, guess int) nested {
	tag := byte(num)<<3 | byte(protowire.BytesType)
	switch {
	case num < 16 && guess < 0x80:
		w.b = append(w.b, tag, 0)
		return nested{start: len(w.b), width: 1}
	case num < 16 && guess < 0x4000:
		w.b = append(w.b, tag, 0, 0)
		return nested{start: len(w.b), width: 2}
	}
	w.tag(num, protowire.BytesType)
	width := protowire.SizeVarint(uint64(guess))
	w.b = append(w.b, make([]byte, width)...)
	return nested{start: len(w.b), width: width}
}

func (w *protoWriter) close(at nested) {
	n := len(w.b) - at.start
	switch {
	case n < 0x80 && at.width == 1:
		w.b[at.start-1] = byte(n)
	case n >= 0x80 && n < 0x4000 && at.width == 2:
		w.b[at.start-2] = byte(n) | 0x80
		w.b[at.start-1] = byte(n >> 7)
	default:
		w.closeMoved(at, n)
	}
}

// closeMoved is close for a message of n bytes whose estimate was wrong.
func (w *protoWriter) closeMoved(at nested, n int) {
	width := protowire.SizeVarint(uint64(n))
	start := at.start - at.width + width
	if start > at.start {
		w.b = append(w.b, make([]byte, start-at.start)...)
	}
	copy(w.b[start:], w.b[at.start:at.start+n])
	w.b = w.b[:start+n]
	protowire.AppendVarint(w.b[:start-width], uint64(n))
}

func (w *protoWriter) str(num protowire.Number, v string) {
	if v != "" {
		w.strAlways(num, v)
	}
}

// strAlways writes U+FFFD in place of invalid UTF-8. Strings of proto3 are UTF-8,
// and clients refuse a message with another one.
func (w *protoWriter) strAlways(num protowire.Number, v string) {
	if !utf8.ValidString(v) {
		v = strings.ToValidUTF8(v, "\uFFFD")
	}
	w.length(num, len(v))
	w.b = append(w.b, v...)
}

// length begins a field of n bytes.
func (w *protoWriter) length(num protowire.Number, n int) {
	tag := byte(num)<<3 | byte(protowire.BytesType)
	switch {
	case num < 16 && n < 0x80:
		w.b = append(w.b, tag, byte(n))
	case num < 16 && n < 0x4000:
		w.b = append(w.b, tag, byte(n)|0x80, byte(n>>7))
	default:
		w.tag(num, protowire.BytesType)
		w.b = protowire.AppendVarint(w.b, uint64(n))
	}
}

func (w *protoWriter) raw(num protowire.Number, v Raw) {
	if len(v) != 0 {
		w.length(num, len(v))
		w.b = append(w.b, v...)
	}
}

func (w *protoWriter) uint(num protowire.Number, v uint64) {
	if v != 0 {
		w.uintAlways(num, v)
	}
}

// uintAlways is not inlined, so that the test for zero in uint is.
//
//go:noinline
func (w *protoWriter) uintAlways(num protowire.Number, v uint64) {
	w.tag(num, protowire.VarintType)
	w.varint(v)
}

func (w *protoWriter) bool(num protowire.Number, v bool) {
	if v {
		w.uintAlways(num, 1)
	}
}

func (w *protoWriter) strs(num protowire.Number, list []string) {
	for _, v := range list {
		w.strAlways(num, v)
	}
}

func (w *protoWriter) strMap(num protowire.Number, m map[string]string) {
	for k, v := range m {
		at := w.open(num)
		w.str(1, k)
		w.str(2, v)
		w.close(at)
	}
}

// publicationSize estimates the encoded size of a publication.
func publicationSize(p *Publication) int {
	if p == nil {
		return 0
	}
	size := len(p.Data) + 6
	if p.Info != nil {
		size += len(p.Info.User) + len(p.Info.Client) + len(p.Info.ConnInfo) + len(p.Info.ChanInfo) + 8
	}
	return size
}

// publicationsSize estimates the size of a list in either encoding.
func publicationsSize(list []*Publication) int {
	size := 0
	for _, p := range list {
		size += publicationSize(p) + 48
	}
	return size
}
