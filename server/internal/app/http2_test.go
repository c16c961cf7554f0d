package app

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net/http"
	"regexp"
	"runtime/pprof"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
	"centrifugo/server/internal/app/apptest"

	xhttp2 "golang.org/x/net/http2"
)

// servedByNetHTTP is a goroutine of net/http for a connection over HTTP/2.
var servedByNetHTTP = regexp.MustCompile(`serverConn\)\.serve\(`)

// goroutines returns the stacks of all goroutines.
func goroutines(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 2); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// HTTP/2 of clients is served on the event loop: an SSE connection has no goroutine of net/http.
// http_server.tls_threaded leaves it to net/http.
func TestHTTP2OnTheEventLoop(t *testing.T) {
	const streams = `"client": {"insecure": true}, "uni_sse": {"enabled": true}, `
	a := newAuthority(t)
	for _, test := range []struct {
		name     string
		settings string
		tls      bool
		others   int // goroutines of net/http
	}{
		{"tls", streams + `"http_server": {` + a.section("tls", "") + `}`, true, 0},
		{"cleartext", streams + fmt.Sprintf(`"http_server": {"internal_address": "127.0.0.2", "internal_port": %d, "h2c_external": true}`, testprocess.FreePort(t)), false, 0},
		{"threaded", streams + `"http_server": {"tls_threaded": true, ` + a.section("tls", "") + `}`, true, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, test.settings)
			protocols := new(http.Protocols)
			transport, scheme := &http.Transport{Protocols: protocols}, "http"
			if protocols.SetUnencryptedHTTP2(!test.tls); test.tls {
				protocols.SetHTTP2(true)
				transport.TLSClientConfig, scheme = a.client(), "https"
			}
			client := &http.Client{Transport: transport, Timeout: apptest.Timeout}
			defer client.CloseIdleConnections()
			before := len(servedByNetHTTP.FindAll(goroutines(t), -1))
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, scheme+"://"+i.external()+"/connection/uni_sse?cf_connect=%7B%7D", nil)
			if err != nil {
				t.Fatal(err)
			}
			response, err := client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }()
			await.Until(t, "the stream is open", func() bool { return i.app.node.NumClients() == 1 })
			if n := len(servedByNetHTTP.FindAll(goroutines(t), -1)) - before; n != test.others || response.ProtoMajor != 2 {
				t.Errorf("%s, %d connections served by net/http; want %d over HTTP/2", response.Proto, n, test.others)
			}
		})
	}
}

// A connection over HTTP/2 that is ended because of what the client did is in the log, with the
// reason.
func TestHTTP2Refused(t *testing.T) {
	a := newAuthority(t)
	i := start(t, `"client": {"insecure": true}, "http_server": {`+a.section("tls", "")+`}`)
	trust := a.client()
	trust.NextProtos = []string{"h2"}
	conn, err := tls.Dial("tcp", i.external(), trust)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(xhttp2.ClientPreface)); err != nil {
		t.Fatal(err)
	}
	if err := xhttp2.NewFramer(conn, conn).WritePing(false, [8]byte{}); err != nil {
		t.Fatal(err)
	}
	i.awaitLogged("info", "connection over HTTP/2 ended", "the first frame is not SETTINGS (HTTP/2 error 1)")
}
