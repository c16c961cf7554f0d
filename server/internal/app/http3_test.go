package app

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
	"centrifugo/internal/wsframe"
	"centrifugo/server/internal/app/apptest"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
)

// http3Settings serves HTTP/3 with a certificate of a.
func http3Settings(a *authority, clientCA string) string {
	return `"http_server": {"http3": {"enabled": true}, ` + a.section("tls", clientCA) + `}`
}

// http3Client asks over HTTP/3 only.
func http3Client(t testing.TB, c *tls.Config) *http.Client {
	t.Helper()
	transport := &http3.Transport{TLSClientConfig: c}
	t.Cleanup(func() { _ = transport.Close() })
	return &http.Client{Transport: transport}
}

// ask3 sends a request over HTTP/3 and returns its response, which lasts until the test ends.
func (i *instance) ask3(client *http.Client, method, path, body string, header ...string) *http.Response {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Timeout)
	request, err := http.NewRequestWithContext(ctx, method, "https://"+i.external()+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	for k := 0; k < len(header); k += 2 {
		request.Header.Set(header[k], header[k+1])
	}
	response, err := client.Do(request)
	if err != nil {
		i.t.Fatalf("%s %s over HTTP/3: %v", method, path, err)
	}
	i.t.Cleanup(func() {
		cancel()
		_ = response.Body.Close()
	})
	if response.ProtoMajor != 3 {
		i.t.Fatalf("%s %s: %s; want HTTP/3", method, path, response.Proto)
	}
	return response
}

// TestHTTP3: with http_server.http3.enabled, the endpoints of the external listener are
// served over HTTP/3, and answers over TCP say so (server.md 6.3).
func TestHTTP3(t *testing.T) {
	a := newAuthority(t)
	i := start(t, allStreams+`, "http_api": {"key": "k"}, "health": {"enabled": true}, `+http3Settings(a, ""))
	_, port, _ := net.SplitHostPort(i.external())
	tcp, err := get(t, a.client(), "https://"+i.external()+"/health")
	if err != nil || tcp.ProtoMajor != 2 {
		t.Fatalf("health over TCP: %+v, %v; want HTTP/2", tcp, err)
	}
	if got, want := tcp.Header.Get("Alt-Svc"), fmt.Sprintf(`h3=":%s"; ma=86400`, port); got != want {
		t.Errorf("Alt-Svc over TCP: got %q; want %q", got, want)
	}
	client := http3Client(t, a.client())
	if health := i.ask3(client, http.MethodGet, "/health", ""); health.StatusCode != 200 {
		t.Errorf("health: status %d; want 200", health.StatusCode)
	}
	if preflight := i.ask3(client, http.MethodOptions, "/connection/http_stream", "", "Origin", "https://page.example"); preflight.StatusCode != 204 ||
		preflight.Header.Get("Access-Control-Allow-Origin") != "https://page.example" {
		t.Errorf("preflight: %+v; want 204 and the origin", preflight)
	}
	stream := i.ask3(client, http.MethodPost, "/connection/http_stream", `{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"x"}}`)
	lines := bufio.NewScanner(stream.Body)
	wantLine := func(prefix string) {
		t.Helper()
		if !lines.Scan() || !strings.HasPrefix(lines.Text(), prefix) {
			t.Fatalf("got %q, %v; want %q", lines.Text(), lines.Err(), prefix)
		}
	}
	wantLine(`{"id":1,"connect":{`)
	wantLine(`{"id":2,"subscribe":{}}`)
	publish := i.ask3(client, http.MethodPost, "/api/publish", `{"channel":"x","data":1}`, "X-API-Key", "k")
	if body, err := io.ReadAll(publish.Body); string(body) != `{"result":{}}` {
		t.Errorf("publishing: %s, %v; want a result", body, err)
	}
	wantLine(`{"push":{"channel":"x","pub":{"data":1}}}`)
	stopped := make(chan error, 1)
	go func() { stopped <- i.stop() }()
	wantLine(`{"push":{"disconnect":{"code":3001,"reason":"shutdown"}}}`)
	if lines.Scan() {
		t.Errorf("behind the end: got %s; want nothing", lines.Text())
	}
	if err := <-stopped; err != nil {
		t.Errorf("stopping: %v", err)
	}
	if packets, err := net.ListenPacket("udp", i.external()); err != nil {
		t.Errorf("the UDP port after the stop: %v; want it to be free", err)
	} else {
		_ = packets.Close()
	}
	for _, entry := range i.entries() {
		if entry["level"] == "error" {
			t.Errorf("in the log: %v; want anything but \"error\"", entry)
		}
	}
}

