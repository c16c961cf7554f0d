package jsonscan

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"
	"unsafe"
)

// maxKnownKey is the length of the longest key that any reader knows. A longer
// key is unknown in any letter case.
const maxKnownKey = 32

// Errors of a Reader. The others wrap ErrMalformed.
var (
	ErrMalformed = errors.New("malformed message")
	ErrDepth     = fmt.Errorf("%w: nested too deep", ErrMalformed)
	ErrElements  = fmt.Errorf("%w: too many elements", ErrMalformed)
)

// A Reader reads a JSON value of an expected shape. After an error all its methods
// return zero values, so that a caller needs to look at Err once, at the end. It
// is not safe for concurrent use.
//
// Null stands for the zero value of any type. Strings and raw values are slices of
// the input, not copies, unless they hold escapes or invalid UTF-8.
type Reader struct {
	// Key is the key of the field or entry that was read last.
	Key []byte

	b        []byte
	i        int
	depth    int // open objects and arrays
	maxDepth int
	elements int  // list elements and map entries still allowed
	first    bool // nothing of the innermost object or array was read yet
	again    bool // Field returns the same field once more, with its key in lower case
	err      error
}

// NewReader returns a Reader of b. Values nest at most maxDepth deep, no more than
// MaxDepth, and hold at most elements list elements and map entries.
func NewReader(b []byte, maxDepth, elements int) Reader {
	return Reader{b: b, maxDepth: maxDepth, elements: elements}
}

// Err returns the first error, which wraps ErrMalformed or was passed to Fail.
func (r *Reader) Err() error { return r.err }

// Pos returns the index of the next byte to read.
func (r *Reader) Pos() int { return r.i }

// Seek moves to a value whose index Pos has returned, at the same nesting depth.
func (r *Reader) Seek(pos int) { r.i = pos }

// Finish checks that only white space is left, and returns the first error.
func (r *Reader) Finish() error {
	if r.err == nil && skipSpace(r.b, r.i) != len(r.b) {
		r.Fail(ErrMalformed)
	}
	return r.err
}

// Fail stops the reader with err unless it has failed before.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.i = len(r.b)
}

// Peek returns the first byte of the next token, or 0 at the end.
func (r *Reader) Peek() byte {
	if r.i < len(r.b) && r.b[r.i] > ' ' {
		return r.b[r.i]
	}
	r.i = skipSpace(r.b, r.i)
	if r.i < len(r.b) {
		return r.b[r.i]
	}
	return 0
}

// Null consumes the literal null if it is next.
func (r *Reader) Null() bool {
	if r.Peek() != 'n' {
		return false
	}
	end := scanLiteral(r.b, r.i)
	if end < 0 {
		r.Fail(ErrMalformed)
		return true
	}
	r.i = end
	return true
}

// Object enters an object. It returns false on null and on an error. Otherwise
// the caller must call Field or Entry until it returns false.
func (r *Reader) Object() bool { return r.enter('{') }

// Array enters an array. It returns false on null and on an error. Otherwise the
// caller must call Element until it returns false.
func (r *Reader) Array() bool { return r.enter('[') }

func (r *Reader) enter(bracket byte) bool {
	if r.Peek() != bracket {
		if !r.Null() {
			r.Fail(ErrMalformed)
		}
		return false
	}
	if r.depth >= r.maxDepth {
		r.Fail(ErrDepth)
		return false
	}
	r.depth++
	r.i++
	r.first = true
	return true
}

// Field moves to the value of the next field and sets Key. It returns false after
// the last field and on an error.
func (r *Reader) Field() bool {
	if r.again {
		r.again = false
		return true
	}
	c := r.Peek()
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
		c = r.Peek()
	default:
		c = 0
	}
	if c != '"' {
		r.Fail(ErrMalformed)
		return false
	}
	start := r.i + 1
	end, flags := scanString(r.b, start)
	if end < 0 {
		r.Fail(ErrMalformed)
		return false
	}
	r.Key = r.b[start : end-1]
	if flags != 0 {
		r.Key = unescape(r.Key, flags)
	}
	r.i = end
	if r.Peek() != ':' {
		r.Fail(ErrMalformed)
		return false
	}
	r.i++
	return true
}

// Entry is Field for an object that is a map: its entries count as elements.
func (r *Reader) Entry() bool { return r.Field() && r.count() }

// Element moves to the next element of an array. It returns false after the last
// element and on an error.
func (r *Reader) Element() bool {
	c := r.Peek()
	switch {
	case c == ']': // after a comma the value is missing, which fails later
		r.i++
		r.depth--
		r.first = false
		return false
	case r.first:
		r.first = false
	case c == ',':
		r.i++
	default:
		r.Fail(ErrMalformed)
	}
	return r.err == nil && r.count()
}

func (r *Reader) count() bool {
	if r.elements <= 0 {
		r.Fail(ErrElements)
		return false
	}
	r.elements--
	return true
}

