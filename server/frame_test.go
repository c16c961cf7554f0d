package server

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/wsframe"
	"centrifugo/server/internal/app/apptest"
)

// deflating asks for permessage-deflate.
var deflating = http.Header{"Sec-WebSocket-Extensions": {"permessage-deflate; client_no_context_takeover"}}

// deflated is payload as the peer of RFC 7692 sends it.
func deflated(t *testing.T, payload []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(payload); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\x00\x00\xff\xff"))
}

func frame(first byte, payload string) []byte {
	return apptest.AppendFrame(nil, first, []byte(payload))
}

func joined(frames ...[]byte) []byte { return bytes.Join(frames, nil) }

// Bytes after the handshake that are no WebSocket, and the code they are closed
// with (RFC 6455 7.4.1).
func badFrames(t *testing.T, p *process) {
	const fin, text, closing = wsframe.Fin, wsframe.Text, wsframe.Close
	tests := []struct {
		name    string
		deflate bool
		bytes   []byte
		want    string
	}{
		{"unmasked", false, []byte("\x81\x02{}"), "closed 1002"},
		{"RSV1 without compression", false, frame(fin|0x40|text, "x"), "closed 1002"},
		{"RSV2", false, frame(fin|0x20|text, "x"), "closed 1002"},
		{"RSV3", true, frame(fin|0x10|text, "x"), "closed 1002"},
		{"unknown opcode", false, frame(fin|0x3, "x"), "closed 1002"},
		{"unknown control opcode", false, frame(fin|0xB, ""), "closed 1002"},
		{"fragmented ping", false, frame(wsframe.Ping, "x"), "closed 1002"},
		{"long ping", false, frame(fin|wsframe.Ping, strings.Repeat("x", 126)), "closed 1002"},
		{"compressed ping", true, frame(fin|0x40|wsframe.Ping, "x"), "closed 1002"},
		{"compressed continuation", true, joined(frame(text, "x"), frame(fin|0x40, "x")), "closed 1002"},
		{"continuation of nothing", false, frame(fin, "x"), "closed 1002"},
		{"message within a message", false, joined(frame(text, "{"), frame(fin|text, "}")), "closed 1002"},
		{"length with its highest bit", false, append([]byte{0x81, 0xFF, 0x80}, make([]byte, 11)...), "closed 1002"},
		{"not UTF-8", false, frame(fin|text, "{\"id\":1,\"connect\":{\"name\":\"\xFF\"}}"), "closed 1007"},
		{"not UTF-8, in fragments", false, joined(frame(text, "\"\xC3"), frame(fin, "\x28\"")), "closed 1007"},
		{"no deflate data", true, frame(fin|0x40|text, "\xFF\xFF\xFF\xFF"), "closed 1007"},
		{"close of one byte", false, frame(fin|closing, "\x03"), "closed 1002"},
		{"close 999", false, frame(fin|closing, "\x03\xE7"), "closed 1002"},
		{"close 1005", false, frame(fin|closing, "\x03\xED"), "closed 1002"},
		{"close 1006", false, frame(fin|closing, "\x03\xEE"), "closed 1002"},
		{"close 5000", false, frame(fin|closing, "\x13\x88"), "closed 1002"},
		{"close with a reason that is not UTF-8", false, frame(fin|closing, "\x03\xE8\xFF"), "closed 1007"},
		{"close without a code", false, frame(fin|closing, ""), "closed 1005"},
		{"close 1000", false, frame(fin|closing, "\x03\xE8bye"), "closed 1000"},
		{"close, then more", false, joined(frame(fin|closing, "\x03\xE8"), frame(fin|text, "{}")), "closed 1000"},
		{"empty fragments", false, bytes.Repeat(frame(text, ""), 2), "closed 1002"},
		{"thousand fragments", false, joined(frame(text, ""), bytes.Repeat(frame(0, " "), 1000), frame(fin, "x")), "closed 3501"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := apptest.Dialer{}
			if test.deflate {
				d.Header = deflating
			}
			c := p.dial(t, d)
			if _, err := c.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			if got := describe(c.Message()); got != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
			_ = c.Close()
		})
	}
	t.Run("cut off in the middle", func(t *testing.T) {
		whole := frame(fin|text, hello)
		for size := range len(whole) {
			c := p.dial(t, apptest.Dialer{})
			if _, err := c.Write(whole[:size]); err != nil {
				t.Fatal(err)
			}
			_ = c.Close() // the metrics at the end show that nothing is left
		}
	})
}

