package webtransport

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
	"centrifugo/protocol"
	"centrifugo/protocol/clientcodec"

	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/quic-go/quicvarint"
	"google.golang.org/protobuf/encoding/protowire"
)

// TestTransport runs the suite of transports.
func TestTransport(t *testing.T) {
	centrifugetest.TestTransport(t, func(t *testing.T, n *centrifuge.Node) func(t *testing.T) centrifugetest.TransportPeer {
		s := serve(t, n, Config{})
		return func(t *testing.T) centrifugetest.TransportPeer {
			p := s.dial("")
			p.t = t
			return p
		}
	})
}

// TestConnect: the connect result has no session and no node, which only emulation needs
// (protocol.md 5.7); commands that arrive in pieces, or several together, are answered.
func TestConnect(t *testing.T) {
	s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{})
	p := s.dial("")
	for _, piece := range []string{`{"id":1,`, `"connect":{}`, "}\n" + `{"id":2,"rpc":{"data":2}}` + "\n" + `{"id":3,"rpc":{"da`, `ta":3}}` + "\n"} {
		if err := p.write(piece); err != nil {
			t.Fatal(err)
		}
	}
	message, err := p.Receive()
	if err != nil || !bytes.HasPrefix(message, []byte(`{"id":1,"connect":{"client":"`)) ||
		bytes.Contains(message, []byte("session")) || bytes.Contains(message, []byte("node")) {
		t.Fatalf("received %s, %v; want a connect result without session and node", message, err)
	}
	p.expect(`{"id":2,"rpc":{"data":2}}`, `{"id":3,"rpc":{"data":3}}`)
}

// TestProtobuf: ?cf_protocol=protobuf selects messages behind their length.
func TestProtobuf(t *testing.T) {
	s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{})
	p := s.dial("?cf_protocol=protobuf")
	payload := strings.Repeat("\x00\n", 20_000)
	for _, command := range []string{
		"\x08\x01\x22\x00", // id 1, connect
		"\x08\x02\x6a" + string(protowire.AppendVarint(nil, uint64(len(payload)+4))) + "\x0a" + string(protowire.AppendVarint(nil, uint64(len(payload)))) + payload, // id 2, rpc
	} {
		if err := p.write(string(protowire.AppendVarint(nil, uint64(len(command)))) + command); err != nil {
			t.Fatal(err)
		}
	}
	next := func() *protocol.Reply {
		_ = p.stream.SetReadDeadline(time.Now().Add(transporttest.WaitLimit))
		size, err := readVarint(p.in)
		if err != nil {
			t.Fatalf("reading a length: %v", err)
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(p.in, message); err != nil {
			t.Fatalf("reading %d bytes: %v", size, err)
		}
		reply, err := clientcodec.DecodeReply(protocol.FormatProtobuf, message)
		if err != nil {
			t.Fatalf("decoding %x: %v", message, err)
		}
		return reply
	}
	if reply := next(); reply.ID != 1 || reply.Connect == nil || reply.Connect.Client == "" {
		t.Fatalf("got %+v; want a connect result", reply)
	}
	if reply := next(); reply.ID != 2 || reply.RPC == nil || string(reply.RPC.Data) != payload {
		t.Fatalf("got %+v; want the payload of the rpc", reply)
	}
}

func readVarint(r io.ByteReader) (n uint64, err error) {
	var b []byte
	for len(b) < maxLengthSize {
		c, err := r.ReadByte()
		if err != nil {
			return 0, err //nolint:wrapcheck // for the test
		}
		if b = append(b, c); c < 0x80 {
			n, _ = protowire.ConsumeVarint(b)
			return n, nil
		}
	}
	return 0, errMalformed
}

