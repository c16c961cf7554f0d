package listener

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"
)

// wait bounds what a test waits for.
const wait = 2 * time.Minute

// proxied listens on loopback. The log is read only after the listener was closed.
func proxied(t *testing.T, trusted string, timeout time.Duration) (net.Listener, *bytes.Buffer) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	l := proxyProtocol(tcp, []netip.Prefix{netip.MustParsePrefix(trusted)}, timeout, slog.New(slog.NewTextHandler(&log, nil)))
	t.Cleanup(func() { _ = l.Close() })
	return l, &log
}

// dial connects to a listener and sends text.
func dial(t *testing.T, l net.Listener, text string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(wait))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	return c
}

// v2 returns a header of version 2 with extra bytes of further facts.
func v2(t *testing.T, source string, extra int) string {
	t.Helper()
	from, err := net.ResolveTCPAddr("tcp", source)
	if err != nil {
		t.Fatal(err)
	}
	to := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 443}
	if from.IP.To4() == nil {
		to.IP = net.ParseIP("2001:db8::1")
	}
	header := proxyproto.HeaderProxyFromAddrs(2, from, to)
	if extra > 0 {
		if err := header.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_NOOP, Value: make([]byte, extra)}}); err != nil {
			t.Fatal(err)
		}
	}
	text, err := header.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestProxyProtocol(t *testing.T) {
	local := "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00"
	for name, c := range map[string]struct{ trusted, sent, from, rest string }{
		"v1":                      {"127.0.0.0/8", "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\nGET", "203.0.113.7:4711", "GET"},
		"v1, IPv6":                {"127.0.0.0/8", "PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\nGET", "[2001:db8::7]:4711", "GET"},
		"v1, unknown":             {"127.0.0.0/8", "PROXY UNKNOWN\r\nGET", "127.0.0.1", "GET"},
		"v2":                      {"127.0.0.0/8", v2(t, "203.0.113.7:4711", 0) + "GET", "203.0.113.7:4711", "GET"},
		"v2, IPv6":                {"127.0.0.0/8", v2(t, "[2001:db8::7]:4711", 0) + "GET", "[2001:db8::7]:4711", "GET"},
		"v2, further facts":       {"127.0.0.0/8", v2(t, "203.0.113.7:4711", 3000) + "GET", "203.0.113.7:4711", "GET"},
		"v2, of the balancer":     {"127.0.0.0/8", local + "GET", "127.0.0.1", "GET"},
		"not trusted":             {"10.0.0.0/8", "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n", "127.0.0.1", "PROXY"},
		"not trusted, no header":  {"10.0.0.0/8", "GET", "127.0.0.1", "GET"},
		"no header":               {"127.0.0.0/8", "GET / HTTP/1.1\r\n\r\n", "", "begins with something else"},
		"v1 without an end":       {"127.0.0.0/8", "PROXY TCP4 " + strings.Repeat("1", 200), "", "without an end within 107 bytes"},
		"v1, bad address":         {"127.0.0.0/8", "PROXY TCP4 example 10.0.0.1 4711 443\r\n", "", "proxyproto"},
		"v2, too long":            {"127.0.0.0/8", v2(t, "203.0.113.7:4711", 5000), "", "the limit is 4096"},
		"v2, bad family":          {"127.0.0.0/8", "\r\n\r\n\x00\r\nQUIT\n\x21\xff\x00\x00", "", "proxyproto"},
		"v2, addresses cut short": {"127.0.0.0/8", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x04abcd", "", "proxyproto"},
	} {
		t.Run(name, func(t *testing.T) {
			l, log := proxied(t, c.trusted, wait)
			client := dial(t, l, c.sent)
			if c.from == "" { // it is refused
				if n, err := io.Copy(io.Discard, client); n != 0 {
					t.Errorf("got %d bytes, %v; want the end", n, err)
				}
				_ = l.Close()
				if !strings.Contains(log.String(), c.rest) {
					t.Errorf("log %q; want it to say %q", log.String(), c.rest)
				}
				return
			}
			conn, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			if got := conn.RemoteAddr().String(); !strings.HasPrefix(got, c.from) {
				t.Errorf("remote address %s; want %s", got, c.from)
			}
			rest := make([]byte, len(c.rest))
			if _, err := io.ReadFull(conn, rest); err != nil || string(rest) != c.rest {
				t.Errorf("behind the header: %q, %v; want %q", rest, err, c.rest)
			}
		})
	}
}

// A balancer that sends nothing holds up no other connection, and is closed in the end.
func TestProxyProtocolSilence(t *testing.T) {
	l, log := proxied(t, "127.0.0.0/8", 200*time.Millisecond)
	silent := dial(t, l, "PROXY TCP4")
	dial(t, l, "PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	if n, err := io.Copy(io.Discard, silent); n != 0 {
		t.Errorf("got %d bytes, %v; want the end", n, err)
	}
	_ = l.Close()
	if !strings.Contains(log.String(), "i/o timeout") {
		t.Errorf("log %q; want a timeout", log.String())
	}
}

// Close ends connections whose header is being read, and Accept.
func TestProxyProtocolClose(t *testing.T) {
	l, _ := proxied(t, "127.0.0.0/8", wait)
	silent := dial(t, l, "PROXY")
	_ = l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("Accept returned a connection after Close; want an error")
	}
	if n, err := io.Copy(io.Discard, silent); n != 0 {
		t.Errorf("got %d bytes, %v; want the end", n, err)
	}
}

func FuzzReadHeader(f *testing.F) {
	for _, seed := range []string{"PROXY UNKNOWN\r\n", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\nrest", "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x04abcdefgh", ""} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		header, err := readHeader(bytes.NewReader(b))
		if err == nil && !bytes.HasPrefix(b, header) {
			t.Errorf("read %q; want %q before all else", b, header)
		}
		if len(header) > maxHeaderV2+16 {
			t.Errorf("a header of %d bytes; want at most %d", len(header), maxHeaderV2+16)
		}
	})
}
