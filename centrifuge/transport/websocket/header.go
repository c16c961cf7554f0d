package websocket

import (
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Opcodes of RFC 6455 5.2.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

// Bits of a header's first two bytes.
const (
	bitFin  = 0x80
	bitRSV1 = 0x40 // compressed (RFC 7692 6)
	bitMask = 0x80
)

// Close codes of RFC 6455 7.4.1.
const (
	closeProtocolError = 1002
	closeNoStatus      = 1005 // stands for a close frame without a code, is never sent
	closeInvalidData   = 1007
	closePolicy        = 1008
	closeTooBig        = 1009
)

const (
	maxHeaderSize   = 14  // 2 bytes, 8 of length, 4 of mask
	maxServerHeader = 10  // without mask
	maxControlSize  = 125 // RFC 6455 5.5
	maxReasonSize   = 123 // a control frame less the code
)

// CloseError is why a connection ended: the peer's close frame, or what the
// peer did wrong. A session gets it by Closed.
type CloseError struct {
	// Code is the close code, 1005 where the peer gave none.
	Code uint16
	// Reason is at most 123 bytes of UTF-8.
	Reason string
}

// Error implements error.
func (e *CloseError) Error() string { return fmt.Sprintf("websocket closed: %d %s", e.Code, e.Reason) }

func violation(reason string) *CloseError { return &CloseError{closeProtocolError, reason} }

// header is the header of a frame from a client.
type header struct {
	first  byte // FIN, RSV1-3, opcode
	mask   [4]byte
	length int64
}

func (h *header) opcode() byte     { return h.first & 0x0F }
func (h *header) fin() bool        { return h.first&bitFin != 0 }
func (h *header) compressed() bool { return h.first&bitRSV1 != 0 }
func (h *header) control() bool    { return h.first&0x08 != 0 }

// parseHeader reads a header from the start of b; n is its size, zero while b
// is too short to tell. What can be refused is refused by the bytes there are.
func parseHeader(b []byte) (h header, n int, bad *CloseError) {
	if len(b) < 2 {
		return h, 0, nil
	}
	if b[1]&bitMask == 0 {
		return h, 0, violation("frame is not masked")
	}
	h.first = b[0]
	n = 2
	switch length := b[1] &^ bitMask; length {
	default:
		h.length = int64(length)
	case 126:
		if len(b) < 4 {
			return h, 0, nil
		}
		h.length, n = int64(binary.BigEndian.Uint16(b[2:])), 4
		if h.length < 126 {
			return h, 0, violation("length is not minimal")
		}
	case 127:
		if len(b) < 10 {
			return h, 0, nil
		}
		length := binary.BigEndian.Uint64(b[2:])
		if length>>63 != 0 || length < 1<<16 {
			return h, 0, violation("length is invalid")
		}
		h.length, n = int64(length), 10
	}
	if len(b) < n+4 {
		return h, 0, nil
	}
	copy(h.mask[:], b[n:])
	return h, n + 4, nil
}

// appendHeader appends the header of a server's frame.
func appendHeader(dst []byte, first byte, length int) []byte {
	switch {
	case length < 126:
		return append(dst, first, byte(length))
	case length < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, 126), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, 127), uint64(length))
}

// serverPayload is what follows the header of a server's whole frame.
func serverPayload(frame []byte) []byte {
	switch frame[1] {
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	}
	return frame[2:]
}

// appendControl appends a whole control frame. payload is at most 125 bytes.
func appendControl(dst []byte, opcode byte, payload []byte) []byte {
	return append(appendHeader(dst, bitFin|opcode, len(payload)), payload...)
}

// appendClose appends a close frame. A reason that does not fit is cut between
// runes; code zero makes a frame without code and reason.
func appendClose(dst []byte, code uint16, reason string) []byte {
	if code == 0 {
		return appendControl(dst, opClose, nil)
	}
	if len(reason) > maxReasonSize {
		end := maxReasonSize
		for end > 0 && !utf8.RuneStart(reason[end]) {
			end--
		}
		reason = reason[:end]
	}
	dst = appendHeader(dst, bitFin|opClose, 2+len(reason))
	return append(binary.BigEndian.AppendUint16(dst, code), reason...)
}

// parseClose reads the payload of the peer's close frame; bad says what is
// wrong with it.
func parseClose(payload []byte) (said, bad *CloseError) {
	switch {
	case len(payload) == 0:
		return &CloseError{Code: closeNoStatus}, nil
	case len(payload) == 1:
		return nil, violation("close code is cut")
	}
	code := binary.BigEndian.Uint16(payload)
	if !validCloseCode(code) {
		return nil, violation("close code is invalid")
	}
	if !utf8.Valid(payload[2:]) {
		return nil, &CloseError{closeInvalidData, "close reason is not UTF-8"}
	}
	return &CloseError{code, string(payload[2:])}, nil
}

// validCloseCode reports whether a peer may send code: those of RFC 6455 7.4.1
// and IANA's registry that are for the wire, and 3000-4999.
func validCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	}
	return code >= 3000 && code <= 4999
}