// 64 KiB is the largest message, whatever way it comes (protocol.md 3.2).
func sizeLimits(t *testing.T, p *process) {
	const limit = 65536
	exact := func(size int) []byte {
		const head, end = `{"id":2,"unsubscribe":{"channel":"`, `"}}`
		return []byte(head + strings.Repeat("x", size-len(head)-len(end)) + end)
	}
	const text = wsframe.Fin | wsframe.Text
	half := exact(limit + 1)
	bomb := deflated(t, make([]byte, 10<<20))
	if len(bomb) > limit {
		t.Fatalf("the bomb has %d bytes; want at most %v", len(bomb), limit)
	}
	tests := []struct {
		name  string
		bytes []byte
		want  string
	}{
		{"the largest", apptest.AppendFrame(nil, text, exact(limit)), `{"id":2`}, // whatever becomes of the name
		{"a byte more", apptest.AppendFrame(nil, text, exact(limit+1)), "closed 1009"},
		{"a byte more, in fragments", joined(frame(wsframe.Text, string(half[:limit/2])), frame(wsframe.Fin, string(half[limit/2:]))), "closed 1009"},
		{"a header that promises a gigabyte", apptest.AppendFalseFrame(nil, text, nil, 1<<30), "closed 1009"},
		{"a header that promises all there is", apptest.AppendFalseFrame(nil, text, nil, 1<<62), "closed 1009"},
		{"compressed, up to the limit", frame(text|0x40, string(deflated(t, exact(limit)))), `{"id":2`},
		// A command may be as large as its message.
		{"compressed, ten times the limit", frame(text|0x40, string(deflated(t, exact(10*limit)))), `{"id":2`},
		{"compressed, a byte more", frame(text|0x40, string(deflated(t, exact(10*limit+1)))), "closed 1009"},
		{"a bomb", frame(text|0x40, string(bomb)), "closed 1009"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := p.dial(t, apptest.Dialer{Header: deflating})
			ask(t, c, hello)
			if _, err := c.Write(test.bytes); err != nil {
				t.Fatal(err)
			}
			got := describe(next(c))
			if !strings.HasPrefix(got, test.want) {
				t.Errorf("%.200s, want %s", got, test.want)
			}
		})
	}
}

// Random bytes end the connection, before and after the handshake.
func randomBytes(t *testing.T, p *process) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16), byte(seed >> 24)})
	done := make(chan error)
	const each = 100
	for i := range 2 * each {
		blob := make([]byte, 1+i*7%3000)
		_, _ = random.Read(blob)
		go func() { done <- sendBlob(p.address, blob, i < each) }()
	}
	for range 2 * each {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// sendBlob waits for the end that the server makes of it.
func sendBlob(address string, blob []byte, upgrade bool) error {
	c, err := (apptest.Dialer{}).Connect(address)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if upgrade {
		if _, err := (apptest.Dialer{}).Upgrade(c, address); err != nil {
			return err
		}
	}
	_, _ = c.Write(blob) // the server may have had enough of it
	if half, ok := c.(interface{ CloseWrite() error }); ok && !upgrade {
		_ = half.CloseWrite() // or it would wait for the rest of the header
	}
	if _, err := io.Copy(io.Discard, c); os.IsTimeout(err) {
		return fmt.Errorf("%d random bytes: %w", len(blob), err)
	}
	return nil
}

// A client that sends a byte at times is closed: as stale before it has connected, and
// for a missing pong after that.
func slowClients(t *testing.T, p *process) {
	tests := map[string]struct {
		connected bool
		frame     []byte
		want      int
	}{
		"silent":                    {false, nil, 3502},
		"slow with its connect":     {false, frame(wsframe.Fin|wsframe.Text, hello), 3502},
		"silent, connected":         {true, nil, 3012},
		"slow with a large message": {true, frame(wsframe.Fin|wsframe.Text, strings.Repeat("x", 60_000)), 3012},
		"fragments without end":     {true, append(frame(wsframe.Text, ""), bytes.Repeat(frame(0, ""), 1000)...), 3012},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := p.dial(t, apptest.Dialer{})
			if test.connected {
				ask(t, c, hello)
			}
			quit := make(chan struct{})
			stopped := make(chan struct{})
			go func() {
				defer close(stopped)
				ticker := time.NewTicker(200 * time.Millisecond)
				defer ticker.Stop()
				for _, b := range test.frame {
					select {
					case <-ticker.C:
						_, _ = c.Write([]byte{b}) // until the server has had enough
					case <-quit:
						return
					}
				}
			}()
			code, err := c.WaitClosed()
			close(quit)
			<-stopped
			if code != test.want {
				t.Errorf("closed with %d, %v; want %d", code, err, test.want)
			}
		})
	}
}

