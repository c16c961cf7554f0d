package app

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"centrifugo/server/internal/app/apptest"
)

// refusedBecauseOfOrigin asks for a WebSocket that is refused, over a connection, which writes a line of the log.
func refusedBecauseOfOrigin(t *testing.T, address, before, header string) {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(apptest.Timeout))
	_, err = fmt.Fprintf(c, "%sGET /connection/websocket HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\nConnection: close, Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n", before, header)
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(c); err != nil || !bytes.Contains(answer, []byte(" 403 ")) {
		t.Fatalf("answer %q, %v; want 403", answer, err)
	}
}

// The addresses of clients are those that balancers and reverse proxies name, if
// http_server.proxy_protocol_from and http_server.forwarded_for_from have them.
func TestClientAddresses(t *testing.T) {
	const header = "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"
	for name, c := range map[string]struct{ settings, before, header, want string }{
		"PROXY protocol":             {`"proxy_protocol_from": ["127.0.0.1"]`, header, "", "203.0.113.7:4711"},
		"X-Forwarded-For":            {`"forwarded_for_from": ["127.0.0.0/8"]`, "", "X-Forwarded-For: 1.2.3.4, 203.0.113.8\r\n", "203.0.113.8:0"},
		"both":                       {`"proxy_protocol_from": ["127.0.0.1"], "forwarded_for_from": ["203.0.113.7"]`, header, "X-Forwarded-For: 203.0.113.9\r\n", "203.0.113.9:0"},
		"X-Forwarded-For, untrusted": {`"forwarded_for_from": ["10.0.0.0/8"]`, "", "X-Forwarded-For: 203.0.113.8\r\n", "127.0.0.1:"},
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, anonymous+`, "http_server": {`+c.settings+`}`)
			refusedBecauseOfOrigin(t, i.external(), c.before, c.header)
			i.awaitLogged("warn", "connection refused", `"remote":"`+c.want)
		})
	}
}

// The header comes before the handshake of TLS, and a WebSocket behind it is on the event
// loop, so that it has no goroutine.
func TestProxyProtocolOfWebSockets(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("every connection has a goroutine here")
	}
	a := newAuthority(t)
	for name, c := range map[string]struct {
		section string
		dialer  apptest.Dialer
	}{
		"plain": {"", apptest.Dialer{}},
		"TLS":   {", " + a.section("tls", ""), apptest.Dialer{TLS: a.client()}},
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, `"client": {"insecure": true}, "http_server": {"proxy_protocol_from": ["127.0.0.1"]`+c.section+`}`)
			c.dialer.Preamble = "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n"
			conn := i.connected(c.dialer)
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			if bytes.Contains(stacks, []byte("eventloop.(*threadedSocket)")) {
				t.Error("a goroutine reads the connection; want the event loop")
			}
			if reply := ask(t, conn, `{"id":2,"publish":{"channel":"x","data":1}}`); reply != `{"id":2,"publish":{}}` {
				t.Errorf("publishing: %s; want {\"id\":2,\"publish\":{}}", reply)
			}
		})
	}
}
