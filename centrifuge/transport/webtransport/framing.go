package webtransport

import (
	"bytes"
	"errors"

	"centrifugo/protocol"

	"google.golang.org/protobuf/encoding/protowire"
)

var (
	errTooLarge  = errors.New("message is too large")
	errMalformed = errors.New("length of a message is malformed")
)

// framing is how messages follow one another in a stream, in both directions: each line
// of JSON ends with a line feed, each Protobuf message begins with its length as a varint.
// Several of them together have the form in which the node receives commands.
type framing struct{ protobuf bool }

// format returns the wire format of the messages.
func (f framing) format() protocol.Format {
	if f.protobuf {
		return protocol.FormatProtobuf
	}
	return 0
}

// maxLengthSize is the most that a length occupies, in bytes.
const maxLengthSize = 10

// appendMessage appends a message as it is in the stream.
func (f framing) appendMessage(dst, message []byte) []byte {
	if f.protobuf {
		return append(protowire.AppendVarint(dst, uint64(len(message))), message...)
	}
	return append(append(dst, message...), '\n')
}

// appendBatch appends messages as they are in the stream.
func (f framing) appendBatch(dst []byte, batch []*protocol.Encoded) []byte {
	for _, m := range batch {
		dst = f.appendMessage(dst, m.Bytes)
	}
	return dst
}

// whole returns the number of bytes at the beginning of b that are complete messages, of
// limit bytes each at most. The error is about what follows them. What was searched before
// without an end in it is known to be incomplete: the first scanned bytes.
func (f framing) whole(b []byte, scanned, limit int) (n int, err error) {
	if f.protobuf {
		return wholeMessages(b, limit)
	}
	for {
		end := bytes.IndexByte(b[max(n, scanned):], '\n')
		if end < 0 {
			if len(b)-n > limit {
				return n, errTooLarge
			}
			return n, nil
		}
		end += max(n, scanned)
		if end-n > limit {
			return n, errTooLarge
		}
		n = end + 1
	}
}

func wholeMessages(b []byte, limit int) (n int, err error) {
	for n < len(b) {
		size, header := protowire.ConsumeVarint(b[n:])
		switch {
		case header < 0 && len(b)-n < maxLengthSize:
			return n, nil // incomplete
		case header < 0:
			return n, errMalformed
		case size > uint64(limit): //nolint:gosec // a limit is positive
			return n, errTooLarge
		case int(size) > len(b)-n-header: //nolint:gosec // at most limit
			return n, nil
		}
		n += header + int(size) //nolint:gosec // at most limit
	}
	return n, nil
}

// malformed returns a message that no node accepts, to end a connection in the order of
// its commands: an empty line, or the beginning of a length.
func (f framing) malformed() []byte {
	if f.protobuf {
		return []byte{0x80}
	}
	return []byte{'\n'}
}
