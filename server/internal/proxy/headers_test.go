package proxy

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// TestHeaders: what of a connection is passed on, and in which order of precedence
// (server.md 5.2). Values of headers are never logged.
func TestHeaders(t *testing.T) {
	transport := http.Header{"Authorization": {"transport"}, "X-Two": {"1", "2"}, "Accept-Encoding": {"br"}, "Cookie": {"secret"}, "Connection": {"close"}}
	emulated := map[string]string{"authorization": "emulated", "X-App": "app", "cookie": "emulated"}
	metadata := map[string][]string{"x-meta": {"m"}, "X-Meta": {"other"}}
	tests := []struct {
		name   string
		change func(*config.Proxy)
		want   map[string]string // of the names below
	}{
		{name: "nothing is passed on"},
		{name: "http_headers", change: func(c *config.Proxy) { c.HTTPHeaders = []string{"authorization", "x-two", "X-Absent"} },
			want: map[string]string{"Authorization": "transport", "X-Two": "1,2"}},
		{name: "http_headers does not pass on what a client writes into its command", change: func(c *config.Proxy) { c.HTTPHeaders = []string{"X-App"} }},
		{name: "emulated_headers", change: func(c *config.Proxy) { c.EmulatedHeaders = []string{"Authorization", "x-app"} },
			want: map[string]string{"Authorization": "emulated", "X-App": "app"}},
		{name: "emulated_headers does not pass on those of the transport", change: func(c *config.Proxy) { c.EmulatedHeaders = []string{"X-Two"} }},
		{name: "transport precedes emulated", change: func(c *config.Proxy) {
			c.HTTPHeaders, c.EmulatedHeaders = []string{"Authorization"}, []string{"Authorization"}
		}, want: map[string]string{"Authorization": "transport"}},
		{name: "static_headers", change: func(c *config.Proxy) { c.HTTP.StaticHeaders = map[string]string{"x-static": "s"} },
			want: map[string]string{"X-Static": "s"}},
		{name: "emulated precedes static_headers", change: func(c *config.Proxy) {
			c.HTTP.StaticHeaders, c.EmulatedHeaders = map[string]string{"x-app": "s", "cookie": "s"}, []string{"X-App"}
		}, want: map[string]string{"X-App": "app", "Cookie": "s"}},
		{name: "grpc_metadata becomes headers, matched exactly", change: func(c *config.Proxy) { c.GRPCMetadata = []string{"x-meta"} },
			want: map[string]string{"X-Meta": "m"}},
		{name: "headers of the connection itself", change: func(c *config.Proxy) {
			c.HTTPHeaders = []string{"Accept-Encoding", "Connection", "Content-Type", "Content-Length"}
			c.HTTP.StaticHeaders = map[string]string{"content-type": "text/plain"}
		}},
	}
	names := []string{"Authorization", "X-Two", "X-App", "X-Static", "X-Meta", "Cookie", "Connection"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			b := newBackend(t, text(`{"result": {}}`))
			p := newTester(t, b.URL, test.change)
			p.set.options.Metadata = func(context.Context) map[string][]string { return metadata }
			session, err := p.set.NewSession(context.WithValue(context.Background(), headersKey{}, transport), emulated)
			if err != nil {
				t.Fatal(err)
			}
			c := caller()
			c.Session = session
			if _, err := p.Call(context.Background(), Connect, c, Request{}); err != nil {
				t.Fatal(err)
			}
			got := map[string]string{}
			for _, name := range names {
				if values := b.headers.Load().Values(name); len(values) > 0 {
					got[name] = strings.Join(values, ",")
				}
			}
			if !maps.Equal(got, test.want) {
				t.Errorf("the backend got %v; want %v", got, test.want)
			}
			if got := b.headers.Load().Get("Content-Type"); got != "application/json" {
				t.Errorf("Content-Type %q; want application/json", got)
			}
			if log := p.log.String(); log != "" {
				t.Errorf("log %q; want nothing", log)
			}
		})
	}
}

