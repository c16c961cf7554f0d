// Package wsframe reads and writes the frames of RFC 6455 for tests and tools:
// a client that can also break the rules, a load generator, a server that knows
// nothing else. The WebSocket transport has a parser of its own, which is strict
// and does not wait for bytes.
package wsframe

import (
	"crypto/sha1" //nolint:gosec // RFC 6455 asks for it
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
)

// Opcodes, the low four bits of a frame's first byte (RFC 6455 5.2).
const (
	Continuation = 0x0
	Text         = 0x1
	Binary       = 0x2
	Close        = 0x8
	Ping         = 0x9
	Pong         = 0xA
)

// Bits of a frame's first byte, beside the opcode.
const (
	Fin        = 0x80 // the last fragment of a message
	Compressed = 0x40 // RSV1, permessage-deflate (RFC 7692 6)
)

// NoStatus stands for a close frame without a code (RFC 6455 7.4.1).
const NoStatus = 1005

const maskBit = 0x80 // of the second byte

// AppendHeader appends a frame's header: its first byte, the length of the
// payload in the shortest form, and mask, unless that is nil. Servers do not
// mask. length need not be that of the payload that follows.
func AppendHeader(dst []byte, first byte, length uint64, mask *[4]byte) []byte {
	bit := byte(0)
	if mask != nil {
		bit = maskBit
	}
	switch {
	case length < 126:
		dst = append(dst, first, bit|byte(length))
	case length < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, first, bit|126), uint16(length))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, first, bit|127), length)
	}
	if mask != nil {
		dst = append(dst, mask[:]...)
	}
	return dst
}

// Append appends a server's frame.
func Append(dst []byte, first byte, payload []byte) []byte {
	return append(AppendHeader(dst, first, uint64(len(payload)), nil), payload...)
}

// AppendMasked appends a client's frame.
func AppendMasked(dst []byte, first byte, payload []byte, mask [4]byte) []byte {
	dst = AppendHeader(dst, first, uint64(len(payload)), &mask)
	start := len(dst)
	dst = append(dst, payload...)
	unmask(dst[start:], mask)
	return dst
}

// unmask applies mask to b, which masks or unmasks it.
func unmask(b []byte, mask [4]byte) {
	if mask == [4]byte{} {
		return
	}
	for i := range b {
		b[i] ^= mask[i%4]
	}
}

// Frame is a frame that was read.
type Frame struct {
	First   byte // FIN, RSV1 to RSV3 and the opcode
	Masked  bool
	Payload []byte // unmasked
}

// Opcode returns the low four bits of the first byte.
func (f Frame) Opcode() byte { return f.First & 0x0F }

// Read reads one frame of a client or of a server. It does not check that the
// frame is allowed. A payload of more than limit bytes is an error, and is not
// read.
func Read(r io.Reader, limit uint64) (Frame, error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{First: head[0], Masked: head[1]&maskBit != 0}
	length := uint64(head[1] &^ maskBit)
	if extended := map[uint64]int{126: 2, 127: 8}[length]; extended > 0 {
		var b [8]byte
		if err := readMore(r, b[8-extended:]); err != nil {
			return Frame{}, err
		}
		length = binary.BigEndian.Uint64(b[:])
	}
	if length > limit {
		return Frame{}, fmt.Errorf("reading a frame: payload of %d bytes, at most %d are accepted", length, limit)
	}
	var mask [4]byte
	if f.Masked {
		if err := readMore(r, mask[:]); err != nil {
			return Frame{}, err
		}
	}
	f.Payload = make([]byte, length)
	err := readMore(r, f.Payload)
	unmask(f.Payload, mask)
	return f, err
}

// readMore fills b with bytes from the middle of a frame: that they do not come
// is unexpected.
func readMore(r io.Reader, b []byte) error {
	_, err := io.ReadFull(r, b)
	if err == io.EOF { //nolint:errorlint // ReadFull returns it as it is
		err = io.ErrUnexpectedEOF
	}
	return err
}

// CloseCode returns what the payload of a close frame says; the code is NoStatus
// if there is none.
func CloseCode(payload []byte) (code uint16, reason string) {
	if len(payload) < 2 {
		return NoStatus, ""
	}
	return binary.BigEndian.Uint16(payload), string(payload[2:])
}

// Accept returns the Sec-WebSocket-Accept that answers a Sec-WebSocket-Key
// (RFC 6455 4.2.2).
func Accept(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455
	return base64.StdEncoding.EncodeToString(sum[:])
}