// TestWebSocketOverHTTP3: extended CONNECT passes the middleware of the server (RFC 9220).
func TestWebSocketOverHTTP3(t *testing.T) {
	a := newAuthority(t)
	i := start(t, anonymous+", "+http3Settings(a, ""))
	ctx, cancel := context.WithTimeout(t.Context(), apptest.Timeout)
	defer cancel()
	transport := new(http3.Transport)
	defer func() { _ = transport.Close() }()
	stream, err := transport.NewClientConn(i.dial3(a.client())).OpenRequestStream(ctx)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+i.external()+apptest.Path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Proto = "websocket"
	request.Header.Set("Sec-WebSocket-Version", "13")
	if err := stream.SendRequestHeader(request); err != nil {
		t.Fatal(err)
	}
	if response, err := stream.ReadResponse(); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("CONNECT: %+v, %v; want status 200", response, err)
	}
	if _, err := stream.Write(wsframe.AppendMasked(nil, 0x81, []byte(`{"id":1,"connect":{}}`), [4]byte{1, 2, 3, 4})); err != nil {
		t.Fatal(err)
	}
	frame, err := wsframe.Read(bufio.NewReader(stream), 1<<16)
	if err != nil || frame.First != 0x81 || !strings.HasPrefix(string(frame.Payload), `{"id":1,"connect":{`) {
		t.Errorf("received %x %q, %v; want a connect result", frame.First, frame.Payload, err)
	}
}

// TestHTTP3Timeouts: a request that does not arrive ends.
func TestHTTP3Timeouts(t *testing.T) {
	a := newAuthority(t)
	i := start(t, `"http_api": {"key": "k"}, `+http3Settings(a, ""), func(a *App) { a.timeouts.read = 100 * time.Millisecond })
	body, write := io.Pipe()
	t.Cleanup(func() { _ = write.Close() })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+i.external()+"/api/publish", body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-API-Key", "k")
	response, err := http3Client(t, a.client()).Do(request)
	if err == nil {
		_ = response.Body.Close()
	}
	if err == nil && response.StatusCode < 400 {
		t.Errorf("status %d; want an error", response.StatusCode)
	}
}

// TestHTTP3ClientCertificates: http_server.tls.client_ca_pem holds over HTTP/3.
func TestHTTP3ClientCertificates(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	i := start(t, `"health": {"enabled": true}, `+http3Settings(a, string(a.pem)))
	for name, test := range map[string]struct {
		from *authority // nil for none
		ok   bool
	}{"own": {a, true}, "of a stranger": {stranger, false}, "none": {nil, false}} {
		c := a.client()
		if test.from != nil {
			pair, err := tls.X509KeyPair(pairBytes(test.from))
			if err != nil {
				t.Fatal(err)
			}
			c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		response, err := http3Client(t, c).Get("https://" + i.external() + "/health")
		if err == nil {
			_ = response.Body.Close()
		}
		if (err == nil) != test.ok {
			t.Errorf("certificate %s: %v; want accepted: %v", name, err, test.ok)
		}
	}
}

// udpPort takes a UDP port whose number is free for TCP.
func udpPort(t *testing.T) *net.UDPConn {
	t.Helper()
	packets, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: testprocess.FreePort(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = packets.Close() })
	return packets
}

// TestUDPPortTaken: the server does not start without the UDP port of HTTP/3.
func TestUDPPortTaken(t *testing.T) {
	packets := udpPort(t)
	i, err := prepare(t, http3Settings(newAuthority(t), ""))
	if err != nil {
		t.Fatal(err)
	}
	i.app.config.HTTPServer.Port = packets.LocalAddr().(*net.UDPAddr).Port
	err = i.app.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "UDP port of HTTP/3") {
		t.Errorf("Run() = %v; want an error about the UDP port", err)
	}
}

