package loadtest

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"io"

	"github.com/klauspost/compress/flate"
)

// inflater unpacks messages of RFC 7692 without context takeover. One serves a
// whole fleet.
//
// A broadcast reaches every subscriber as the same bytes, so the last messages
// are kept: finding one costs a fraction of unpacking it. Without context
// takeover equal bytes are equal messages.
type inflater struct {
	reader io.ReadCloser
	source bytes.Reader
	input  []byte
	seed   maphash.Seed
	known  [256]unpacked // by the lowest bits of the hash
}

// unpacked is a message that came before.
type unpacked struct {
	packed []byte
	plain  bytes.Buffer
}

// tail is what the sender leaves out (RFC 7692, 7.2.2), and a final block.
var tail = []byte{0, 0, 0xff, 0xff, 1, 0, 0, 0xff, 0xff}

// unpack returns the message; it is valid until the next call.
func (i *inflater) unpack(message []byte) ([]byte, error) {
	if i.reader == nil {
		i.seed = maphash.MakeSeed()
		i.reader = flate.NewReader(&i.source)
	}
	u := &i.known[maphash.Bytes(i.seed, message)%uint64(len(i.known))]
	if len(u.packed) > 0 && bytes.Equal(message, u.packed) {
		return u.plain.Bytes(), nil
	}
	const most = 256 << 10 // bytes of a buffer that is kept
	if u.plain.Cap() > most {
		*u = unpacked{}
	}
	u.packed = append(u.packed[:0], message...)
	u.plain.Reset()
	i.input = append(append(i.input[:0], message...), tail...)
	i.source.Reset(i.input)
	if err := i.reader.(flate.Resetter).Reset(&i.source, nil); err != nil { //nolint:forcetypeassert // every flate reader is one
		return nil, fmt.Errorf("inflating: %w", err)
	}
	n, err := io.Copy(&u.plain, io.LimitReader(i.reader, maxMessage+1))
	if err == nil && n > maxMessage {
		err = errTooLarge
	}
	if err != nil {
		*u = unpacked{}
		return nil, fmt.Errorf("inflating: %w", err)
	}
	return u.plain.Bytes(), nil
}