// TestRefusedRequests: what is not a session is answered with a status.
func TestRefusedRequests(t *testing.T) {
	s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{})
	for _, test := range []struct {
		name   string
		origin string
		want   refusal
	}{
		{"origin of another site", "https://evil.example", refusal{403, "origin is not allowed"}},
		{"origin that is no URL", "https://[", refusal{403, "origin is not allowed"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			response, _, err := s.open("", http.Header{"Origin": {test.origin}})
			if err == nil || response == nil || response.StatusCode != test.want.status {
				t.Errorf("got %+v, %v; want status %d", response, err, test.want.status)
			}
			if got := await.Receive(t, s.refused, "a refusal"); got != test.want {
				t.Errorf("refused with %v; want %v", got, test.want)
			}
		})
	}
	t.Run("own origin", func(t *testing.T) {
		if _, _, err := s.open("", http.Header{"Origin": {"https://" + s.address}}); err != nil {
			t.Errorf("got %v; want a session", err)
		}
	})
	t.Run("GET over HTTP/3", func(t *testing.T) {
		status, _ := s.get(path)
		if status != http.StatusMethodNotAllowed {
			t.Errorf("got %d; want 405", status)
		}
		await.Receive(t, s.refused, "a refusal")
	})
	t.Run("HTTP/1", func(t *testing.T) {
		w := httptest.NewRecorder()
		s.handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if w.Code != http.StatusHTTPVersionNotSupported {
			t.Errorf("got %d; want 505", w.Code)
		}
		await.Receive(t, s.refused, "a refusal")
	})
	t.Run("other request", func(t *testing.T) {
		if status, body := s.get("/other"); status != 200 || body != "other" {
			t.Errorf("got %d %q; want the other handler", status, body)
		}
	})
}

// get sends an ordinary request over HTTP/3.
func (s *server) get(path string) (status int, body string) {
	s.t.Helper()
	_, pool := certificate()
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
	defer func() { _ = transport.Close() }()
	response, err := (&http.Client{Transport: transport, Timeout: transporttest.WaitLimit}).Get("https://" + s.address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// TestViolations: a client that breaks the rules of the stream is disconnected, after the
// commands before were answered.
func TestViolations(t *testing.T) {
	long := strings.Repeat("x", 200)
	for _, test := range []struct {
		name, query string
		send        string
		want        *refusal // nil if the node refuses it
	}{
		{"line too long", "", `{"id":2,"rpc":{"data":"` + long + `"}}` + "\n", &refusal{413, "message is too large"}},
		{"line without end", "", strings.Repeat(" ", 5000), &refusal{413, "message is too large"}},
		{"blank line", "", "\n", nil},
		{"no JSON", "", "what\n", nil},
		{"message too long", "?cf_protocol=protobuf", "\x81\x01", &refusal{413, "message is too large"}},
		{"huge length", "?cf_protocol=protobuf", "\xff\xff\xff\xff\xff\xff\xff\xff\x7f", &refusal{413, "message is too large"}},
		{"malformed length", "?cf_protocol=protobuf", strings.Repeat("\xff", 10), &refusal{400, "length of a message is malformed"}},
		{"malformed message", "?cf_protocol=protobuf", "\x02\x08\x80", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{MessageSizeLimit: 128})
			p := s.dial(test.query)
			connect := `{"id":1,"connect":{}}` + "\n"
			if test.query != "" {
				connect = "\x04\x08\x01\x22\x00"
			}
			if err := p.write(connect + test.send); err != nil {
				t.Fatal(err)
			}
			if test.query == "" {
				p.expect(`{"id":1,"connect":{`)
				p.expectEnd(centrifuge.DisconnectBadRequest)
			} else {
				_ = p.stream.SetReadDeadline(time.Now().Add(transporttest.WaitLimit))
				all, err := io.ReadAll(p.in)
				if err != nil || len(all) < 30 {
					t.Fatalf("got %x, %v; want a connect result and a disconnect push", all, err)
				}
				if got := p.closed(); got != centrifuge.DisconnectBadRequest {
					t.Errorf("the session is closed with %v; want %v", got, centrifuge.DisconnectBadRequest)
				}
			}
			if test.want != nil {
				if got := await.Receive(t, s.refused, "a refusal"); got != *test.want {
					t.Errorf("refused with %v; want %v", got, *test.want)
				}
			}
		})
	}
}

// TestLimitBeforeConnect: before the connect command is answered, a large limit does not
// apply.
func TestLimitBeforeConnect(t *testing.T) {
	s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{MessageSizeLimit: 4 << 20})
	p := s.dial("")
	if err := p.write(`{"id":1,"connect":{}}` + "\n"); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"id":1,"connect":{`)
	data := `"` + strings.Repeat("x", 3<<20) + `"`
	if err := p.write(`{"id":2,"rpc":{"data":` + data + "}}\n"); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"id":2,"rpc":{"data":` + data + `}}`)

	stranger := s.dial("")
	_ = stranger.write(`{"id":1,"connect":{"data":` + data + "}}\n") // it may fail: the server closes meanwhile
	if got := await.Receive(t, s.refused, "a refusal"); got != (refusal{413, "message is too large"}) {
		t.Errorf("refused with %v; want 413", got)
	}
}

// TestNoStream: a session without a stream is closed.
func TestNoStream(t *testing.T) {
	s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{StreamTimeout: 100 * time.Millisecond})
	_, session, err := s.open("", nil)
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, session: session}
	if got := p.closed(); got != centrifuge.DisconnectStale {
		t.Errorf("the session is closed with %v; want %v", got, centrifuge.DisconnectStale)
	}
	if got := await.Receive(t, s.refused, "a refusal"); got != (refusal{408, "no stream was opened"}) {
		t.Errorf("refused with %v; want 408", got)
	}
}