// dial3 opens a QUIC connection for HTTP/3 that is never silent.
func (i *instance) dial3(trust *tls.Config) *quic.Conn {
	i.t.Helper()
	trust = trust.Clone()
	trust.NextProtos = []string{http3.NextProtoH3}
	ctx, cancel := context.WithTimeout(i.t.Context(), apptest.Timeout)
	defer cancel()
	conn, err := quic.DialAddr(ctx, i.external(), trust, &quic.Config{KeepAlivePeriod: 100 * time.Millisecond})
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	return conn
}

// headersFrame is a HEADERS frame (RFC 9114, 7.2.2) of which the length is all that arrives.
func headersFrame(length uint64) []byte {
	return quicvarint.Append(quicvarint.Append(nil, 1), length)
}

// TestHTTP3Headers: a connection over which the header of a request does not arrive is closed,
// also after a request that did, and a header that is too long is refused by its length.
func TestHTTP3Headers(t *testing.T) {
	a := newAuthority(t)
	open := func(t *testing.T, conn *quic.Conn, frame []byte) *quic.Stream {
		t.Helper()
		stream, err := conn.OpenStreamSync(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Write(frame); err != nil {
			t.Fatal(err)
		}
		return stream
	}
	wantClosed := func(t *testing.T, conn *quic.Conn) {
		t.Helper()
		await.Until(t, "the connection is closed", func() bool { return conn.Context().Err() != nil })
		var closed *quic.ApplicationError
		if err := context.Cause(conn.Context()); !errors.As(err, &closed) || !closed.Remote || closed.ErrorCode != quic.ApplicationErrorCode(http3.ErrCodeNoError) {
			t.Errorf("the connection ended with %v; want it closed by the server without an error", err)
		}
	}
	quick := func(app *App) {
		app.timeouts.readHeader, app.timeouts.idle = 2*time.Second, 2*time.Second
	}
	settings := `"health": {"enabled": true}, ` + http3Settings(a, "")
	t.Run("first", func(t *testing.T) {
		i := start(t, settings, func(app *App) { app.timeouts.readHeader = time.Second })
		conn := i.dial3(a.client())
		open(t, conn, headersFrame(100))
		wantClosed(t, conn)
	})
	t.Run("later", func(t *testing.T) {
		i := start(t, settings, quick)
		conn := i.dial3(a.client())
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+i.external()+"/health", nil)
		if err != nil {
			t.Fatal(err)
		}
		transport := new(http3.Transport)
		defer func() { _ = transport.Close() }()
		response, err := transport.NewClientConn(conn).RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		open(t, conn, headersFrame(100))
		wantClosed(t, conn)
	})
	t.Run("too long", func(t *testing.T) {
		i := start(t, settings)
		stream := open(t, i.dial3(a.client()), headersFrame(maxQUICHeaderBytes+1))
		answer, err := io.ReadAll(stream)
		if err != nil || len(answer) == 0 || answer[0] != 1 {
			t.Errorf("got %x, %v; want a response", answer, err)
		}
	})
}

// TestHTTP3GoAway: when the server stops, clients are told before the last request has ended
// that further ones must go elsewhere.
func TestHTTP3GoAway(t *testing.T) {
	a := newAuthority(t)
	i := start(t, allStreams+`, "health": {"enabled": true}, `+http3Settings(a, ""))
	conn := i.dial3(a.client())
	control, err := conn.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- i.stop() }()
	frames := bufio.NewReader(control)
	if kind, err := quicvarint.Read(frames); err != nil || kind != 0 {
		t.Fatalf("stream of type %d, %v; want the control stream", kind, err)
	}
	for {
		kind, err := quicvarint.Read(frames)
		if err != nil {
			t.Fatalf("the control stream ended with %v; want GOAWAY", err)
		}
		length, err := quicvarint.Read(frames)
		if err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, min(length, 1<<16))
		if _, err := io.ReadFull(frames, payload); err != nil {
			t.Fatal(err)
		}
		if kind == 7 { // GOAWAY (RFC 9114, 7.2.6)
			if id, _, err := quicvarint.Parse(payload); err != nil || id != 0 {
				t.Errorf("GOAWAY with %x, %v; want stream 0: no request was processed", payload, err)
			}
			break
		}
	}
	if err := await.Receive(t, stopped, "the end of the server"); err != nil {
		t.Errorf("stopping: %v", err)
	}
}
