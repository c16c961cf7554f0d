package middleware

import (
	"bytes"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLocal(t *testing.T) {
	const closed, open = false, true
	tests := []struct {
		name   string
		open   bool
		host   string
		header []string
		want   bool
	}{
		{"a program", closed, "127.0.0.1:8000", nil, true},
		{"a program, by name", closed, "localhost:8000", nil, true},
		{"a program, IPv6", closed, "[::1]:8000", nil, true},
		{"IPv6 without a port", closed, "[::1]", nil, true},
		{"IPv4 in IPv6", closed, "[::ffff:127.0.0.1]:8000", nil, true},
		{"another loopback address", closed, "127.9.9.9", nil, true},
		{"upper case and a dot", closed, "LOCALHOST.:8000", nil, true},
		{"a name below localhost", closed, "app.localhost:8000", nil, true},
		{"no host, as HTTP/1.0", closed, "", nil, true},
		{"no host, with an origin", closed, "", []string{"Origin", "http://localhost"}, false},
		{"a foreign host", closed, "evil.example:8000", nil, false},
		{"a name that looks local", closed, "localhost.evil.example", nil, false},
		{"an address in a name", closed, "127.0.0.1.nip.example", nil, false},
		{"another address", closed, "192.168.1.5:8000", nil, false},
		{"a port that is none", closed, "localhost:evil", nil, false},
		{"only a port", closed, ":8000", nil, false},
		{"a page of this machine", closed, "127.0.0.1:8000", []string{"Origin", "http://localhost:3000"}, true},
		{"a page over TLS", closed, "127.0.0.1:8000", []string{"Origin", "https://[::1]"}, true},
		{"cross-site, but local", closed, "127.0.0.1:8000", []string{"Origin", "http://localhost:3000", "Sec-Fetch-Site", "cross-site"}, true},
		{"a foreign page", closed, "127.0.0.1:8000", []string{"Origin", "https://evil.example"}, false},
		{"a foreign page, rebound", closed, "evil.example:8000", []string{"Origin", "http://evil.example:8000", "Sec-Fetch-Site", "same-origin"}, false},
		{"a page without an address", closed, "127.0.0.1:8000", []string{"Origin", "null"}, false},
		{"an empty origin", closed, "127.0.0.1:8000", []string{"Origin", ""}, false},
		{"an origin that looks local", closed, "127.0.0.1:8000", []string{"Origin", "http://localhost.evil.example"}, false},
		{"an origin with a user", closed, "127.0.0.1:8000", []string{"Origin", "http://localhost@evil.example"}, false},
		{"an origin with a path", closed, "127.0.0.1:8000", []string{"Origin", "http://localhost/evil.example"}, false},
		{"an origin that is no page", closed, "127.0.0.1:8000", []string{"Origin", "ftp://localhost"}, false},
		{"a long origin", closed, "127.0.0.1:8000", []string{"Origin", "http://" + strings.Repeat("a.", MaxOrigin) + "localhost"}, false},
		{"cross-site without an origin", closed, "127.0.0.1:8000", []string{"Sec-Fetch-Site", "cross-site"}, false},
		{"same-site without an origin", closed, "127.0.0.1:8000", []string{"Sec-Fetch-Site", "same-site"}, false},
		{"typed into a browser", closed, "127.0.0.1:8000", []string{"Sec-Fetch-Site", "none"}, true},
		{"of the page itself", closed, "127.0.0.1:8000", []string{"Sec-Fetch-Site", "same-origin"}, true},

		{"open: a program, by any name", open, "centrifugo:8000", nil, true},
		{"open: a program, by address", open, "192.168.1.5:8000", nil, true},
		{"open: the page of its own address", open, "192.168.1.5:8000", []string{"Origin", "http://192.168.1.5:8000"}, true},
		{"open: the page of another address", open, "192.168.1.5:8000", []string{"Origin", "http://192.168.1.6:8000"}, false},
		{"open: the page of another port", open, "192.168.1.5:8000", []string{"Origin", "http://192.168.1.5"}, false},
		{"open: a page, rebound", open, "evil.example:8000", []string{"Origin", "http://evil.example:8000"}, false},
		{"open: reading, rebound", open, "evil.example:8000", []string{"Sec-Fetch-Site", "same-origin"}, false},
		{"open: a foreign page", open, "192.168.1.5:8000", []string{"Origin", "https://evil.example"}, false},
		{"open: the configured name", open, "dev.example:8000", []string{"Sec-Fetch-Site", "none"}, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := NewLocal(test.open, slog.New(slog.DiscardHandler), "dev.example")
			if !test.open {
				l = NewLocal(test.open, slog.New(slog.DiscardHandler))
			}
			r := request("POST", test.header...)
			r.Host = test.host
			if reason := l.Refusal(r); (reason == "") != test.want {
				t.Errorf("refused for %q, want it served: %v", reason, test.want)
			}
			want := 418
			if !test.want {
				want = 403
			}
			if w := serve(l.Middleware(teapot), r); w.Code != want {
				t.Errorf("status %d, want %d", w.Code, want)
			}
		})
	}
}

func TestLocalTwoOrigins(t *testing.T) {
	r := request("POST", "Origin", "http://localhost")
	r.Header.Add("Origin", "https://evil.example")
	if LocalOrigin(r) {
		t.Error("LocalOrigin with two origins = true; want false")
	}
}

// HostMiddleware does not check origins.
func TestLocalHost(t *testing.T) {
	l := NewLocal(false, slog.New(slog.DiscardHandler))
	for host, want := range map[string]int{"localhost:8000": 418, "evil.example": 403} {
		r := request("GET", "Origin", "https://evil.example")
		r.Host = host
		if w := serve(l.HostMiddleware(teapot), r); w.Code != want {
			t.Errorf("host %s: status %d, want %d", host, w.Code, want)
		}
	}
}

// Repeated requests of a page do not fill the log.
func TestLocalLogsOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logged bytes.Buffer
		l := NewLocal(false, slog.New(slog.NewTextHandler(&logged, nil)))
		refuse := func() {
			r := httptest.NewRequest("POST", "/api/"+strings.Repeat("x", 10000), nil)
			r.Host = "evil.example"
			serve(l.Middleware(teapot), r)
		}
		for range 100 {
			refuse()
		}
		time.Sleep(time.Second)
		refuse()
		text := logged.String()
		if strings.Count(text, "\n") != 2 || !strings.Contains(text, "suppressed=99") || !strings.Contains(text, "host=evil.example") || len(text) > 2000 {
			t.Errorf("logged %q; want 2, \"suppressed=99\" in it, \"host=evil.example\" in it and length at most 2000", text)
		}
	})
}