// TestHost: static_headers may name the host; a client may not.
func TestHost(t *testing.T) {
	var host string
	b := newBackend(t, func(w http.ResponseWriter, r *http.Request, _ string) {
		host = r.Host
		_, _ = io.WriteString(w, "{}")
	})
	p := newTester(t, b.URL, func(c *config.Proxy) {
		c.HTTP.StaticHeaders, c.EmulatedHeaders = map[string]string{"host": "app.internal"}, []string{"Host"}
	})
	session, err := p.set.NewSession(context.Background(), map[string]string{"Host": "elsewhere"})
	if err != nil {
		t.Fatal(err)
	}
	c := caller()
	c.Session = session
	if _, err := p.Call(context.Background(), Connect, c, Request{}); err != nil || host != "app.internal" {
		t.Errorf("host %q, error %v; want app.internal", host, err)
	}
}

// TestSessionKeepsLittle: a session has only what some proxy passes on.
func TestSessionKeepsLittle(t *testing.T) {
	p := newTester(t, "http://127.0.0.1:1", func(c *config.Proxy) { c.HTTPHeaders, c.EmulatedHeaders = []string{"A"}, []string{"B"} })
	ctx := context.WithValue(context.Background(), headersKey{}, http.Header{"A": {"1"}, "C": {"2"}})
	s, err := p.set.NewSession(ctx, map[string]string{"B": "3", "D": "4"})
	if err != nil || len(s.headers) != 1 || len(s.emulated) != 1 || s.metadata != nil {
		t.Errorf("session %+v, error %v; want one header and one emulated header", s, err)
	}
	if got := p.set.Headers(); !slices.Equal(got, []string{"A"}) {
		t.Errorf("headers to keep %v; want [A]", got)
	}
	var none *Set
	if s, err := none.NewSession(ctx, map[string]string{"B": "3"}); s != nil || err != nil {
		t.Errorf("session without proxies %v, error %v; want none", s, err)
	}
}

// TestBadEmulatedHeader: a value that would break a request is refused before any call.
func TestBadEmulatedHeader(t *testing.T) {
	p := newTester(t, "http://127.0.0.1:1", func(c *config.Proxy) { c.EmulatedHeaders = []string{"A"} })
	for _, value := range []string{"a\r\nX-Admin: 1", "a\x00", "\x7f"} {
		_, err := p.set.NewSession(context.Background(), map[string]string{"a": value})
		if !errors.Is(err, centrifuge.DisconnectBadRequest) {
			t.Errorf("value %q: error %v; want %v", value, err, centrifuge.DisconnectBadRequest)
		}
	}
	if _, err := p.set.NewSession(context.Background(), map[string]string{"other": "a\n"}); err != nil {
		t.Errorf("a header that is not passed on: %v; want no error", err)
	}
}

// TestBadStaticHeaders: they are refused when the server starts, not with each call.
func TestBadStaticHeaders(t *testing.T) {
	for name, value := range map[string]string{"a b": "1", "": "1", "a": "1\n2"} {
		c := settings()
		c.Endpoint, c.HTTP.StaticHeaders = "http://127.0.0.1:1", map[string]string{name: value}
		if _, err := NewSet(Sections{RPC: c}, Options{}); err == nil || !strings.Contains(err.Error(), "rpc.proxy") {
			t.Errorf("header %q: %q: error %v; want one that names rpc.proxy", name, value, err)
		}
	}
}

// FuzzDecodeJSON decodes answers of a backend, which may be anything.
func FuzzDecodeJSON(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"result": {"user": "42", "subs": {"a": null, "b": {"override": {"presence": {"value": true}}}}}}`, `{"result": {"b64data": "AA=="}}`,
		`{"error": {"code": 4294967296}}`, `{"disconnect": {"code": 4000}}`, `[`, `{"result": {"expire_at": 1e400}}`, `{"result": {"version": -1}}`,
	} {
		f.Add([]byte(seed), uint8(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, event uint8) {
		r, err := decodeJSON(body)
		if err != nil {
			return
		}
		if r.settle(Event(event)%numEvents) != nil {
			return
		}
		if r.Result != nil && (r.Result.B64Info != "" || len(r.Result.Data) == 0 && r.Result.B64Data != "") {
			t.Errorf("result %+v has base64 left; want it decoded", r.Result)
		}
		_ = r.Err()
	})
}
