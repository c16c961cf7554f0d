package apihttp

import (
	"io"
	"net/http"
	"sync"
)

// buffer holds the body of a request, and the answer where it is encoded by hand.
type buffer struct {
	in  []byte
	out []byte
}

// maxPooled bounds the capacity of a buffer that is reused, in bytes.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any { return &buffer{in: make([]byte, 0, 1024), out: make([]byte, 0, 256)} }}

// release returns the buffer to the pool. Its bytes must not be used afterwards.
func (b *buffer) release() {
	if cap(b.in) > maxPooled || cap(b.out) > maxPooled {
		return
	}
	b.in, b.out = b.in[:0], b.out[:0]
	buffers.Put(b)
}

// read reads the body. If it is longer than limit bytes, the error is an
// *http.MaxBytesError.
func (b *buffer) read(w http.ResponseWriter, r *http.Request, limit int64) error {
	body := io.Reader(r.Body)
	// net/http does not read more than the declared length, so only bodies of unknown
	// length have to be counted.
	switch {
	case r.ContentLength > limit:
		// The body is not read, so the connection cannot be used again.
		w.Header().Set("Connection", "close")
		return &http.MaxBytesError{Limit: limit}
	case r.ContentLength < 0:
		body = http.MaxBytesReader(w, r.Body, limit)
	}
	for {
		if len(b.in) == cap(b.in) {
			// The buffer grows with the data that arrives, because a declared length
			// alone must not cost memory.
			b.in = append(b.in, 0)[:len(b.in)]
		}
		n, err := body.Read(b.in[len(b.in):cap(b.in)])
		b.in = b.in[:len(b.in)+n]
		if err == io.EOF { //nolint:errorlint // a Reader returns io.EOF itself
			return nil
		}
		if err != nil {
			return err //nolint:wrapcheck // the caller tells the cases apart
		}
	}
}
