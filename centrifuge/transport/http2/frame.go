package http2

import (
	"encoding/binary"
	"fmt"
)

// kind of a frame (RFC 9113 6).
type kind uint8

const (
	kindData kind = iota
	kindHeaders
	kindPriority
	kindReset
	kindSettings
	kindPush
	kindPing
	kindGoAway
	kindWindowUpdate
	kindContinuation
)

// Flags of frames. Their meaning depends on the kind.
const (
	flagAck        = 0x1
	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20
)

// code of an error (RFC 9113 7).
type code uint32

const (
	codeNone code = iota
	codeProtocol
	codeInternal
	codeFlowControl
	codeSettingsTimeout
	codeStreamClosed
	codeFrameSize
	codeRefused
	codeCancel
	codeCompression
	codeConnect
	codeCalm
)

// connError ends a connection.
type connError struct {
	code   code
	reason string
}

func (e connError) Error() string { return fmt.Sprintf("%s (HTTP/2 error %d)", e.reason, e.code) }

// resetError is the end of a stream by the client.
type resetError struct{ code code }

func (e resetError) Error() string {
	return fmt.Sprintf("the client has reset the stream (HTTP/2 error %d)", e.code)
}

// preface begins a connection (RFC 9113 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const frameHeaderSize = 9

// frame is a frame that was received. payload is valid only while it is read.
type frame struct {
	kind    kind
	flags   uint8
	stream  uint32
	payload []byte
}

func (f frame) has(flag uint8) bool { return f.flags&flag != 0 }

// nextFrame returns the first frame of b and what follows it. ok is false if it is not
// complete.
func nextFrame(b []byte) (f frame, rest []byte, ok bool, err error) {
	if len(b) < frameHeaderSize {
		return frame{}, b, false, nil
	}
	size := int(b[0])<<16 | int(b[1])<<8 | int(b[2])
	if size > maxFrame {
		return frame{}, b, false, connError{codeFrameSize, "frame of more than 16384 bytes"}
	}
	if len(b) < frameHeaderSize+size {
		return frame{}, b, false, nil
	}
	f = frame{
		kind: kind(b[3]), flags: b[4], stream: binary.BigEndian.Uint32(b[5:]) & maxWindow,
		payload: b[frameHeaderSize : frameHeaderSize+size],
	}
	return f, b[frameHeaderSize+size:], true, nil
}

// unpadded returns the payload of a DATA or HEADERS frame without its padding.
func (f frame) unpadded() ([]byte, error) {
	if !f.has(flagPadded) {
		return f.payload, nil
	}
	if len(f.payload) == 0 {
		return nil, connError{codeFrameSize, "padded frame without a length"}
	}
	padding := int(f.payload[0])
	if padding >= len(f.payload) {
		return nil, connError{codeProtocol, "padding longer than its frame"}
	}
	return f.payload[1 : len(f.payload)-padding], nil
}

func appendFrameHeader(dst []byte, size int, k kind, flags uint8, stream uint32) []byte {
	dst = append(dst, byte(size>>16), byte(size>>8), byte(size), byte(k), flags)
	return binary.BigEndian.AppendUint32(dst, stream)
}

func appendReset(dst []byte, stream uint32, c code) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(dst, 4, kindReset, 0, stream), uint32(c))
}

func appendGoAway(dst []byte, last uint32, c code) []byte {
	dst = appendFrameHeader(dst, 8, kindGoAway, 0, 0)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(dst, last), uint32(c))
}

// appendWindowUpdate lets the peer send n more bytes; stream 0 is for the connection.
func appendWindowUpdate(dst []byte, stream uint32, n int) []byte {
	return binary.BigEndian.AppendUint32(appendFrameHeader(dst, 4, kindWindowUpdate, 0, stream), uint32(n))
}

// appendBlock appends an encoded header block as a HEADERS frame and, if it is longer than
// a frame, CONTINUATION frames.
func appendBlock(dst, block []byte, stream uint32, end bool) []byte {
	k, flags := kindHeaders, uint8(0)
	if end {
		flags = flagEndStream
	}
	for {
		part := block[:min(len(block), maxFrame)]
		if block = block[len(part):]; len(block) == 0 {
			flags |= flagEndHeaders
		}
		dst = append(appendFrameHeader(dst, len(part), k, flags, stream), part...)
		if len(block) == 0 {
			return dst
		}
		k, flags = kindContinuation, 0
	}
}
