package jsonscan

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// MaxDepth is how deep the arrays and objects of a value may nest. The bound is
// fixed because the scanner keeps one bit for each open bracket on its stack.
const MaxDepth = 1024

// EnvelopeDepth is how deep the messages around a value may nest in addition.
const EnvelopeDepth = 64

// Valid reports whether b is one JSON value of RFC 8259, with optional
// white space around it, in valid UTF-8, nested at most [MaxDepth] deep.
// It accepts what encoding/json accepts, except deeper nesting and invalid
// UTF-8: browsers refuse a text frame that holds it.
func Valid(b []byte) bool {
	_, ok := Inspect(b)
	return ok
}

// Inspect is Valid and also returns what the value contains.
func Inspect(b []byte) (seen Flags, ok bool) {
	end, seen := scanValue(b, 0, MaxDepth)
	if end < 0 {
		return 0, false
	}
	if end < len(b) {
		seen |= Space
		if skipSpace(b, end) != len(b) {
			return 0, false
		}
	}
	return seen, seen&High == 0 || utf8.Valid(b)
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\t' || c == '\r' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && b[i] <= ' ' && isSpace(b[i]) {
		i++
	}
	return i
}

// Results of scanValue in place of an end.
const (
	scanMalformed = -1
	scanTooDeep   = -2
)

// Flags are properties of a value.
type Flags uint8

const (
	High  Flags = 1 << iota // bytes outside ASCII, whose UTF-8 scanValue does not check
	Space                   // white space between tokens
)

// scanValue returns the end of the JSON value that starts at b[i] or after white
// space there, or one of the results above.
//
// It is a loop with one bit per open bracket instead of a recursion, so the depth of
// the input does not use the stack. It scans strings in place, because a call for
// each string made it 50 % slower.
func scanValue(b []byte, i, maxDepth int) (end int, seen Flags) {
	var open brackets
	depth := 0
	object, key := false, false // inside an object; a key is due, not a value
	maxDepth = min(maxDepth, MaxDepth+EnvelopeDepth)
next:
	for {
		if i < len(b) && b[i] <= ' ' {
			i, seen = skipSpace(b, i), seen|Space
		}
		if i >= len(b) {
			return scanMalformed, 0
		}
		switch c := b[i]; {
		case c == '"':
			i++
			for i+8 <= len(b) {
				if stop := stringStops(binary.LittleEndian.Uint64(b[i:])); stop != 0 {
					i += bits.TrailingZeros64(stop) >> 3
					break
				}
				i += 8
			}
			if i < len(b) && b[i] == '"' {
				i++
			} else {
				var flags stringFlags
				i, flags = scanStringBytes(b, i)
				if flags&stringHigh != 0 {
					seen |= High
				}
			}
			if !key || i < 0 {
				break
			}
			key = false
			if i < len(b) && b[i] == ':' {
				i++
				continue
			}
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return scanMalformed, 0
			}
			i, seen = i+1, seen|Space
			continue
		case key:
			return scanMalformed, 0
		case c == '{' || c == '[':
			if depth >= maxDepth {
				return scanTooDeep, 0
			}
			i++
			if i < len(b) && b[i] <= ' ' {
				i, seen = skipSpace(b, i), seen|Space
			}
			if i < len(b) && b[i] == c+2 { // ']' is '['+2 and '}' is '{'+2
				i++
				break
			}
			object = c == '{'
			key = object
			open.push(depth, object)
			depth++
			continue
		case c == '-' || c-'0' <= 9:
			i = scanNumber(b, i)
		default:
			i = scanLiteral(b, i)
		}
		if i < 0 {
			return scanMalformed, 0
		}
		// A value has ended: close brackets until another one is due.
		for depth > 0 {
			if i < len(b) && b[i] <= ' ' {
				i, seen = skipSpace(b, i), seen|Space
			}
			if i >= len(b) {
				return scanMalformed, 0
			}
			switch c := b[i]; {
			case c == ',':
				i++
				key = object
				continue next
			case c == '}' && object, c == ']' && !object:
				i++
				depth--
				object = depth > 0 && open.object(depth-1)
			default:
				return scanMalformed, 0
			}
		}
		return i, seen
	}
}

// brackets has a bit for each open bracket, which is set for an object.
type brackets [(MaxDepth + EnvelopeDepth) / 64]uint64

