package apihttp

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
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
		b.Fatalf("%d replies of 100: %.200s", n, w.body.Bytes())
	}
}

type answer struct {
	header http.Header
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(int)             {}
func (a *answer) Write(b []byte) (int, error) { return a.body.Write(b) }
