package websocket

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
)

func TestHandshakeRefused(t *testing.T) {
	s := newServer(t, Config{}, false)
	good := handshake("/")
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the request; want it there", old)
		}
		return strings.Replace(good, old, with, 1)
	}
	for _, c := range []struct {
		name, request string
		status        int
		header, value string
	}{
		{"plain GET", "GET / HTTP/1.1\r\nHost: example.com\r\n\r\n", 426, "Upgrade", "websocket"},
		{"other upgrade", replace("Upgrade: websocket", "Upgrade: h2c"), 426, "Upgrade", "websocket"},
		{"no connection header", replace("Connection: keep-alive, Upgrade", "Connection: keep-alive"), 426, "Upgrade", "websocket"},
		{"POST", replace("GET", "POST"), 405, "Allow", "GET"},
		{"version 12", replace("Version: 13", "Version: 12"), 426, "Sec-Websocket-Version", "13"},
		{"no version", replace("Sec-WebSocket-Version: 13\r\n", ""), 426, "Sec-Websocket-Version", "13"},
		{"no key", replace("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400, "", ""},
		{"short key", replace("dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="), 400, "", ""},
		{"key is not base64", replace("dGhlIHNhbXBsZSBub25jZQ==", "!!hlIHNhbXBsZSBub25jZQ=="), 400, "", ""},
		{"unknown generation", handshake("/?cf_protocol_version=v3"), 400, "", ""},
		{"foreign origin", handshake("/", "Origin: https://evil.example"), 403, "", ""},
		{"opaque origin", handshake("/", "Origin: null"), 403, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.dialRaw(t, c.request)
			if p.answer.StatusCode != c.status {
				t.Fatalf("status %d, want %d", p.answer.StatusCode, c.status)
			}
			if c.header != "" && p.answer.Header.Get(c.header) != c.value {
				t.Fatalf("header %s is %q; want %q", c.header, p.answer.Header.Get(c.header), c.value)
			}
		})
	}
}

// Headers that are lists may have several elements and several lines. What is not
// known in them, and what old proxies send, is no reason to refuse.
func TestHandshakeLists(t *testing.T) {
	s := newServer(t, Config{}, false)
	good := handshake("/")
	for _, c := range []struct {
		name     string
		old, new string
		protocol string
		protobuf bool
	}{
		{name: "connection in two lines", old: "Connection: keep-alive, Upgrade\r\n", new: "Connection: keep-alive\r\nConnection: Upgrade\r\n"},
		{name: "connection in two lines, the other way round", old: "Connection: keep-alive, Upgrade\r\n", new: "Connection: upgrade\r\nConnection: close\r\n"},
		{name: "upgrade of two", old: "Upgrade: websocket", new: "Upgrade: websocket, h2c"},
		{name: "upgrade of two, the other way round", old: "Upgrade: websocket", new: "Upgrade: h2c ,\tWebSocket"},
		{name: "upgrade in two lines", old: "Upgrade: websocket", new: "Upgrade: h2c\r\nUpgrade: websocket"},
		{name: "empty elements", old: "Connection: keep-alive, Upgrade", new: "Connection: ,,Upgrade,"},
		{name: "two versions", old: "Version: 13", new: "Version: 13, 8"},
		{name: "HTTP/1.0", old: "HTTP/1.1", new: "HTTP/1.0"},
		{name: "HTTP/1.0 without a host", old: "HTTP/1.1\r\nHost: example.com", new: "HTTP/1.0"},
		{name: "empty host", old: "Host: example.com", new: "Host:"},
		{name: "empty subprotocol", old: "Host:", new: "Sec-WebSocket-Protocol: \r\nHost:"},
		{name: "comma as subprotocol", old: "Host:", new: "Sec-WebSocket-Protocol: ,\r\nHost:"},
		{name: "no token as subprotocol", old: "Host:", new: "Sec-WebSocket-Protocol: foo/bar\r\nHost:"},
		{name: "unknown subprotocols", old: "Host:", new: "Sec-WebSocket-Protocol: a, b, c\r\nHost:"},
		{name: "known behind no token", old: "Host:", new: "Sec-WebSocket-Protocol: foo/bar, centrifuge-json\r\nHost:", protocol: "centrifuge-json"},
		{name: "known in the second line", old: "Host:", new: "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: centrifuge-protobuf\r\nHost:", protocol: "centrifuge-protobuf", protobuf: true},
		{name: "the first known one", old: "Host:", new: "Sec-WebSocket-Protocol: ,centrifuge-protobuf,centrifuge-json\r\nHost:", protocol: "centrifuge-protobuf", protobuf: true},
		{name: "malformed extensions", old: "Host:", new: "Sec-WebSocket-Extensions: ;;=,\r\nHost:"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if !strings.Contains(good, c.old) {
				t.Fatalf("%q is not in the request; want it there", c.old)
			}
			p := s.dialRaw(t, strings.Replace(good, c.old, c.new, 1))
			if p.answer.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %s; want 101", p.answer.Status)
			}
			if got := p.answer.Header.Values("Sec-WebSocket-Protocol"); c.protocol == "" && len(got) != 0 || c.protocol != "" && (len(got) != 1 || got[0] != c.protocol) {
				t.Errorf("subprotocol %q; want %q", got, c.protocol)
			}
			session := await.Receive(t, s.session(""), "session")
			if got := session.transport.Info().Protobuf; got != c.protobuf {
				t.Errorf("Protobuf %t; want %v", got, c.protobuf)
			}
			p.send(frame(finText, "hello"))
			session.expect(t, "hello")
		})
	}
}

