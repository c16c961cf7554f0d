package apihttp

import (
	"io"
	"net/http"
	"sync"
)

// buffer holds the body of a request and then its answer.
type buffer struct {
	in  []byte
	out []byte
}

// maxPooled bounds what a buffer may keep of a large request between two uses.
const maxPooled = 64 << 10

var buffers = sync.Pool{New: func() any { return &buffer{in: make([]byte, 0, 1024), out: make([]byte, 0, 256)} }}

// release puts the buffer back. Nothing may refer to its bytes any more.
func (b *buffer) release() {
	if cap(b.in) > maxPooled || cap(b.out) > maxPooled {
		return
	}
	b.in, b.out = b.in[:0], b.out[:0]
	buffers.Put(b)
}

// read reads the body whole, but no more than limit bytes of it: then the error
// is an *http.MaxBytesError.
func (b *buffer) read(w http.ResponseWriter, r *http.Request, limit int64) error {
	body := io.Reader(r.Body)
	// The server holds a body to its declared length, so that only one of
	// unknown length has to be counted.
	switch {
	case r.ContentLength > limit:
		// Nothing of it is read, and the connection is not used again.
		w.Header().Set("Connection", "close")
		return &http.MaxBytesError{Limit: limit}
	case r.ContentLength < 0:
		body = http.MaxBytesReader(w, r.Body, limit)
	}
	for {
		if len(b.in) == cap(b.in) {
			// Grown by what arrived, not by what was declared: a length alone
			// must not cost memory.
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
