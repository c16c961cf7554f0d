package apihttp

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A batch of a hundred publications, without net/http.
func BenchmarkBatch(b *testing.B) {
	h := newHandler(b, newNode(b), nil)
	const command = `{"publish":{"channel":"plain","data":{"text":"hello, world","n":[1,2,3]}}}`
	body := `{"commands":[` + strings.Repeat(command+",", 99) + command + `]}`
	r, err := http.NewRequest(http.MethodPost, "/api/batch", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("X-API-Key", "K")
	reader := strings.NewReader(body)
	r.Body, r.ContentLength = nopCloser{reader}, int64(len(body))
	w := &answer{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		w.body.Reset()
		h.ServeHTTP(w, r)
	}
	if n := bytes.Count(w.body.Bytes(), []byte(`{"publish":{}}`)); n != 100 {
		b.Fatalf("%d replies of 100: %.200s; want 100", n, w.body.Bytes())
	}
}

type answer struct {
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(int)             {}
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }

// A stream of publications, without net/http.
func BenchmarkStream(b *testing.B) {
	h := newHandler(b, newNode(b), nil)
	line := `{"publish":{"channel":"plain","data":{"text":"` + strings.Repeat("x", 100) + `"}}}` + "\n"
	r, err := http.NewRequest(http.MethodPost, "/api/stream", nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("X-API-Key", "K")
	r.Body = &endless{line: line, left: b.N}
	w := &full{answer{header: http.Header{}}, 0}
	b.ReportAllocs()
	b.ResetTimer()
	h.ServeHTTP(w, r)
	if w.lines != b.N {
		b.Fatalf("%d lines were answered; want %d", w.lines, b.N)
	}
}

// endless is a body of equal lines.
type endless struct {
	line string
	left int
}

func (e *endless) Read(b []byte) (n int, err error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	for ; e.left > 0 && n+len(e.line) <= len(b); e.left-- {
		n += copy(b[n:], e.line)
	}
	return n, nil
}

func (*endless) Close() error { return nil }

// full counts lines.
type full struct {
	answer
	lines int
}

func (f *full) Write(b []byte) (int, error) {
	f.lines += bytes.Count(b, []byte("\n"))
	return len(b), nil
}

func (*full) FlushError() error                { return nil }
func (*full) EnableFullDuplex() error          { return nil }
func (*full) SetReadDeadline(time.Time) error  { return nil }
func (*full) SetWriteDeadline(time.Time) error { return nil }
