package websocket

import (
	"bytes"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"centrifugo/protocol"
)

// deflateTail is the end of the output of a sync flush. The sender removes it and the
// receiver appends it again (RFC 7692 7.2). inflateTail adds an empty last block, so
// that the reader reports io.EOF at the end of a message.
const (
	deflateTail = "\x00\x00\xff\xff"
	inflateTail = deflateTail + "\x01\x00\x00\xff\xff"
)

// deflater compresses whole messages at one level. A writer takes more than half a
// megabyte, so connections share a pool, which holds about as many writers as
// goroutines compress at the same time. It is safe for concurrent use.
type deflater struct{ writers sync.Pool }

type deflateWriter struct {
	w   *flate.Writer
	out bytes.Buffer
}

func newDeflater(level int) *deflater {
	d := &deflater{}
	d.writers.New = func() any {
		w := &deflateWriter{}
		w.w, _ = flate.NewWriter(&w.out, level) // fails for a level that Config excludes
		return w
	}
	return d
}

// message returns payload as a compressed message with the first byte first, or nil
// if the result is not smaller than plain, a size in bytes.
func (d *deflater) message(first byte, payload []byte, plain int) []byte {
	w := d.writers.Get().(*deflateWriter)
	defer d.writers.Put(w)
	w.out.Reset()
	w.w.Reset(&w.out)
	if _, err := w.w.Write(payload); err != nil {
		return nil
	}
	if err := w.w.Flush(); err != nil {
		return nil
	}
	packed, ok := bytes.CutSuffix(w.out.Bytes(), []byte(deflateTail))
	if !ok || len(packed)+maxServerHeader >= plain {
		return nil
	}
	message := appendHeader(make([]byte, 0, len(packed)+maxServerHeader), first|bitRSV1, len(packed))
	return append(message, packed...)
}

// Compress implements protocol.Compressor.
func (d *deflater) Compress(m *protocol.WireMessage) []byte {
	return d.message(m.Bytes[0], m.Bytes[m.Header:], len(m.Bytes))
}

// deflated returns f as a compressed message, or nil if compression does not make it
// smaller. It compresses once for all connections.
func (d *deflater) deflated(f *protocol.Encoded, protobuf bool) []byte {
	return messageOf(f, protobuf).Compressed(d)
}

// inflater inflates one message at a time. It holds a window of 32 KiB.
type inflater struct {
	r   io.ReadCloser
	in  []byte // the message with its tail
	src bytes.Reader
	out []byte
}

var inflaters = sync.Pool{New: func() any {
	i := &inflater{}
	i.r = flate.NewReader(&i.src)
	return i
}}

// maxKeptInflated is the largest capacity of a buffer that returns to the pool.
const maxKeptInflated = 128 << 10

// inflate returns the inflated payload, which is valid until release. It stops after
// limit bytes, which bounds the memory that a compression bomb takes.
func (i *inflater) inflate(payload []byte, limit int) ([]byte, *CloseError) {
	i.in = append(append(i.in[:0], payload...), inflateTail...)
	i.src.Reset(i.in)
	if err := i.r.(flate.Resetter).Reset(&i.src, nil); err != nil {
		return nil, &CloseError{closeInvalidData, "invalid compressed data"}
	}
	i.out = i.out[:0]
	for {
		if len(i.out) == cap(i.out) {
			i.out = grow(i.out, limit)
		}
		n, err := i.r.Read(i.out[len(i.out):cap(i.out)])
		i.out = i.out[:len(i.out)+n]
		switch {
		case len(i.out) > limit:
			return nil, &CloseError{closeTooBig, "message is too big when inflated"}
		case err == io.EOF:
			return i.out, nil
		case err != nil:
			return nil, &CloseError{closeInvalidData, "invalid compressed data"}
		}
	}
}

// grow doubles the capacity of b, to at most one byte above limit. That byte shows that
// a message exceeds limit.
func grow(b []byte, limit int) []byte {
	capacity := max(2*cap(b), 1<<10)
	if capacity > limit { // not limit+1, because limit may be the largest int
		capacity = limit + 1
	}
	if capacity <= cap(b) { // the buffer comes from a handler with a larger limit
		capacity = cap(b) + 1
	}
	grown := make([]byte, len(b), capacity)
	copy(grown, b)
	return grown
}

// release returns i to the pool. The inflated payload is then invalid.
func (i *inflater) release() {
	if cap(i.out) > maxKeptInflated {
		i.out = nil
	}
	if cap(i.in) > maxKeptInflated {
		i.in = nil
	}
	inflaters.Put(i)
}