// TestSecondStream: a session has one stream.
func TestSecondStream(t *testing.T) {
	s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{})
	p := s.dial("")
	if err := p.write(`{"id":1,"connect":{}}` + "\n"); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"id":1,"connect":{`)
	second, err := p.session.OpenStream()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(second, "{}\n") // it may fail: the server closes meanwhile
	p.expectEnd(centrifuge.DisconnectBadRequest)
	if got := await.Receive(t, s.refused, "a refusal"); got != (refusal{400, errStreams.Error()}) {
		t.Errorf("refused with %v; want %v", got, refusal{400, errStreams.Error()})
	}
}

// TestHalfClosed: the end of the stream is the end of the connection; a command without
// a line feed before it is dropped, and those before are processed.
func TestHalfClosed(t *testing.T) {
	ended, called := make(chan centrifuge.Disconnect, 1), make(chan string, 10)
	node := transporttest.RunNode(t, centrifuge.Config{Handlers: centrifuge.Handlers{
		Connecting: func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			called <- e.Token
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}}, nil
		},
		Disconnected: func(_ context.Context, e centrifuge.DisconnectedEvent) { ended <- e.Disconnect },
	}})
	s := serve(t, node, Config{})
	p := s.dial("")
	if err := p.write(`{"id":1,"connect":{"token":"t"}}` + "\n" + `{"id":2,"rpc":{}}`); err != nil {
		t.Fatal(err)
	}
	if err := p.stream.Close(); err != nil {
		t.Fatal(err)
	}
	if got := await.Receive(t, called, "the connect"); got != "t" {
		t.Errorf("connected with %q; want t", got)
	}
	if got := await.Receive(t, ended, "the end"); got != centrifuge.DisconnectConnectionClosed {
		t.Errorf("Disconnected got %v; want %v", got, centrifuge.DisconnectConnectionClosed)
	}
	if got := p.closed(); got != (centrifuge.Disconnect{}) {
		t.Errorf("the session is closed with %v; want code 0", got)
	}
}

// TestRefusedByNode: a node that shuts down says so.
func TestRefusedByNode(t *testing.T) {
	node := transporttest.RunNode(t, centrifuge.Config{})
	s := serve(t, node, Config{})
	transporttest.Shutdown(t, node)
	p := s.dial("")
	if err := p.write("\n"); err != nil { // a stream begins with its first byte
		t.Fatal(err)
	}
	p.expectEnd(centrifuge.DisconnectShutdown)
}

// TestPanic: a panic in a connection ends that connection.
func TestPanic(t *testing.T) {
	failures := make(chan error, 10)
	s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{OnError: func(err error) { failures <- err }})
	s.handler.config.OnRefused = func(*http.Request, int, string) { panic("as the test asks") }
	p := s.dial("")
	_ = p.write(strings.Repeat("x", 70_000)) // it may fail: the server closes meanwhile
	if got := p.closed(); got != centrifuge.DisconnectServerError {
		t.Errorf("the session is closed with %v; want %v", got, centrifuge.DisconnectServerError)
	}
	if err := await.Receive(t, failures, "an error"); !strings.Contains(err.Error(), "as the test asks") {
		t.Errorf("OnError(%v); want the panic", err)
	}
}

// TestDrain waits for the connections.
func TestDrain(t *testing.T) {
	node := transporttest.RunNode(t, centrifuge.Config{})
	s := serve(t, node, Config{CloseTimeout: transporttest.WaitLimit})
	p := s.dial("")
	if err := p.write(`{"id":1,"connect":{}}` + "\n"); err != nil {
		t.Fatal(err)
	}
	p.expect(`{"id":1,"connect":{`)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if err := s.handler.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Drain() = %v while a connection is open; want %v", err, context.DeadlineExceeded)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		p.expectEnd(centrifuge.DisconnectShutdown)
	}()
	transporttest.Shutdown(t, node)
	if err := s.handler.Drain(t.Context()); err != nil {
		t.Errorf("Drain() = %v; want nil", err)
	}
	<-ended
}

// FuzzIncoming compares what a stream cut into pieces yields with the same stream whole.
func FuzzIncoming(f *testing.F) {
	f.Add([]byte("{}\n{\"id\":1}\n"), uint8(3), false)
	f.Add([]byte("\x02{}\x00\x80\x01"), uint8(1), true)
	f.Add(bytes.Repeat([]byte("\xff"), 20), uint8(7), true)
	f.Add([]byte("\n\n\n"), uint8(1), false)
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8, protobuf bool) {
		const limit = 64
		collect := func(step int) (got []byte, failed error) {
			in := incoming{framing: framing{protobuf: protobuf}}
			for rest := stream; len(rest) > 0; {
				free := in.free(limit)
				if len(free) == 0 || cap(in.buffer) > smallBuffer+maxLengthSize+1 {
					t.Fatalf("a buffer of %d bytes, %d free; want a byte, within the bound", cap(in.buffer), len(free))
				}
				n := copy(free, rest[:min(len(rest), step)])
				rest = rest[n:]
				messages, err := in.received(n, limit)
				got = append(got, messages...)
				in.consume(len(messages))
				if err != nil {
					return got, err
				}
			}
			return got, nil
		}
		whole, wholeErr := collect(smallBuffer)
		pieces, piecesErr := collect(int(piece) + 1)
		if !bytes.Equal(whole, pieces) || !errors.Is(wholeErr, piecesErr) {
			t.Errorf("in pieces of %d: %q, %v; want %q, %v, as in the whole", int(piece)+1, pieces, piecesErr, whole, wholeErr)
		}
		if !bytes.HasPrefix(stream, whole) {
			t.Errorf("got %q; want a beginning of %q", whole, stream)
		}
		if !protobuf && len(whole) > 0 {
			for line := range bytes.Lines(whole) {
				if len(line) > limit+1 || line[len(line)-1] != '\n' {
					t.Errorf("line %q; want at most %d bytes and a line feed", line, limit)
				}
			}
		}
	})
}

// TestFraming: what is sent in several messages is read as the same messages.
func TestFraming(t *testing.T) {
	for _, protobuf := range []bool{false, true} {
		f := framing{protobuf: protobuf}
		var stream []byte
		for i := range 300 {
			stream = f.appendMessage(stream, []byte(strings.Repeat("x", i)))
		}
		for cut := range len(stream) {
			n, err := f.whole(stream[:cut], 0, 300)
			if err != nil || n > cut {
				t.Fatalf("whole(%d bytes) = %d, %v; want at most that", cut, n, err)
			}
			if rest, err := f.whole(stream[n:], 0, 300); err != nil || n+rest != len(stream) {
				t.Fatalf("cut at %d: %d and %d bytes, %v; want %d together", cut, n, rest, err, len(stream))
			}
		}
		if n, err := f.whole(f.malformed(), 0, 300); protobuf && (n != 0 || err != nil) {
			t.Errorf("whole(malformed) = %d, %v; want incomplete", n, err)
		}
	}
}

// TestCloseReason: a reason that is too long for the close of a session is cut between
// characters.
func TestCloseReason(t *testing.T) {
	for _, test := range []struct{ reason, want string }{
		{"", ""},
		{"stay away", "stay away"},
		{strings.Repeat("é", 600), strings.Repeat("é", 512)},
		{"x" + strings.Repeat("é", 600), "x" + strings.Repeat("é", 511)},
	} {
		got := appendClose(nil, centrifuge.Disconnect{Code: 4321, Reason: test.reason})
		kind, n, err := quicvarint.Parse(got)
		if err != nil || kind != closeCapsule {
			t.Fatalf("the capsule begins with %x, %v; want %x", kind, err, closeCapsule)
		}
		size, m, err := quicvarint.Parse(got[n:])
		body := got[n+m:]
		if err != nil || int(size) != len(body) || !bytes.HasPrefix(body, []byte{0, 0, 0x10, 0xe1}) || string(body[4:]) != test.want {
			t.Errorf("capsule of %d bytes, announced %d: %.20x; want code 4321 and %q", len(body), size, body, test.want)
		}
	}
}