// The Python SDK in its JSON mode, byte for byte as its WebSocket library sends
// it: an empty Sec-WebSocket-Protocol, and an offer of compression.
func TestHandshakeOfThePythonSDK(t *testing.T) {
	s, _, _ := newNodeServer(t, Config{Compression: true}, wireTCP)
	p := s.dialRaw(t, "GET /connection/websocket HTTP/1.1\r\n"+
		"Host: localhost:8000\r\n"+
		"Upgrade: websocket\r\n"+
		"Connection: Upgrade\r\n"+
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"+
		"Sec-WebSocket-Version: 13\r\n"+
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"+
		"Sec-WebSocket-Protocol: \r\n"+
		"User-Agent: Python/3.11 websockets/12.0\r\n\r\n")
	if p.answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("status %s; want 101", p.answer.Status)
	}
	if got, ok := p.answer.Header["Sec-Websocket-Protocol"]; ok {
		t.Fatalf("subprotocol %q; want none, since none was offered", got)
	}
	p.send(frame(finText, `{"id":1,"connect":{"name":"python"}}`))
	if _, payload, err := p.message(); err != nil || !strings.HasPrefix(string(payload), `{"id":1,"connect":{"client":`) {
		t.Fatalf("%q, %v; want prefix %q", payload, err, `{"id":1,"connect":{"client":`)
	}
}

// HTTP/2 has no Upgrade header: a request gets an answer that is valid there.
func TestOverHTTP2(t *testing.T) {
	h := NewHandler(nil, Config{})
	defer h.Close()
	for name, start := range map[string]func(*httptest.Server) http.RoundTripper{
		"tls": func(s *httptest.Server) http.RoundTripper {
			s.EnableHTTP2 = true
			s.StartTLS()
			return s.Client().Transport
		},
		"cleartext": func(s *httptest.Server) http.RoundTripper {
			s.Config.Protocols = new(http.Protocols)
			s.Config.Protocols.SetUnencryptedHTTP2(true)
			s.Start()
			protocols := new(http.Protocols)
			protocols.SetUnencryptedHTTP2(true)
			return &http.Transport{Protocols: protocols}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewUnstartedServer(h)
			client := &http.Client{Transport: start(s)}
			defer s.Close()
			defer client.CloseIdleConnections()
			for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodHead} {
				request, err := http.NewRequestWithContext(t.Context(), method, s.URL, nil)
				if err != nil {
					t.Fatal(err)
				}
				answer, err := client.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				_ = answer.Body.Close()
				if answer.ProtoMajor != 2 || answer.StatusCode != http.StatusHTTPVersionNotSupported {
					t.Errorf("%s: %s over %s; want 2 and %v", method, answer.Status, answer.Proto, http.StatusHTTPVersionNotSupported)
				}
				for _, header := range []string{"Connection", "Upgrade", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding"} {
					if got := answer.Header.Values(header); len(got) != 0 {
						t.Errorf("%s: %s is %q; want none", method, header, got)
					}
				}
			}
		})
	}
}

