package swagger

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// TestPage: the page and every file it refers to are served, compressed or not.
func TestPage(t *testing.T) {
	h, err := Handler("/tools/swagger", "/v2/api")
	if err != nil {
		t.Fatal(err)
	}
	w := get(t, h, "GET", "/tools/swagger")
	if w.Code != http.StatusMovedPermanently || w.Header().Get("Location") != "/tools/swagger/" {
		t.Errorf("without a slash: %d to %q; want 301 to /tools/swagger/", w.Code, w.Header().Get("Location"))
	}
	w = get(t, h, "GET", "/tools/swagger/")
	index := w.Body.String()
	if w.Code != 200 || !strings.Contains(w.Header().Get("Content-Security-Policy"), "script-src 'self';") {
		t.Fatalf("the page: %d, %v; want 200 and \"script-src 'self';\" in it", w.Code, w.Header())
	}
	if regexp.MustCompile(`(?i)<script>|\son[a-z]+=|https?://`).MatchString(index) {
		t.Errorf("the page has inline code, or loads something from elsewhere: %s; want neither", index)
	}
	references := regexp.MustCompile(`(?:src|href)="([^"]+)"`).FindAllStringSubmatch(index, -1)
	if len(references) < 5 {
		t.Errorf("the page refers to %v; want its scripts, style and document", references)
	}
	for _, reference := range references {
		compressed := get(t, h, "GET", "/tools/swagger/"+reference[1], "Accept-Encoding", "gzip")
		plain := get(t, h, "GET", "/tools/swagger/"+reference[1])
		if compressed.Code != 200 || plain.Code != 200 || plain.Header().Get("Content-Encoding") != "" || plain.Body.Len() < compressed.Body.Len() {
			t.Errorf("%s: %d of %d bytes with gzip, %d of %d bytes without; want the same of both, in fewer bytes with gzip", reference[1], compressed.Code, compressed.Body.Len(), plain.Code, plain.Body.Len())
		}
		if etag := plain.Header().Get("ETag"); get(t, h, "GET", "/tools/swagger/"+reference[1], "If-None-Match", etag).Code != http.StatusNotModified {
			t.Errorf("%s: not 304 for its own etag; want %v", reference[1], http.StatusNotModified)
		}
	}
	if script := get(t, h, "GET", "/tools/swagger/swagger-ui-bundle.js").Body.String(); !strings.Contains(script, "SwaggerUIBundle") {
		t.Errorf("the script of %d bytes does not define SwaggerUIBundle; want \"SwaggerUIBundle\" in it", len(script))
	}
	for path, want := range map[string]int{"/tools/swagger/nothing": 404, "/tools/swagger/../x": 404, "/tools/swagger/page/index.html": 404} {
		if w := get(t, h, "GET", path); w.Code != want {
			t.Errorf("GET %s: %d; want %d", path, w.Code, want)
		}
	}
	if w := get(t, h, "POST", "/tools/swagger/"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d; want 405", w.Code)
	}
	if w := get(t, h, "HEAD", "/tools/swagger/"); w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d, %d bytes; want 200 and none", w.Code, w.Body.Len())
	}
}

// TestDocument: the document is that of docs, with this server before others.
func TestDocument(t *testing.T) {
	h, err := Handler("/swagger", "/v2/api")
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		OpenAPI string
		Servers []struct{ URL string }
		Paths   map[string]any
	}
	if err := json.Unmarshal(get(t, h, "GET", "/swagger/openapi.json").Body.Bytes(), &d); err != nil {
		t.Fatal(err)
	}
	if d.OpenAPI == "" || len(d.Servers) < 2 || d.Servers[0].URL != "/v2/api" || d.Paths["/publish"] == nil {
		t.Errorf("the document has version %q, servers %v and %d paths; want length at least 2 and [0].URL \"/v2/api\"",
			d.OpenAPI, d.Servers, len(d.Paths))
	}
}