func (s *brackets) push(depth int, object bool) {
	s[depth>>6] &^= 1 << (depth & 63)
	if object {
		s[depth>>6] |= 1 << (depth & 63)
	}
}

func (s *brackets) object(depth int) bool { return s[depth>>6]&(1<<(depth&63)) != 0 }

type stringFlags uint8

const (
	stringEscapes stringFlags = 1 << iota // has a backslash
	stringHigh                            // may have bytes outside ASCII
)

const (
	everyByte = 0x0101010101010101
	everyTop  = 0x8080808080808080
)

// stringStops sets the top bit of each byte of w that is a quote, a backslash,
// a control character or outside ASCII. Only the lowest of them is exact.
func stringStops(w uint64) uint64 {
	// A quote (0x22) with bit 1 flipped is 0x20, so one subtraction finds it
	// together with the control characters.
	quote := (w ^ everyByte*0x02) - everyByte*0x21
	slash := (w ^ everyByte*'\\') - everyByte
	return (quote | slash | w) & everyTop
}

// scanString returns the index after the closing quote of the string whose
// first byte is b[i], or -1. It looks at eight bytes at a time.
func scanString(b []byte, i int) (int, stringFlags) {
	for i+8 <= len(b) {
		if stop := stringStops(binary.LittleEndian.Uint64(b[i:])); stop != 0 {
			i += bits.TrailingZeros64(stop) >> 3
			if b[i] == '"' {
				return i + 1, 0
			}
			break
		}
		i += 8
	}
	return scanStringBytes(b, i)
}

// scanStringBytes is scanString for the rare bytes.
func scanStringBytes(b []byte, i int) (int, stringFlags) {
	var flags stringFlags
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i + 1, flags
		case c == '\\':
			flags |= stringEscapes
			if i = scanEscape(b, i+1); i < 0 {
				return -1, 0
			}
		case c < ' ':
			return -1, 0
		default:
			if c >= utf8.RuneSelf {
				flags |= stringHigh
			}
			i++
		}
	}
	return -1, 0
}

// scanEscape returns the index after the escape whose letter is b[i], or -1.
func scanEscape(b []byte, i int) int {
	if i >= len(b) {
		return -1
	}
	switch b[i] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 1
	case 'u':
		if i+5 <= len(b) && hexRune(b[i+1:i+5]) >= 0 {
			return i + 5
		}
	}
	return -1
}

// hexRune returns the value of four hexadecimal digits, or -1.
func hexRune(b []byte) rune {
	var r rune
	for _, c := range b[:4] {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c-'a' <= 5:
			c -= 'a' - 10
		case c-'A' <= 5:
			c -= 'A' - 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// scanNumber returns the index after the number that starts at b[i], or -1.
func scanNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	start := i
	if i = scanDigits(b, i); i < 0 || (b[start] == '0' && i-start > 1) {
		return -1
	}
	if i < len(b) && b[i] == '.' {
		if i = scanDigits(b, i+1); i < 0 {
			return -1
		}
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		i = scanDigits(b, i)
	}
	return i
}

// scanDigits returns the index after at least one digit, or -1.
func scanDigits(b []byte, i int) int {
	start := i
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	if i == start {
		return -1
	}
	return i
}

// scanLiteral returns the index after true, false or null, or -1.
func scanLiteral(b []byte, i int) int {
	for _, literal := range [...]string{"true", "false", "null"} {
		if b[i] == literal[0] {
			if len(b)-i >= len(literal) && string(b[i:i+len(literal)]) == literal {
				return i + len(literal)
			}
			return -1
		}
	}
	return -1
}

// Errors of Check. ErrDepth is the third.
var (
	errSyntax = fmt.Errorf("%w: not JSON", ErrMalformed)
	// ErrUTF8 reports a value that is JSON, but not valid UTF-8.
	ErrUTF8 = fmt.Errorf("%w: invalid UTF-8", ErrMalformed)
)

// Check returns nil if b is a value that Valid accepts, otherwise the reason:
// ErrDepth, ErrUTF8 or an error that wraps ErrMalformed.
func Check(b []byte) error {
	end, seen := scanValue(b, 0, MaxDepth)
	switch {
	case end == scanTooDeep:
		return ErrDepth
	case end < 0 || skipSpace(b, end) != len(b):
		return errSyntax
	case seen&High != 0 && !utf8.Valid(b):
		return ErrUTF8
	}
	return nil
}
