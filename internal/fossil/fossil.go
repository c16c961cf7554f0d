// Package fossil makes and applies deltas in the format of the Fossil version
// control system (protocol.md 6.7): a text header, copies from the base,
// literal bytes and a checksum.
package fossil

import (
	"errors"
	"fmt"
	"math"
)

const (
	digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
	// maxDigits is the longest number: 6 bits a digit, 32 bits in all.
	maxDigits = 6
	noDigit   = 0xff
)

// digitValue is the inverse of digits. It is filled once and then only read.
var digitValue = func() (values [256]byte) {
	for i := range values {
		values[i] = noDigit
	}
	for i, c := range []byte(digits) {
		values[c] = byte(i) //nolint:gosec // at most 63
	}
	return values
}()

// ErrInvalid is wrapped by every error of Apply.
var ErrInvalid = errors.New("invalid fossil delta")

// Apply returns the target that delta describes relative to base. Its errors wrap
// ErrInvalid: the delta is malformed, does not fit base, or makes more than limit
// bytes.
func Apply(base, delta []byte, limit int) ([]byte, error) {
	size, rest, err := cutNumber(delta, '\n')
	if err != nil {
		return nil, err
	}
	if uint64(size) > uint64(max(limit, 0)) {
		return nil, fmt.Errorf("%w: %d bytes exceed the limit of %d", ErrInvalid, size, limit)
	}
	var target []byte
	for {
		n, op, tail, err := number(rest)
		if err != nil {
			return nil, err
		}
		left := uint64(size) - uint64(len(target))
		switch op {
		case ';':
			switch {
			case left != 0:
				return nil, fmt.Errorf("%w: %d bytes missing", ErrInvalid, left)
			case len(tail) != 0:
				return nil, fmt.Errorf("%w: %d bytes after the end", ErrInvalid, len(tail))
			case n != checksum(target):
				return nil, fmt.Errorf("%w: wrong checksum", ErrInvalid)
			}
			return target, nil
		case ':':
			if uint64(n) > left || uint64(n) > uint64(len(tail)) {
				return nil, fmt.Errorf("%w: literal of %d bytes", ErrInvalid, n)
			}
			target, rest = append(target, tail[:n]...), tail[n:]
		case '@':
			var from uint32
			if from, rest, err = cutNumber(tail, ','); err != nil {
				return nil, err
			}
			if end := uint64(from) + uint64(n); end > uint64(len(base)) || uint64(n) > left {
				return nil, fmt.Errorf("%w: copy of %d bytes at %d", ErrInvalid, n, from)
			}
			target = append(target, base[from:uint64(from)+uint64(n)]...)
		default:
			return nil, fmt.Errorf("%w: unknown operator %q", ErrInvalid, op)
		}
	}
}

// cutNumber reads a number that ends with end.
func cutNumber(b []byte, end byte) (uint32, []byte, error) {
	n, op, rest, err := number(b)
	if err == nil && op != end {
		err = fmt.Errorf("%w: %q instead of %q", ErrInvalid, op, end)
	}
	return n, rest, err
}

// number reads a number and the byte behind it.
func number(b []byte) (n uint32, op byte, rest []byte, err error) {
	var value uint64
	for i, c := range b {
		v := digitValue[c]
		if v == noDigit {
			if i == 0 {
				return 0, 0, nil, fmt.Errorf("%w: no number", ErrInvalid)
			}
			return uint32(value), c, b[i+1:], nil //nolint:gosec // checked below
		}
		value = value<<6 | uint64(v)
		if i == maxDigits || value > math.MaxUint32 {
			return 0, 0, nil, fmt.Errorf("%w: number too large", ErrInvalid)
		}
	}
	return 0, 0, nil, fmt.Errorf("%w: unexpected end", ErrInvalid)
}

// appendNumber writes n with its most significant digit first.
func appendNumber(dst []byte, n uint32) []byte {
	shift := 0
	for n>>shift > 63 && shift < 30 {
		shift += 6
	}
	for ; shift >= 0; shift -= 6 {
		dst = append(dst, digits[n>>shift&63])
	}
	return dst
}

// numberLen is the length of what appendNumber writes.
func numberLen(n uint32) int {
	length := 1
	for n >>= 6; n > 0; n >>= 6 {
		length++
	}
	return length
}

// checksum adds b as big-endian words of 32 bits, the last padded with zeros.
func checksum(b []byte) uint32 {
	var sum uint32
	for ; len(b) >= 4; b = b[4:] {
		sum += uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	}
	for i, c := range b {
		sum += uint32(c) << (24 - 8*i)
	}
	return sum
}
