package websocket

import (
	"net/http"
	"strings"
	"testing"

	"centrifugo/centrifuge"
)

func TestHandshakeRefused(t *testing.T) {
	s := newServer(t, Config{}, false)
	good := handshake("/")
	replace := func(old, with string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the request", old)
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
		{"HTTP/1.0", replace("HTTP/1.1", "HTTP/1.0"), 505, "", ""},
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
				t.Fatalf("header %s is %q", c.header, p.answer.Header.Get(c.header))
			}
		})
	}
}

func TestHandshakeAccepted(t *testing.T) {
	s := newServer(t, Config{Compression: true, MaxFrames: 7}, false)
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
				t.Errorf("accept key %q", got)
			}
			if got := h.Get("Sec-WebSocket-Protocol"); got != c.protocol {
				t.Errorf("subprotocol %q", got)
			}
			if got := h.Get("Sec-WebSocket-Extensions"); got != c.extensions {
				t.Errorf("extensions %q", got)
			}
			c.want.Name, c.want.MaxFrames = "websocket", 7
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
			t.Errorf("%q: %v", header, got)
		}
	}
}

func TestOriginCheckIsConfigurable(t *testing.T) {
	s := newServer(t, Config{CheckOrigin: func(r *http.Request) bool { return r.Header.Get("Origin") == "https://good.example" }}, false)
	s.dial(t, "/", "Origin: https://good.example")
	if p := s.dialRaw(t, handshake("/")); p.answer.StatusCode != http.StatusForbidden {
		t.Fatalf("status %d", p.answer.StatusCode)
	}
}
