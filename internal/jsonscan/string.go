package jsonscan

import (
	"encoding/binary"
	"slices"
	"unicode/utf16"
	"unicode/utf8"
)

const hexDigits = "0123456789abcdef"

// plainJSON reports whether a byte stands for itself in an escaped string.
// The characters of HTML are escaped as encoding/json does (protocol.md 2.1).
var plainJSON = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return plain
}()

// AppendString appends s as a quoted JSON string. It escapes control
// characters, quotes, <, >, &, U+2028 and U+2029, and puts U+FFFD in place of
// invalid UTF-8: byte for byte what encoding/json writes.
func AppendString(dst []byte, s string) []byte {
	start := len(dst)
	dst = slices.Grow(dst, len(s)+2)
	out := dst[start : start+len(s)+2]
	out[0] = '"'
	// The loop checks and copies eight bytes at a time.
	i := 0
	for ; i+8 <= len(s); i += 8 {
		w := word(s[i : i+8])
		if escapeStops(w) != 0 {
			return appendEscaped(append(dst, out[:i+1]...), s[i:])
		}
		binary.LittleEndian.PutUint64(out[i+1:], w)
	}
	if i < len(s) && len(s) >= 8 {
		// The rest, together with bytes before it that were checked already.
		w := word(s[len(s)-8:])
		if escapeStops(w) != 0 {
			return appendEscaped(append(dst, out[:i+1]...), s[i:])
		}
		binary.LittleEndian.PutUint64(out[len(s)-7:], w)
		i = len(s)
	}
	for ; i < len(s); i++ {
		if !plainJSON[s[i]] {
			return appendEscaped(append(dst, out[:i+1]...), s[i:])
		}
		out[i+1] = s[i]
	}
	out[i+1] = '"'
	return dst[:start+len(out)]
}

// appendEscaped is AppendString starting at the first character that is not plain.
// The opening quote is already in dst.
func appendEscaped(dst []byte, s string) []byte {
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plainJSON[c] {
			i++
			continue
		}
		if c < utf8.RuneSelf {
			dst = append(dst, s[start:i]...)
			dst = appendEscape(dst, c)
			i++
			start = i
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			dst = append(append(dst, s[start:i]...), `\ufffd`...)
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, s[start:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
		default:
			i += size
			continue
		}
		i += size
		start = i
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}

// word returns eight bytes as a number, the first one lowest.
func word(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// escapeStops is stringStops for the bytes that must be escaped. It also finds <, >
// and &; one comparison finds both angles, because they differ in one bit.
func escapeStops(w uint64) uint64 {
	angle := (w&^(everyByte*0x02) ^ everyByte*'<') - everyByte
	amp := (w ^ everyByte*'&') - everyByte
	return stringStops(w) | (angle|amp)&everyTop
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, `\b`...)
	case '\f':
		return append(dst, `\f`...)
	case '\n':
		return append(dst, `\n`...)
	case '\r':
		return append(dst, `\r`...)
	case '\t':
		return append(dst, `\t`...)
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// unescape returns the content of a scanned string, b without the quotes. It
// returns b itself when there is nothing to change.
func unescape(b []byte, flags stringFlags) []byte {
	if flags == 0 || flags&stringEscapes == 0 && utf8.Valid(b) {
		return b
	}
	out := make([]byte, 0, len(b)+utf8.UTFMax)
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c == '\\':
			r, size := unescapeRune(b[i:])
			out = utf8.AppendRune(out, r)
			i += size
		case c < utf8.RuneSelf:
			out = append(out, c)
			i++
		default:
			r, size := utf8.DecodeRune(b[i:])
			out = utf8.AppendRune(out, r)
			i += size
		}
	}
	return out
}

// unescapeRune reads the escape at the start of b, which scanString has
// accepted, and returns its rune and its length.
func unescapeRune(b []byte) (rune, int) {
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case 'u':
		r := hexRune(b[2:6])
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if pair := utf16.DecodeRune(r, hexRune(b[8:12])); pair != utf8.RuneError {
				return pair, 12
			}
		}
		return utf8.RuneError, 6
	}
	return rune(b[1]), 2
}
