package static

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const policy = "default-src 'none'"

var (
	long  = strings.Repeat("body{color:red}", 1000)
	pages = fstest.MapFS{
		"index.html": {Data: []byte("<!doctype html>")},
		"a.css":      {Data: []byte(long)},
		"deep/b.js":  {Data: []byte("1")},
	}
)

func serve(method, path string, header ...string) *http.Response {
	r := httptest.NewRequest(method, "http://127.0.0.1/", nil)
	r.URL.Path = path
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	Handler(pages, policy).ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		contentType  string
		body         string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", "<!doctype html>"},
		{"GET", "", 200, "text/html; charset=utf-8", "<!doctype html>"},
		{"GET", "/index.html", 200, "text/html; charset=utf-8", "<!doctype html>"},
		{"GET", "/deep/../a.css", 200, "text/css; charset=utf-8", long},
		{"GET", "/deep/b.js", 200, "text/javascript; charset=utf-8", "1"},
		{"HEAD", "/a.css", 200, "text/css; charset=utf-8", ""},
		{"POST", "/a.css", 405, "text/plain; charset=utf-8", "Method Not Allowed\n"},
		{"GET", "/b.js", 404, "text/plain; charset=utf-8", "404 page not found\n"},
		{"GET", "/deep", 404, "text/plain; charset=utf-8", "404 page not found\n"},
		{"GET", "/../../etc/passwd", 404, "text/plain; charset=utf-8", "404 page not found\n"},
	}
	for _, test := range tests {
		response := serve(test.method, test.path)
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if got := response.StatusCode; got != test.status {
			t.Errorf("%s %s: status %d, want %d", test.method, test.path, got, test.status)
		}
		if got := response.Header.Get("Content-Type"); got != test.contentType {
			t.Errorf("%s %s: Content-Type = %q, want %q", test.method, test.path, got, test.contentType)
		}
		if string(body) != test.body {
			t.Errorf("%s %s: body = %.40q, want %.40q", test.method, test.path, body, test.body)
		}
		if got := response.Header.Get("Content-Security-Policy"); test.status == 200 && got != policy {
			t.Errorf("%s %s: policy = %q, want %q", test.method, test.path, got, policy)
		}
	}
}

func TestCompression(t *testing.T) {
	tests := []struct {
		path, accept string
		want         string // Content-Encoding
	}{
		{"/a.css", "gzip, deflate, br", "gzip"},
		{"/a.css", "br;q=1.0, gzip;q=0.8", "gzip"},
		{"/a.css", "gzip;q=0", ""},
		{"/a.css", "gzip;q=0.00", ""},
		{"/a.css", "br", ""},
		{"/a.css", "", ""},
		{"/index.html", "gzip", ""}, // too short
	}
	for _, test := range tests {
		response := serve("GET", test.path, "Accept-Encoding", test.accept)
		if got := response.Header.Get("Content-Encoding"); got != test.want {
			t.Errorf("%s for %q: Content-Encoding = %q, want %q", test.path, test.accept, got, test.want)
		}
	}
	response := serve("GET", "/a.css", "Accept-Encoding", "gzip")
	r, err := gzip.NewReader(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if body, err := io.ReadAll(r); err != nil || !bytes.Equal(body, []byte(long)) {
		t.Errorf("decompressed: %d bytes, %v; want %d bytes", len(body), err, len(long))
	}
}

func TestRevalidation(t *testing.T) {
	tag := serve("GET", "/a.css").Header.Get("ETag")
	if got := serve("GET", "/a.css", "If-None-Match", tag).StatusCode; got != http.StatusNotModified {
		t.Errorf("with the tag %s: status %d, want %d", tag, got, http.StatusNotModified)
	}
	if got := serve("GET", "/", "If-None-Match", tag).StatusCode; got != http.StatusOK {
		t.Errorf("with the tag of another file: status %d, want %d", got, http.StatusOK)
	}
}

func TestUnknownExtension(t *testing.T) {
	defer func() {
		if reason := recover(); reason == nil {
			t.Error("no panic, want one for a file of unknown type")
		}
	}()
	Handler(fstest.MapFS{"a.exe": {}}, policy)
}

func TestAddCompressed(t *testing.T) {
	files := New(policy)
	if err := files.AddCompressed("a.css", compress([]byte(long))); err != nil {
		t.Fatal(err)
	}
	for accept, want := range map[string]int{"gzip": len(compress([]byte(long))), "": len(long)} {
		r := httptest.NewRequest(http.MethodGet, "/a.css", nil)
		r.Header.Set("Accept-Encoding", accept)
		w := httptest.NewRecorder()
		files.ServeHTTP(w, r)
		if got := w.Body.Len(); got != want {
			t.Errorf("bytes for Accept-Encoding %q = %d, want %d", accept, got, want)
		}
	}
	for _, bad := range [][]byte{nil, []byte(long), compress([]byte(long))[:20]} {
		if err := files.AddCompressed("b.css", bad); err == nil {
			t.Errorf("AddCompressed of %d bytes that are not gzip = nil, want an error", len(bad))
		}
	}
}
