package protocol

import (
	"math"
	"unicode/utf8"
)

// maxFieldName is an upper bound for the names of fields, in bytes: a longer key
// is unknown in any letter case.
const maxFieldName = 32

// jsonReader reads JSON values of an expected shape. After an error all its
// methods return zero values, so that only the end of a message looks at err.
type jsonReader struct {
	b            []byte
	i            int
	depth        int // open objects and arrays
	maxDepth     int
	elements     int    // list elements and map entries still allowed
	first        bool   // nothing of the innermost object or array was read yet
	again        bool   // field returns the same field once more, with its key in lower case
	key          []byte // of the field or entry that was found last
	v1           bool
	scratch      *RequestScratch // nil to allocate
	replyScratch *ReplyScratch   // nil to allocate
	err          error
}

func newJSONReader(b []byte, l Limits) jsonReader {
	return jsonReader{b: b, maxDepth: l.depth(), elements: l.elements()}
}

func (r *jsonReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.i = len(r.b)
}

// peek returns the first byte of the next token, or 0 at the end.
func (r *jsonReader) peek() byte {
	if r.i < len(r.b) && r.b[r.i] > ' ' {
		return r.b[r.i]
	}
	r.i = skipSpace(r.b, r.i)
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

// null consumes the literal null if it is next.
func (r *jsonReader) null() bool {
	if r.peek() != 'n' {
		return false
	}
	end := scanLiteral(r.b, r.i)
	if end < 0 {
		r.fail(ErrMalformed)
		return true
	}
	r.i = end
	return true
}

// object enters an object. It returns false when there is null instead, or an
// error. Otherwise field must be called until it returns false.
func (r *jsonReader) object() bool { return r.enter('{') }

// array enters an array, like object; element must be called likewise.
func (r *jsonReader) array() bool { return r.enter('[') }

func (r *jsonReader) enter(bracket byte) bool {
	if r.peek() != bracket {
		if !r.null() {
			r.fail(ErrMalformed)
		}
		return false
	}
	if r.depth >= r.maxDepth {
		r.fail(ErrDepth)
		return false
	}
	r.depth++
	r.i++
	r.first = true
	return true
}

// field moves to the value of the next field and sets key. It returns false
// behind the end of the object.
func (r *jsonReader) field() bool {
	if r.again {
		r.again = false
		return true
	}
	c := r.peek()
	switch {
	case c == '}':
		r.i++
		r.depth--
		r.first = false
		return false
	case r.first:
		r.first = false
	case c == ',':
		r.i++
		c = r.peek()
	default:
		c = 0
	}
	if c != '"' {
		r.fail(ErrMalformed)
		return false
	}
	start := r.i + 1
	end, flags := scanString(r.b, start)
	if end < 0 {
		r.fail(ErrMalformed)
		return false
	}
	r.key = r.b[start : end-1]
	if flags != 0 {
		r.key = unescape(r.key, flags)
	}
	r.i = end
	if r.peek() != ':' {
		r.fail(ErrMalformed)
		return false
	}
	r.i++
	return true
}

// entry is field for an object that is a map: its entries are counted.
func (r *jsonReader) entry() bool { return r.field() && r.count() }

// element moves to the next element of an array. It returns false behind the
// end of the array.
func (r *jsonReader) element() bool {
	c := r.peek()
	switch {
	case c == ']': // behind a comma the value itself is missing, and that fails
		r.i++
		r.depth--
		r.first = false
		return false
	case r.first:
		r.first = false
	case c == ',':
		r.i++
	default:
		r.fail(ErrMalformed)
	}
	return r.err == nil && r.count()
}

func (r *jsonReader) count() bool {
	if r.elements <= 0 {
		r.fail(ErrElements)
		return false
	}
	r.elements--
	return true
}

// skip checks and passes over a value. It may hold a payload that nests as deep
// as a payload may, so it may nest deeper itself.
func (r *jsonReader) skip() {
	if end, _ := scanValue(r.b, r.i, r.maxDepth+envelopeDepth); end >= 0 {
		r.i = end
	} else {
		r.failScan(end)
	}
}

// unknown handles a field that its message does not have: keys match in any
// letter case, so one with capitals comes once more in lower case. Checking the
// case only here keeps the usual spelling free of charge.
func (r *jsonReader) unknown() {
	if r.again = r.lowerKey(); !r.again {
		r.skip()
	}
}

// lowerKey puts key into lower case, in a copy, and reports whether it had
// capitals. Names of fields are ASCII, so other letters do not matter.
func (r *jsonReader) lowerKey() (changed bool) {
	for i, c := range r.key {
		if c-'A' >= 26 {
			continue
		}
		if !changed {
			if len(r.key) > maxFieldName {
				return false
			}
			r.key, changed = append([]byte(nil), r.key...), true
		}
		r.key[i] = c + 'a' - 'A'
	}
	return changed
}

func (r *jsonReader) failScan(end int) {
	if end == scanTooDeep {
		r.fail(ErrDepth)
	}
	r.fail(ErrMalformed)
}

func (r *jsonReader) skipFields() {
	for r.field() {
		r.skip()
	}
}

// raw returns the next value as it is; null is a value like any other. It is
// part of the input, not a copy.
func (r *jsonReader) raw() Raw {
	r.peek()
	start := r.i
	end, seen := scanValue(r.b, start, r.maxDepth)
	if end < 0 || seen&valueHigh != 0 && !utf8.Valid(r.b[start:end]) {
		r.failScan(end)
		return nil
	}
	r.i = end
	return Raw(r.b[start:end:end])
}

func (r *jsonReader) str() string {
	if r.peek() != '"' {
		if !r.null() {
			r.fail(ErrMalformed)
		}
		return ""
	}
	start := r.i + 1
	end, flags := scanString(r.b, start)
	if end < 0 {
		r.fail(ErrMalformed)
		return ""
	}
	r.i = end
	if flags == 0 {
		return view(r.b[start : end-1])
	}
	return string(unescape(r.b[start:end-1], flags))
}

func (r *jsonReader) bool() bool {
	c := r.peek()
	if c == 'n' {
		r.null()
		return false
	}
	if c != 't' && c != 'f' {
		r.fail(ErrMalformed)
		return false
	}
	end := scanLiteral(r.b, r.i)
	if end < 0 {
		r.fail(ErrMalformed)
		return false
	}
	r.i = end
	return c == 't'
}

// uint reads an integer of at most limit. A sign, a fraction or an exponent is
// an error, as for any decoder that knows the type of the field.
func (r *jsonReader) uint(limit uint64) uint64 {
	if c := r.peek(); c-'0' > 9 {
		if !r.null() {
			r.fail(ErrMalformed)
		}
		return 0
	}
	start := r.i
	var v uint64
	for ; r.i < len(r.b) && r.b[r.i]-'0' <= 9; r.i++ {
		digit := uint64(r.b[r.i] - '0')
		if v > (math.MaxUint64-digit)/10 {
			r.fail(ErrMalformed)
			return 0
		}
		v = v*10 + digit
	}
	if v > limit || r.b[start] == '0' && r.i-start > 1 {
		r.fail(ErrMalformed)
		return 0
	}
	if r.i < len(r.b) && (r.b[r.i] == '.' || r.b[r.i]|0x20 == 'e') {
		r.fail(ErrMalformed)
		return 0
	}
	return v
}

// int reads an integer between -limit-1 and limit.
func (r *jsonReader) int(limit int64) int64 {
	if r.peek() != '-' {
		return int64(r.uint(uint64(limit)))
	}
	r.i++
	if r.i >= len(r.b) || r.b[r.i]-'0' > 9 {
		r.fail(ErrMalformed)
		return 0
	}
	return -int64(r.uint(uint64(limit) + 1))
}

func (r *jsonReader) strs() []string {
	var list []string
	for ok := r.array(); ok && r.element(); {
		list = append(list, r.str())
	}
	return list
}

func (r *jsonReader) strMap() map[string]string {
	var m map[string]string
	for ok := r.object(); ok && r.entry(); {
		if m == nil {
			m = make(map[string]string)
		}
		k := string(r.key)
		m[k] = r.str()
	}
	return m
}

// orNew turns null in a list or map into an empty message, which is what the
// Protobuf encoding makes of it: no reader has to expect a nil there.
func orNew[T any](m *T) *T {
	if m == nil {
		return new(T)
	}
	return m
}
