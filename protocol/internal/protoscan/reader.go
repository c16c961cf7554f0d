// Package protoscan reads Protobuf messages field by field, without descriptors and
// without copies. It knows no messages.
package protoscan

import (
	"math"
	"unicode/utf8"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/internal/jsonscan"
)

// Reader reads Protobuf. After an error all its methods return zero values, so
// that a caller needs to look at Err once, at the end.
//
// It refuses input that no encoder writes, although the standard allows it: a known
// field with the wrong wire type, an integer that does not fit its field, invalid
// UTF-8 in a string, and groups. If a message field occurs twice, the last one
// replaces the first; they are not merged.
//
// Positions in the message are indexes, not slices, because writing pointers is
// slower while the garbage collector runs.
type Reader struct {
	b        []byte
	at       Span // rest of the innermost message
	depth    int
	maxDepth int
	elements int // list elements and map entries still allowed
	err      error

	// Num is the number of the field that was read last.
	Num   protowire.Number
	typ   protowire.Type
	value uint64 // of a varint
	data  Span   // of a length-delimited field
}

// A Span is a range of the message.
type Span struct{ i, end int }

// Init makes r read the message b, which Enter enters. Messages nest no deeper than
// depth; elements bounds the list elements and map entries. r must be zero.
func (r *Reader) Init(b []byte, depth, elements int) {
	r.b = b
	r.data = Span{0, len(b)}
	r.typ = protowire.BytesType
	r.maxDepth = depth
	r.elements = elements
}

// Err returns the first error.
func (r *Reader) Err() error { return r.err }

// Fail sets the error, unless there is one already, and ends the reading.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.at = Span{}
}

// Enter begins to read the message in the current field, or the whole message, and
// returns what Exit needs.
func (r *Reader) Enter() (outer Span) {
	outer = r.at
	switch {
	case r.typ != protowire.BytesType:
		r.Fail(jsonscan.ErrMalformed)
	case r.depth >= r.maxDepth:
		r.Fail(jsonscan.ErrDepth)
	case r.err == nil:
		r.at = r.data
	}
	r.depth++
	return outer
}

// Exit returns to the message around the one that Enter began.
func (r *Reader) Exit(outer Span) {
	r.depth--
	if r.err == nil {
		r.at = outer
	}
}

// Revisit makes an earlier length-delimited field the current one.
func (r *Reader) Revisit(data Span) { r.typ, r.data = protowire.BytesType, data }

// Varint reads a varint from the front of b; n is negative on error.
func Varint(b []byte) (v uint64, n int) {
	if len(b) > 0 && b[0] < 0x80 {
		return uint64(b[0]), 1
	}
	return protowire.ConsumeVarint(b)
}

// Field reads the next field of the innermost message. It returns false after the
// last field. The caller ignores a field that it does not know.
func (r *Reader) Field() bool {
	i, end := r.at.i, r.at.end
	if i >= end {
		return false
	}
	// Nearly all fields have a tag and a value, or a length, of one byte each.
	if b := r.b[i:end]; len(b) >= 2 && b[0]|b[1] < 0x80 && b[0] >= 1<<3 {
		switch typ := protowire.Type(b[0] & 7); typ {
		case protowire.VarintType:
			r.Num, r.typ, r.value = protowire.Number(b[0]>>3), typ, uint64(b[1])
			r.at.i = i + 2
			return true
		case protowire.BytesType:
			if n := int(b[1]); n <= len(b)-2 {
				r.Num, r.typ, r.data = protowire.Number(b[0]>>3), typ, Span{i + 2, i + 2 + n}
				r.at.i = i + 2 + n
				return true
			}
		}
	}
	return r.longField()
}

// longField is Field for tags, values and lengths of any size.
func (r *Reader) longField() bool {
	rest := r.b[r.at.i:r.at.end]
	tag, n := Varint(rest)
	if n < 0 || tag>>3 == 0 || tag>>3 > uint64(protowire.MaxValidNumber) {
		r.Fail(jsonscan.ErrMalformed)
		return false
	}
	r.Num, r.typ = protowire.Number(tag>>3), protowire.Type(tag&7)
	r.at.i += n
	rest = rest[n:]
	switch r.typ {
	case protowire.VarintType:
		r.value, n = Varint(rest)
	case protowire.BytesType:
		var size uint64
		size, n = Varint(rest)
		if n >= 0 && size <= uint64(len(rest)-n) {
			start := r.at.i + n
			n += int(size)
			r.data = Span{start, r.at.i + n}
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
		r.Fail(jsonscan.ErrMalformed)
		return false
	}
	r.at.i += n
	return true
}

// SkipFields reads the rest of the innermost message, for one without known fields.
func (r *Reader) SkipFields() {
	for r.Field() {
	}
}

// Count counts one list element.
func (r *Reader) Count() {
	if r.elements <= 0 {
		r.Fail(jsonscan.ErrElements)
		return
	}
	r.elements--
}

// Raw returns the value of a bytes field. It is a slice of the input.
func (r *Reader) Raw() []byte {
	if r.typ != protowire.BytesType {
		r.Fail(jsonscan.ErrMalformed)
		return nil
	}
	return r.b[r.data.i:r.data.end:r.data.end]
}

// Str returns the value of a string field, which must be valid UTF-8. It is a slice of
// the input, so the caller must not change the input while the string is in use.
func (r *Reader) Str() string {
	i, end := r.data.i, r.data.end
	if r.typ != protowire.BytesType || !utf8.Valid(r.b[i:end]) {
		r.Fail(jsonscan.ErrMalformed)
		return ""
	}
	return unsafe.String(unsafe.SliceData(r.b[i:end]), end-i)
}

// Place returns the position of a message field, for Revisit.
func (r *Reader) Place() Span {
	if r.typ != protowire.BytesType {
		r.Fail(jsonscan.ErrMalformed)
	}
	return r.data
}

// Uint64 returns the value of a varint field.
func (r *Reader) Uint64() uint64 {
	if r.typ != protowire.VarintType {
		r.Fail(jsonscan.ErrMalformed)
		return 0
	}
	return r.value
}

// Uint32 returns the value of a varint field, which must fit.
func (r *Reader) Uint32() uint32 {
	v := r.Uint64()
	if v > math.MaxUint32 {
		r.Fail(jsonscan.ErrMalformed)
		return 0
	}
	return uint32(v)
}

// Int32 returns the value of a varint field, which must fit.
func (r *Reader) Int32() int32 {
	v := int64(r.Uint64())
	if v != int64(int32(v)) {
		r.Fail(jsonscan.ErrMalformed)
		return 0
	}
	return int32(v)
}

// Bool returns the value of a varint field.
func (r *Reader) Bool() bool { return r.Uint64() != 0 }

// Entry reads a map entry and returns its key. The value becomes the current field;
// a missing value is empty.
func (r *Reader) Entry() (key string) {
	r.Count()
	outer := r.Enter()
	var value Span
	for r.Field() {
		switch r.Num {
		case 1:
			key = r.Str()
		case 2:
			value = r.Place()
		}
	}
	r.Exit(outer)
	r.Revisit(value)
	return key
}

// StrEntry reads an entry of a map of strings into m.
func (r *Reader) StrEntry(m *map[string]string) {
	if *m == nil {
		*m = make(map[string]string)
	}
	k := r.Entry()
	(*m)[k] = r.Str()
}