// Skip checks a value and moves to its end. The value may nest EnvelopeDepth
// levels deeper than others, because it may hold one.
func (r *Reader) Skip() {
	if end, _ := scanValue(r.b, r.i, r.maxDepth+EnvelopeDepth); end >= 0 {
		r.i = end
	} else {
		r.failScan(end)
	}
}

// Unknown handles a field whose key the caller does not know. Keys match in any
// letter case: if the key has capitals, the next call of Field returns the field
// again, with its key in lower case. Otherwise Unknown skips the value. So keys in
// the usual spelling are compared without conversion.
func (r *Reader) Unknown() {
	if r.again = r.LowerKey(); !r.again {
		r.Skip()
	}
}

// LowerKey converts Key to lower case, in a copy, and reports whether it had
// capitals. Only ASCII letters count, because all known keys are ASCII.
func (r *Reader) LowerKey() (changed bool) {
	for i, c := range r.Key {
		if c-'A' >= 26 {
			continue
		}
		if !changed {
			if len(r.Key) > maxKnownKey {
				return false
			}
			r.Key, changed = append([]byte(nil), r.Key...), true
		}
		r.Key[i] = c + 'a' - 'A'
	}
	return changed
}

func (r *Reader) failScan(end int) {
	if end == scanTooDeep {
		r.Fail(ErrDepth)
	}
	r.Fail(ErrMalformed)
}

// SkipFields skips the fields of an object that Object has entered.
func (r *Reader) SkipFields() {
	for r.Field() {
		r.Skip()
	}
}

// Raw returns the next value as a slice of the input. Null is a value like any
// other. The value must be valid UTF-8.
func (r *Reader) Raw() []byte {
	r.Peek()
	start := r.i
	end, seen := scanValue(r.b, start, r.maxDepth)
	if end < 0 || seen&High != 0 && !utf8.Valid(r.b[start:end]) {
		r.failScan(end)
		return nil
	}
	r.i = end
	return r.b[start:end:end]
}

// Str reads a string. Invalid UTF-8 and lone surrogates become U+FFFD.
func (r *Reader) Str() string {
	if r.Peek() != '"' {
		if !r.Null() {
			r.Fail(ErrMalformed)
		}
		return ""
	}
	start := r.i + 1
	end, flags := scanString(r.b, start)
	if end < 0 {
		r.Fail(ErrMalformed)
		return ""
	}
	r.i = end
	if flags == 0 {
		return view(r.b[start : end-1])
	}
	return string(unescape(r.b[start:end-1], flags))
}

// Bool reads true or false.
func (r *Reader) Bool() bool {
	c := r.Peek()
	if c == 'n' {
		r.Null()
		return false
	}
	if c != 't' && c != 'f' {
		r.Fail(ErrMalformed)
		return false
	}
	end := scanLiteral(r.b, r.i)
	if end < 0 {
		r.Fail(ErrMalformed)
		return false
	}
	r.i = end
	return c == 't'
}

// Uint reads an integer of at most limit. A sign, a fraction or an exponent is an
// error.
func (r *Reader) Uint(limit uint64) uint64 {
	if c := r.Peek(); c-'0' > 9 {
		if !r.Null() {
			r.Fail(ErrMalformed)
		}
		return 0
	}
	start := r.i
	var v uint64
	for ; r.i < len(r.b) && r.b[r.i]-'0' <= 9; r.i++ {
		digit := uint64(r.b[r.i] - '0')
		if v > (math.MaxUint64-digit)/10 {
			r.Fail(ErrMalformed)
			return 0
		}
		v = v*10 + digit
	}
	if v > limit || r.b[start] == '0' && r.i-start > 1 {
		r.Fail(ErrMalformed)
		return 0
	}
	if r.i < len(r.b) && (r.b[r.i] == '.' || r.b[r.i]|0x20 == 'e') {
		r.Fail(ErrMalformed)
		return 0
	}
	return v
}

// Int reads an integer between -limit-1 and limit.
func (r *Reader) Int(limit int64) int64 {
	if r.Peek() != '-' {
		return int64(r.Uint(uint64(limit)))
	}
	r.i++
	if r.i >= len(r.b) || r.b[r.i]-'0' > 9 {
		r.Fail(ErrMalformed)
		return 0
	}
	return -int64(r.Uint(uint64(limit) + 1))
}

// Strs reads a list of strings.
func (r *Reader) Strs() []string {
	var list []string
	for ok := r.Array(); ok && r.Element(); {
		list = append(list, r.Str())
	}
	return list
}

// StrMap reads an object whose values are strings. An empty one is nil.
func (r *Reader) StrMap() map[string]string {
	var m map[string]string
	for ok := r.Object(); ok && r.Entry(); {
		if m == nil {
			m = make(map[string]string)
		}
		k := string(r.Key)
		m[k] = r.Str()
	}
	return m
}

// view returns b as a string without a copy.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
