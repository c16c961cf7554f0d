package protocol

import (
	"math"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"
)

// protoReader reads Protobuf. After an error all its methods return zero values, so
// that a caller needs to look at err once, at the end.
//
// It refuses input that no encoder writes, although the standard allows it: a known
// field with the wrong wire type, an integer that does not fit its field, invalid
// UTF-8 in a string, and groups. If a message field occurs twice, the last one
// replaces the first; they are not merged.
//
// Positions in the message are indexes, not slices, because writing pointers is
// slower while the garbage collector runs.
type protoReader struct {
	b            []byte
	at           span // rest of the innermost message
	depth        int
	maxDepth     int
	elements     int // list elements and map entries still allowed
	v1           bool
	scratch      *RequestScratch // nil to allocate
	replyScratch *ReplyScratch   // nil to allocate
	err          error

	// The field that was read last.
	num   protowire.Number
	typ   protowire.Type
	value uint64 // of a varint
	data  span   // of a length-delimited field
}

// A span is a range of the message.
type span struct{ i, end int }

func newProtoReader(b []byte, l Limits) protoReader {
	return protoReader{b: b, data: span{0, len(b)}, typ: protowire.BytesType, maxDepth: l.depth(), elements: l.elements()}
}

func (r *protoReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = span{}
}

// enter begins to read the message in data and returns what exit needs.
func (r *protoReader) enter() (outer span) {
	outer = r.at
	switch {
	case r.typ != protowire.BytesType:
		r.fail(ErrMalformed)
	case r.depth >= r.maxDepth:
		r.fail(ErrDepth)
	case r.err == nil:
		r.at = r.data
	}
	r.depth++
	return outer
}

func (r *protoReader) exit(outer span) {
	r.depth--
	if r.err == nil {
		r.at = outer
	}
}

// revisit makes an earlier length-delimited field the current one.
func (r *protoReader) revisit(data span) { r.typ, r.data = protowire.BytesType, data }

// varintOf reads a varint from the front of b; n is negative on error.
func varintOf(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// field reads the next field of the innermost message. It returns false after the
// last field. The caller ignores a field that it does not know.
func (r *protoReader) field() bool {
	i, end := r.at.i, r.at.end
	if i >= end {
		return false
	}
	// Nearly all fields have a tag and a value, or a length, of one byte each.
	if b := r.b[i:end]; len(b) >= 2 && b[0]|b[1] < 0x80 && b[0] >= 1<<3 {
		switch typ := protowire.Type(b[0] & 7); typ {
		case protowire.VarintType:
			r.num, r.typ, r.value = protowire.Number(b[0]>>3), typ, uint64(b[1])
			r.at.i = i + 2
			return true
		case protowire.BytesType:
			if n := int(b[1]); n <= len(b)-2 {
				r.num, r.typ, r.data = protowire.Number(b[0]>>3), typ, span{i + 2, i + 2 + n}
				r.at.i = i + 2 + n
				return true
			}
		}
	}
	return r.longField()
}

// longField is field for tags, values and lengths of any size.
func (r *protoReader) longField() bool {
	rest := r.b[r.at.i:r.at.end]
	tag, n := varintOf(rest)
	if n < 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		r.fail(ErrMalformed)
		return false
	}
	r.num, r.typ = protowire.Number(tag>>3), protowire.Type(tag&7)
	r.at.i += n
	rest = rest[n:]
	switch r.typ {
	case protowire.VarintType:
		r.value, n = varintOf(rest)
	case protowire.BytesType:
		var size uint64
		size, n = varintOf(rest)
		if n >= 0 && size <= uint64(len(rest)-n) {
			start := r.at.i + n
			n += int(size)
			r.data = span{start, r.at.i + n}
		} else {
			n = -1
		}
	case protowire.Fixed32Type:
		_, n = protowire.ConsumeFixed32(rest)
	case protowire.Fixed64Type:
		_, n = protowire.ConsumeFixed64(rest)
	default: // groups, and types that do not exist
		n = -1
	}
	if n < 0 {
		r.fail(ErrMalformed)
		return false
	}
	r.at.i += n
	return true
}

func (r *protoReader) skipFields() {
	for r.field() {
	}
}

func (r *protoReader) count() {
	if r.elements <= 0 {
		r.fail(ErrElements)
		return
	}
	r.elements--
}

// raw returns a slice of the input.
func (r *protoReader) raw() Raw {
	if r.typ != protowire.BytesType {
		r.fail(ErrMalformed)
		return nil
	}
	return Raw(r.b[r.data.i:r.data.end:r.data.end])
}

func (r *protoReader) str() string {
	i, end := r.data.i, r.data.end
	if r.typ != protowire.BytesType || !utf8.Valid(r.b[i:end]) {
		r.fail(ErrMalformed)
		return ""
	}
	return view(r.b[i:end])
}

// place returns the position of a message field, for revisit.
func (r *protoReader) place() span {
	if r.typ != protowire.BytesType {
		r.fail(ErrMalformed)
	}
	return r.data
}

func (r *protoReader) uint64() uint64 {
	if r.typ != protowire.VarintType {
		r.fail(ErrMalformed)
		return 0
	}
	return r.value
}

func (r *protoReader) uint32() uint32 {
	v := r.uint64()
	if v > math.MaxUint32 {
		r.fail(ErrMalformed)
		return 0
	}
	return uint32(v)
}

func (r *protoReader) int32() int32 {
	v := int64(r.uint64())
	if v != int64(int32(v)) {
		r.fail(ErrMalformed)
		return 0
	}
	return int32(v)
}

func (r *protoReader) bool() bool { return r.uint64() != 0 }

// entry reads a map entry and returns its key. The value becomes the current field;
// a missing value is empty.
func (r *protoReader) entry() (key string) {
	r.count()
	outer := r.enter()
	var value span
	for r.field() {
		switch r.num {
		case 1:
			key = r.str()
		case 2:
			value = r.place()
		}
	}
	r.exit(outer)
	r.revisit(value)
	return key
}

func (r *protoReader) strEntry(m *map[string]string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	k := r.entry()
	(*m)[k] = r.str()
}