// Requests that are not a handshake, and their status.
func badHandshakes(t *testing.T, p *process) {
	good := string((apptest.Dialer{}).Handshake("x"))
	tests := []struct {
		name, request string
		want          string // status, empty for any refusal
	}{
		{"good", good, "101"},
		{"no upgrade", "GET /connection/websocket HTTP/1.1\r\nHost: x\r\n\r\n", "426"},
		{"other upgrade", strings.Replace(good, "websocket\r\nConn", "h2c\r\nConn", 1), "426"},
		{"POST", strings.Replace(good, "GET", "POST", 1), "405"},
		{"version 12", strings.Replace(good, "Version: 13", "Version: 12", 1), "426"},
		{"no key", strings.Replace(good, "Sec-WebSocket-Key", "X-Key", 1), "400"},
		{"bad key", strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "short", 1), "400"},
		{"key of 15 bytes", strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25j", 1), "400"},
		{"unknown protocol version", strings.Replace(good, "websocket HTTP", "websocket?cf_protocol_version=v9 HTTP", 1), "400"},
		{"refused origin", strings.Replace(good, "Host: x", "Host: x\r\nOrigin: http://evil", 1), "403"},
		{"HTTP/1.0", strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1), ""},
		{"no host", strings.Replace(good, "Host: x\r\n", "", 1), "400"},
		{"two hosts", strings.Replace(good, "Host: x", "Host: x\r\nHost: y", 1), "400"},
		{"bad header", strings.Replace(good, "Host: x", "Host: x\r\nbad header", 1), "400"},
		{"header of two megabytes", strings.Replace(good, "Host: x", "Host: x\r\nX: "+strings.Repeat("x", 2<<20), 1), "431"},
		{"line of two megabytes", "GET /" + strings.Repeat("x", 2<<20) + " HTTP/1.1\r\n\r\n", "431"},
		{"unknown version", "GET / HTTP/9.9\r\nHost: x\r\n\r\n", "505"},
		{"no HTTP", "\x00\x01\x02\x03\r\n\r\n", "400"},
		{"TLS", "\x16\x03\x01\x00\x05hello\r\n\r\n", "400"},
		{"bad escape in the path", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", "400"},
		{"path above the root", "GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n", "307"},
		{"both lengths", "POST /api HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", "400"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := statusOf(t, p.address, test.request)
			if test.want != "" && got != test.want || got == "200" {
				t.Errorf("status %s, want %s", got, test.want)
			}
		})
	}
	// A first message that comes with the handshake is not lost.
	c, err := (apptest.Dialer{}).Connect(p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Write(joined([]byte(good), frame(wsframe.Fin|wsframe.Text, hello))); err != nil {
		t.Fatal(err)
	}
	if text := readUntil(c, `"client":`); !strings.Contains(text, `{"id":1,"connect":{"client":`) {
		t.Errorf("pipelined: %q; want %q in it", text, `{"id":1,"connect":{"client":`)
	}
}

// statusOf sends a request as it is and returns the status of the answer, or how
// the connection ended.
func statusOf(t *testing.T, address, request string) string {
	t.Helper()
	c, err := (apptest.Dialer{}).Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	go func() { _, _ = io.WriteString(c, request) }() // an answer may come before its end
	status := readUntil(c, "\r\n")
	if fields := strings.Fields(status); len(fields) > 1 && strings.HasPrefix(fields[0], "HTTP/") {
		return fields[1]
	}
	return fmt.Sprintf("ended %q", status)
}

func readUntil(c net.Conn, text string) string {
	var got strings.Builder
	b := make([]byte, 512)
	for !strings.Contains(got.String(), text) {
		n, err := c.Read(b)
		got.Write(b[:n])
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				got.WriteString(" (nothing more came)")
			}
			break
		}
	}
	return got.String()
}