func TestHandshakeAccepted(t *testing.T) {
	s := newServer(t, Config{Compression: true, MaxBatch: 7}, false)
	for _, c := range []struct {
		name, path string
		extra      []string
		protocol   string
		extensions string
		want       centrifuge.TransportInfo
	}{
		{name: "bare", path: "/"},
		{name: "same host", path: "/", extra: []string{"Origin: http://EXAMPLE.com"}},
		{name: "json", path: "/", extra: []string{"Sec-WebSocket-Protocol: centrifuge-json"}, protocol: "centrifuge-json"},
		{name: "protobuf", path: "/", extra: []string{"Sec-WebSocket-Protocol: other, centrifuge-protobuf"}, protocol: "centrifuge-protobuf", want: centrifuge.TransportInfo{Protobuf: true}},
		{name: "unknown subprotocol", path: "/", extra: []string{"Sec-WebSocket-Protocol: other"}},
		{name: "format", path: "/?format=protobuf", want: centrifuge.TransportInfo{Protobuf: true}},
		{name: "cf_protocol", path: "/?cf_protocol=protobuf", want: centrifuge.TransportInfo{Protobuf: true}},
		{name: "protocol", path: "/?protocol=protobuf", want: centrifuge.TransportInfo{Protobuf: true}},
		{name: "format json", path: "/?format=json"},
		{name: "v1", path: "/?cf_protocol_version=v1", want: centrifuge.TransportInfo{Generation: centrifuge.GenerationV1}},
		{name: "v2", path: "/?cf_protocol_version=v2", want: centrifuge.TransportInfo{Generation: centrifuge.GenerationV2}},
		{name: "draft", path: "/?cf_protocol_version=v1-draft", want: centrifuge.TransportInfo{Generation: centrifuge.GenerationV1Draft}},
		{name: "native pings", path: "/?cf_ws_frame_ping_pong=true", want: centrifuge.TransportInfo{NativePing: true}},
		{name: "deflate", path: "/", extra: []string{"Sec-WebSocket-Extensions: x-webkit-deflate-frame, permessage-deflate; client_max_window_bits"}, extensions: deflateResponse},
		{name: "unmeetable deflate", path: "/", extra: []string{"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := s.dial(t, c.path, c.extra...)
			h := p.answer.Header
			if got := h.Get("Sec-WebSocket-Accept"); got != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" { // RFC 6455 1.3
				t.Errorf("accept key %q; want s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", got)
			}
			if got := h.Get("Sec-WebSocket-Protocol"); got != c.protocol {
				t.Errorf("subprotocol %q; want %v", got, c.protocol)
			}
			if got := h.Get("Sec-WebSocket-Extensions"); got != c.extensions {
				t.Errorf("extensions %q; want %v", got, c.extensions)
			}
			c.want.Name, c.want.MaxBatch = "websocket", 7
			if got := p.session.transport.Info(); got != c.want {
				t.Errorf("info %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWantsDeflate(t *testing.T) {
	for header, want := range map[string]bool{
		"":                               false,
		"permessage-deflate":             true,
		"foo, bar; permessage-deflate=1": false,
		"permessage-deflate; client_max_window_bits":                         true,
		"permessage-deflate; client_max_window_bits=15":                      true,
		"permessage-deflate; client_max_window_bits=8":                       true,
		"permessage-deflate; client_max_window_bits=7":                       false,
		"permessage-deflate; client_max_window_bits=16":                      false,
		"permessage-deflate; client_max_window_bits=08":                      false,
		"permessage-deflate; server_max_window_bits=15":                      true,
		"permessage-deflate; server_max_window_bits":                         false,
		"permessage-deflate; server_max_window_bits=9":                       false,
		"permessage-deflate; server_max_window_bits=9, permessage-deflate":   true,
		"permessage-deflate; server_no_context_takeover":                     true,
		"permessage-deflate; server_no_context_takeover=1":                   false,
		"permessage-deflate; client_no_context_takeover":                     true,
		"permessage-deflate; unknown":                                        false,
		"permessage-deflate; client_max_window_bits; client_max_window_bits": false,
		"permessage-deflate; ;;=":                                            false,
	} {
		if got := wantsDeflate([]string{"first-header", header}); got != want {
			t.Errorf("%q: %v; want %v", header, got, want)
		}
	}
}

func TestOriginCheckIsConfigurable(t *testing.T) {
	s := newServer(t, Config{CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "https://good.example" }}, false)
	s.dial(t, "/", "Origin: https://good.example")
	if p := s.dialRaw(t, handshake("/")); p.answer.StatusCode != http.StatusForbidden {
		t.Fatalf("status %d; want %v", p.answer.StatusCode, http.StatusForbidden)
	}
}
