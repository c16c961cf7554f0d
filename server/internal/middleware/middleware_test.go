package middleware

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func request(method string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "/connection/x", nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var teapot = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

func TestOrigins(t *testing.T) {
	tests := []struct {
		name     string
		patterns []string
		origin   string
		want     bool
	}{
		{"empty list, no origin", nil, "", true},
		{"empty list, an origin", nil, "https://example.com", false},
		{"star", []string{"*"}, "https://evil.example", true},
		{"star among others is a glob", []string{"*", "x"}, "https://evil.example", true},
		{"exact", []string{"https://example.com"}, "https://example.com", true},
		{"other scheme", []string{"https://example.com"}, "http://example.com", false},
		{"port counts", []string{"https://example.com"}, "https://example.com:8000", false},
		{"origin is lower-cased", []string{"https://example.com"}, "https://EXAMPLE.com", true},
		{"pattern is not", []string{"https://Example.com"}, "https://example.com", false},
		{"subdomains", []string{"https://*.example.com"}, "https://a.b.example.com", true},
		{"subdomain needed", []string{"https://*.example.com"}, "https://example.com", false},
		{"star crosses slashes", []string{"*example.com"}, "https://example.com", true},
		{"question mark", []string{"http://host?"}, "http://host1", true},
		{"question mark is one", []string{"http://host?"}, "http://host12", false},
		{"class", []string{"http://host[12]"}, "http://host2", true},
		{"class misses", []string{"http://host[12]"}, "http://host3", false},
		{"alternatives", []string{"http://{a,b}.example"}, "http://b.example", true},
		{"alternatives miss", []string{"http://{a,b}.example"}, "http://c.example", false},
		{"second pattern", []string{"http://a", "http://b"}, "http://b", true},
		{"no origin passes a list", []string{"http://a"}, "", true},
		{"origin null", []string{"http://a"}, "null", false},
		{"too long", []string{"http://*"}, "http://" + strings.Repeat("a", MaxOrigin), false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o, err := NewOrigins(test.patterns)
			if err != nil {
				t.Fatal(err)
			}
			r := request("GET")
			if test.origin != "" {
				r.Header.Set("Origin", test.origin)
			}
			if got := o.Allowed(r); got != test.want {
				t.Errorf("Allowed = %v, want %v", got, test.want)
			}
		})
	}
}

func TestOriginsRefuseBadPatterns(t *testing.T) {
	_, err := NewOrigins([]string{"http://ok", "http://[", "http://{a"})
	if err == nil || !strings.Contains(err.Error(), `"http://["`) || !strings.Contains(err.Error(), `"http://{a"`) {
		t.Errorf("err = %v, want both patterns named", err)
	}
	if o, err := NewOrigins([]string{"*"}); err != nil || !o.Any() {
		t.Errorf("star: any %v, err %v; want true, nil", o.Any(), err)
	}
}

func TestCORS(t *testing.T) {
	tests := []struct {
		name        string
		method      string
		header      []string
		status      int
		allow       string
		credentials string
		headers     string
	}{
		{"no origin", "GET", nil, 418, "", "", ""},
		{"refused origin is served", "GET", []string{"Origin", "http://evil"}, 418, "", "", ""},
		{"allowed", "POST", []string{"Origin", "http://Good"}, 418, "http://Good", "true", ""},
		{"preflight", "OPTIONS", []string{"Origin", "http://good", "Access-Control-Request-Headers", "content-type, x-a"},
			418, "http://good", "true", "content-type, x-a"},
		{"preflight with null headers", "OPTIONS", []string{"Origin", "http://good", "Access-Control-Request-Headers", "null"},
			418, "http://good", "true", ""},
		{"preflight of a refused origin", "OPTIONS", []string{"Origin", "http://evil"}, 418, "", "", ""},
	}
	o, err := NewOrigins([]string{"http://good"})
	if err != nil {
		t.Fatal(err)
	}
	h := CORS(o.Allowed)(teapot)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := serve(h, request(test.method, test.header...))
			if w.Code != test.status {
				t.Errorf("status %d, want %d", w.Code, test.status)
			}
			for key, want := range map[string]string{
				"Access-Control-Allow-Origin":      test.allow,
				"Access-Control-Allow-Credentials": test.credentials,
				"Access-Control-Allow-Headers":     test.headers,
			} {
				if got := w.Header().Get(key); got != want {
					t.Errorf("%s = %q, want %q", key, got, want)
				}
			}
		})
	}
}

func TestAdmission(t *testing.T) {
	reason, refused := "", []string(nil)
	h := Admission(func() string { return reason }, func(_ *http.Request, why string) { refused = append(refused, why) })(teapot)
	if w := serve(h, request("GET")); w.Code != 418 || w.Header().Get("Retry-After") != "" {
		t.Errorf("without a reason: status, Retry-After = %d, %q; want 418, none", w.Code, w.Header().Get("Retry-After"))
	}
	reason = "full"
	if w := serve(h, request("GET")); w.Code != 503 || w.Header().Get("Retry-After") != "1" {
		t.Errorf("with a reason: status, Retry-After = %d, %q; want 503, 1", w.Code, w.Header().Get("Retry-After"))
	}
	if len(refused) != 1 || refused[0] != reason {
		t.Errorf("refused was called with %q; want %q", refused, reason)
	}
}

func TestRecover(t *testing.T) {
	var logged bytes.Buffer
	h := Recover(slog.New(slog.NewJSONHandler(&logged, nil)))(http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) { panic("a bug") }))
	if w := serve(h, request("GET")); w.Code != 500 {
		t.Errorf("status %d, want 500", w.Code)
	}
	if text := logged.String(); !strings.Contains(text, "a bug") || !strings.Contains(text, "TestRecover") {
		t.Errorf("log has neither reason nor stack: %s; want \"a bug\" in it and \"TestRecover\" in it", text)
	}
}

func TestRecoverLetsAbortsPass(t *testing.T) {
	h := Recover(slog.New(slog.DiscardHandler))(http.HandlerFunc(
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer func() {
		if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("recovered %v; want %v", err, http.ErrAbortHandler)
		}
	}()
	serve(h, request("GET"))
}

func TestUserHeader(t *testing.T) {
	var user string
	seen := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { user = UserFrom(r.Context()) })
	serve(UserHeader("X-User")(seen), request("GET", "x-user", "42"))
	if user != "42" {
		t.Errorf("user %q, want 42", user)
	}
	serve(UserHeader("X-User")(seen), request("GET"))
	if user != "" {
		t.Errorf("without the header: user %q; want nothing", user)
	}
	serve(UserHeader("")(seen), request("GET", "X-User", "42"))
	if user != "" {
		t.Errorf("switched off: user %q; want nothing", user)
	}
}
