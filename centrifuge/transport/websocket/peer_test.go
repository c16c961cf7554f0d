package websocket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/internal/wsframe"
	"centrifugo/protocol"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitLimit bounds what a test waits for in one step; it only keeps a test from
// hanging.
const waitLimit = 2 * time.Minute

// testSession stands for the core. receive decides what Receive answers.
type testSession struct {
	transport   centrifuge.Transport
	messages    chan string
	writable    chan struct{}
	pongs       chan struct{}
	disconnects chan centrifuge.Disconnect
	gone        chan error
	full        atomic.Int64
	receive     func(message []byte) bool
	fresh       atomic.Bool // the client has not connected
}

func (s *testSession) Receive(m []byte) bool {
	more := s.receive == nil || s.receive(m)
	s.messages <- string(m)
	return more
}
func (s *testSession) Connect(*protocol.ConnectRequest) bool { return true }
func (s *testSession) Disconnect(d centrifuge.Disconnect)    { s.transport.Close(d.Code, d.Reason) }
func (s *testSession) Connected() bool                       { return !s.fresh.Load() }
func (s *testSession) Writable()                             { s.writable <- struct{}{} }
func (s *testSession) Full(int)                              { s.full.Add(1) }
func (s *testSession) Pong()                                 { s.pongs <- struct{}{} }
func (s *testSession) Violated(d centrifuge.Disconnect)      { s.disconnects <- d }
func (s *testSession) Closed(err error)                      { s.gone <- err }

// server is a Handler behind an HTTP server.
type server struct {
	http     *httptest.Server
	handler  *Handler
	sessions sync.Map // from the value of a request's X-Session to a chan *testSession
	errors   chan error
	dialed   atomic.Int64
	// receive is given to every session.
	receive func(*testSession, []byte) bool
	// fresh sessions have not connected.
	fresh bool
	// accepting, if set, is called in place of making a session.
	accepting func(centrifuge.Transport) error
}

// wire is what the bytes travel over.
type wire int

const (
	wireTCP wire = iota
	wireTLS
	// wireForeign is TLS that a Handler cannot reach beneath.
	wireForeign
)

// blocks reports whether a connection over w has a goroutine.
func (w wire) blocks() bool { return w == wireForeign || !runtimeHasPollers }

// wires runs f over TCP and over TLS.
func wires(t *testing.T, f func(t *testing.T, secure bool)) {
	t.Run("tcp", func(t *testing.T) { f(t, false) })
	t.Run("tls", func(t *testing.T) { f(t, true) })
}

// allWires runs f over each wire.
func allWires(t *testing.T, f func(t *testing.T, wire wire)) {
	t.Run("tcp", func(t *testing.T) { f(t, wireTCP) })
	t.Run("tls", func(t *testing.T) { f(t, wireTLS) })
	t.Run("foreign-tls", func(t *testing.T) { f(t, wireForeign) })
}

// polledWires runs f over those without a goroutine for each connection.
func polledWires(t *testing.T, f func(t *testing.T, wire wire)) {
	if !runtimeHasPollers {
		t.Skip("sockets block here")
	}
	t.Run("tcp", func(t *testing.T) { f(t, wireTCP) })
	t.Run("tls", func(t *testing.T) { f(t, wireTLS) })
}

// wireOf is the usual wire.
func wireOf(secure bool) wire {
	if secure {
		return wireTLS
	}
	return wireTCP
}

func newServer(t testing.TB, config Config, secure bool) *server {
	t.Helper()
	return newServerOn(t, config, wireOf(secure))
}

func newServerOn(t testing.TB, config Config, wire wire) *server {
	t.Helper()
	s := &server{errors: make(chan error, 100)}
	s.serveOn(t, s.accept, config, wire)
	return s
}

// serve starts s with connections for accept.
func (s *server) serve(t testing.TB, accept accept, config Config, secure bool) {
	t.Helper()
	s.serveOn(t, accept, config, wireOf(secure))
}

func (s *server) serveOn(t testing.TB, accept accept, config Config, wire wire) {
	t.Helper()
	config.OnError = func(err error) { s.errors <- err }
	s.handler = newHandler(accept, config)
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// As middleware would say who connects.
		s.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), sessionKey{}, r.Header.Get("X-Session"))))
	}))
	switch wire {
	case wireTCP:
		s.http.Start()
	case wireTLS:
		s.http.Listener = Listener(s.http.Listener)
		s.http.StartTLS()
	case wireForeign:
		s.http.StartTLS()
	}
	t.Cleanup(func() {
		s.handler.Close()
		s.http.Close()
	})
}

type sessionKey struct{}

// session is where the session of a request with that value of X-Session comes.
func (s *server) session(key string) chan *testSession {
	c, _ := s.sessions.LoadOrStore(key, make(chan *testSession, 1))
	return c.(chan *testSession)
}

