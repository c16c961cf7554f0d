package playground

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, method, target string, header http.Header) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1:8000/", nil)
	r.URL.Path = target
	for key, values := range header {
		r.Header[key] = values
	}
	w := httptest.NewRecorder()
	Handler(map[string]string{"websocket": "/ws"}).ServeHTTP(w, r)
	return w.Result()
}

func body(t *testing.T, r *http.Response) string {
	t.Helper()
	var b strings.Builder
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Body.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.String()
		}
	}
}

func TestHandlerServesThePage(t *testing.T) {
	tests := []struct {
		method, path string
		status       int
		contentType  string
		empty        bool
	}{
		{"GET", "/", 200, "text/html; charset=utf-8", false},
		{"GET", "", 200, "text/html; charset=utf-8", false},
		{"GET", "/index.html", 200, "text/html; charset=utf-8", false},
		{"GET", "/playground.js", 200, "text/javascript; charset=utf-8", false},
		{"GET", "/connection.js", 200, "text/javascript; charset=utf-8", false},
		{"GET", "/transports.js", 200, "text/javascript; charset=utf-8", false},
		{"GET", "/transports.json", 200, "application/json", false},
		{"GET", "/frames.js", 200, "text/javascript; charset=utf-8", false},
		{"GET", "/playground.css", 200, "text/css; charset=utf-8", false},
		{"GET", "/icon.svg", 200, "image/svg+xml", false},
		{"HEAD", "/", 200, "text/html; charset=utf-8", true},
		{"POST", "/", 405, "text/plain; charset=utf-8", false},
		{"GET", "/nothing", 404, "text/plain; charset=utf-8", false},
		{"POST", "/nothing", 404, "text/plain; charset=utf-8", false},
		{"GET", "/page/index.html", 404, "text/plain; charset=utf-8", false},
		{"GET", "/../playground.go", 404, "text/plain; charset=utf-8", false},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			r := get(t, tt.method, tt.path, nil)
			if r.StatusCode != tt.status {
				t.Errorf("status %d, want %d", r.StatusCode, tt.status)
			}
			if got := r.Header.Get("Content-Type"); got != tt.contentType {
				t.Errorf("content type %q, want %q", got, tt.contentType)
			}
			if got := body(t, r); (got == "") != tt.empty {
				t.Errorf("body of %d bytes, want empty: %v", len(got), tt.empty)
			}
		})
	}
}

func TestTransportsOfTheServer(t *testing.T) {
	if got, want := body(t, get(t, "GET", "/transports.json", nil)), `{"websocket":"/ws"}`; got != want {
		t.Errorf("got %s; want %s", got, want)
	}
}

func TestHandlerAnswersNotModified(t *testing.T) {
	first := get(t, "GET", "/", nil)
	tag := first.Header.Get("ETag")
	if tag == "" {
		t.Fatal("the page has no ETag; want one")
	}
	if r := get(t, "GET", "/", http.Header{"If-None-Match": {tag}}); r.StatusCode != 304 || body(t, r) != "" {
		t.Errorf("same tag: status %d, want 304 without a body", r.StatusCode)
	}
	if r := get(t, "GET", "/", http.Header{"If-None-Match": {`"other"`}}); r.StatusCode != 200 {
		t.Errorf("other tag: status %d, want 200", r.StatusCode)
	}
}

func TestEveryEmbeddedFileIsServed(t *testing.T) {
	entries, err := fs.ReadDir(page, "page")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 7 {
		t.Errorf("embedded files = %d; want 7", len(entries))
	}
	for _, e := range entries {
		if got := get(t, "GET", "/"+e.Name(), nil).StatusCode; got != http.StatusOK {
			t.Errorf("status of page/%s, which is embedded = %d; want 200", e.Name(), got)
		}
	}
}

// The page needs nothing that the policy forbids: other origins, inline code.
func TestPageNeedsNothingTheSecurityPolicyForbids(t *testing.T) {
	policy := get(t, "GET", "/", nil).Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("policy %q lacks %q; want it there", policy, want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("policy %q allows unsafe sources; want no \"unsafe\" in it", policy)
	}
	html := body(t, get(t, "GET", "/", nil))
	forbidden := map[string]string{
		"an inline event handler": `(?i)<[^>]+\son[a-z]+\s*=`,
		"an inline style":         `(?i)<[^>]+\sstyle\s*=|<style`,
		"an inline script":        `(?i)<script(?:\s+type="module")?\s*>`,
		"another origin":          `(?i)(?:src|href)\s*=\s*["']?(?:https?:)?//`,
	}
	for what, pattern := range forbidden {
		if m := regexp.MustCompile(pattern).FindString(html); m != "" {
			t.Errorf("index.html contains %s: %s; want nothing", what, m)
		}
	}
	for _, ref := range regexp.MustCompile(`(?:src|href)="([^"#]+)"`).FindAllStringSubmatch(html, -1) {
		if r := get(t, "GET", "/"+ref[1], nil); r.StatusCode != 200 {
			t.Errorf("index.html refers to %s: status %d; want 200", ref[1], r.StatusCode)
		}
	}
}

// Elements the script asks for by id exist in the page, each once.
func TestElementIDs(t *testing.T) {
	html := body(t, get(t, "GET", "/", nil))
	ids := map[string]int{}
	for _, m := range regexp.MustCompile(`\sid="([^"]+)"`).FindAllStringSubmatch(html, -1) {
		ids[m[1]]++
	}
	for id, n := range ids {
		if n != 1 {
			t.Errorf("id %q occurs %d times; want 1", id, n)
		}
	}
	script := body(t, get(t, "GET", "/playground.js", nil)) + body(t, get(t, "GET", "/frames.js", nil))
	asked := regexp.MustCompile(`\bel\('([^']+)'\)`).FindAllStringSubmatch(script, -1)
	if len(asked) < 10 {
		t.Fatalf("found %d uses of el() in the scripts; has it been renamed?; want at least 10", len(asked))
	}
	for _, m := range asked {
		if ids[m[1]] == 0 {
			t.Errorf("the script asks for #%s, which the page does not have; want more than 0", m[1])
		}
	}
}