func (s *server) accept(ctx context.Context, transport centrifuge.Transport) (session, error) {
	if s.accepting != nil {
		if err := s.accepting(transport); err != nil {
			return nil, err
		}
	}
	session := &testSession{
		transport: transport,
		messages:  make(chan string, 64), writable: make(chan struct{}, 64), pongs: make(chan struct{}, 4*earlyFrames),
		disconnects: make(chan centrifuge.Disconnect, 8), gone: make(chan error, 8),
	}
	session.fresh.Store(s.fresh)
	if s.receive != nil {
		session.receive = func(m []byte) bool { return s.receive(session, m) }
	}
	s.session(ctx.Value(sessionKey{}).(string)) <- session
	return session, nil
}

// peer is a client at the level of frames.
type peer struct {
	t testing.TB
	net.Conn
	r       *bufio.Reader
	answer  *http.Response
	session *testSession
}

// handshake is the request of a client; extra are header lines.
func handshake(path string, extra ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
		strings.Join(append(extra, ""), "\r\n") + "\r\n"
}

// dialRaw sends request and reads the answer.
func (s *server) dialRaw(t testing.TB, request string) *peer {
	t.Helper()
	address := s.http.Listener.Addr().String()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if s.http.TLS != nil {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own server
	}
	p := &peer{t: t, Conn: c, r: bufio.NewReader(c)}
	p.renew()
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	if p.answer, err = http.ReadResponse(p.r, nil); err != nil {
		t.Fatal(err)
	}
	return p
}

// dial makes a connection with its session.
func (s *server) dial(t testing.TB, path string, extra ...string) *peer {
	t.Helper()
	key := strconv.FormatInt(s.dialed.Add(1), 10)
	p := s.dialRaw(t, handshake(path, append(extra, "X-Session: "+key)...))
	if p.answer.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: %s; want %v", p.answer.Status, http.StatusSwitchingProtocols)
	}
	p.session = await.Receive(t, s.session(key), "session")
	return p
}

// frame builds a client's frame.
func frame(first byte, payload string) []byte {
	return wsframe.AppendMasked(nil, first, []byte(payload), [4]byte{0x12, 0x34, 0x56, 0x78})
}

// renew gives the next step its time: a peer may have been idle while others did
// theirs.
func (p *peer) renew() { _ = p.SetDeadline(time.Now().Add(waitLimit)) }

func (p *peer) send(b ...[]byte) {
	p.t.Helper()
	p.renew()
	if _, err := p.Write(bytes.Join(b, nil)); err != nil {
		p.t.Fatal(err)
	}
}

// message reads a frame of the server.
func (p *peer) message() (first byte, payload []byte, err error) {
	f, err := wsframe.Read(p.r, 64<<20)
	if err == nil && f.Masked {
		err = errors.New("the server has masked a frame")
	}
	return f.First, f.Payload, err
}

func (p *peer) expect(first byte, payload string) {
	p.t.Helper()
	gotFirst, got, err := p.message()
	if err != nil {
		p.t.Fatalf("expecting %x %q: %v", first, payload, err)
	}
	if gotFirst != first || string(got) != payload {
		p.t.Fatalf("got %x %q, want %x %q", gotFirst, got, first, payload)
	}
}

func (p *peer) expectClose(code uint16) (reason string) {
	p.t.Helper()
	first, payload, err := p.message()
	if err != nil {
		p.t.Fatalf("expecting close %d: %v", code, err)
	}
	if first != bitFin|opClose || len(payload) < 2 || uint16(payload[0])<<8|uint16(payload[1]) != code {
		p.t.Fatalf("got %x %q, want close %d", first, payload, code)
	}
	return string(payload[2:])
}

// expectEnd expects the end of the stream, not a reset.
func (p *peer) expectEnd() {
	p.t.Helper()
	if _, err := p.r.ReadByte(); !errors.Is(err, io.EOF) {
		p.t.Fatalf("read %v; want %v", err, io.EOF)
	}
}

func (s *testSession) expect(t testing.TB, messages ...string) {
	t.Helper()
	for _, want := range messages {
		if got := await.Receive(t, s.messages, fmt.Sprintf("message %.40q", want)); got != want {
			t.Fatalf("received %.80q, want %.80q", got, want)
		}
	}
}

// expectGone waits for the end, and makes sure that it came once.
func (s *testSession) expectGone(t testing.TB, want error) {
	t.Helper()
	err := await.Receive(t, s.gone, "Closed")
	if wantClose, ok := want.(*CloseError); ok { //nolint:errorlint // the test's own value
		var got *CloseError
		if !errors.As(err, &got) || got.Code != wantClose.Code {
			t.Fatalf("gone with %v, want %v", err, want)
		}
	} else if want != nil && !errors.Is(err, want) {
		t.Fatalf("gone with %v, want %v", err, want)
	}
	if got := len(s.gone); got != 0 {
		t.Fatalf("gone twice: len(s.gone) = %v; want 0", got)
	}
}
