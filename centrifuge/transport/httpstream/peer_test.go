package httpstream

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/http2"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/centrifuge/transport/websocket"

	"github.com/quic-go/quic-go/http3"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// route is what the bytes travel over.
type route int

const (
	routeTCP route = iota
	routeTLS
	routeForeignTLS  // of a listener that the event loop does not know
	routeHTTP2       // of package http2
	routeServedHTTP2 // of net/http
	routeHTTP3
)

func (r route) String() string {
	return [...]string{"tcp", "tls", "foreign tls", "http2", "http2 of net/http", "http3"}[r]
}

// protocol is the major version of HTTP.
func (r route) protocol() int {
	switch {
	case r < routeHTTP2:
		return 1
	case r < routeHTTP3:
		return 2
	}
	return 3
}

// server serves the transports of a node.
type server struct {
	t       testing.TB
	node    *centrifuge.Node
	http    *httptest.Server
	handler *Handler
	route   route
	client  *http.Client
	url     string
}

const (
	streamPath    = "/stream"
	emulationPath = "/emulation"
)

func serve(t testing.TB, n *centrifuge.Node, config Config, route route) *server {
	t.Helper()
	if config.OnError == nil {
		config.OnError = func(err error) { t.Errorf("OnError(%v)", err) }
	}
	s := &server{t: t, node: n, handler: NewHandler(n, config), route: route}
	mux := http.NewServeMux()
	mux.Handle(streamPath, s.handler)
	mux.Handle(emulationPath, NewEmulation(n, Config{OnRefused: config.OnRefused}))
	s.http = httptest.NewUnstartedServer(mux)
	s.http.Config.WriteTimeout = time.Second // a stream must not end by it
	switch route {
	case routeTCP:
		s.http.Start()
	case routeTLS:
		s.http.Listener = websocket.Listener(s.http.Listener)
		s.http.StartTLS()
	case routeForeignTLS:
		s.http.StartTLS()
	case routeHTTP2, routeServedHTTP2, routeHTTP3:
		s.http.EnableHTTP2 = true
		s.http.StartTLS()
	}
	s.client, s.url = s.http.Client(), s.http.URL
	stop := func() {}
	switch route {
	case routeHTTP2:
		stop = s.serveHTTP2()
	case routeHTTP3:
		stop = s.serveHTTP3()
	}
	t.Cleanup(func() {
		s.handler.Close()
		s.client.CloseIdleConnections()
		stop()
		s.http.CloseClientConnections()
		s.http.Close()
	})
	return s
}

// serveHTTP2 serves the same over HTTP/2 on an event loop, and makes the client use that.
func (s *server) serveHTTP2() (stop func()) {
	s.t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	streams := http2.NewServer(http2.Config{
		Handler:   s.http.Config.Handler,
		OnError:   func(err error) { s.t.Errorf("http2: OnError(%v)", err) },
		OnRefused: func(_ string, err error) { s.t.Errorf("http2: OnRefused(%v)", err) },
	})
	server := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		s.t.Errorf("%s is served by net/http; want package http2", r.Proto)
	})}
	listener := streams.Listener(tls.NewListener(websocket.Listener(tcp), s.http.TLS))
	s.url = "https://" + tcp.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	return func() {
		streams.Close()
		_ = server.Close()
		<-served
	}
}

// serveHTTP3 serves the same over HTTP/3, and makes the client use that.
func (s *server) serveHTTP3() (stop func()) {
	s.t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		s.t.Fatal(err)
	}
	trust := s.client.Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.NextProtos = nil
	transport := &http3.Transport{TLSClientConfig: trust}
	s.client, s.url = &http.Client{Transport: transport}, "https://"+udp.LocalAddr().String()
	server := &http3.Server{Handler: s.http.Config.Handler, TLSConfig: http3.ConfigureTLSConfig(s.http.TLS)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(udp) }()
	return func() {
		_ = transport.Close()
		_ = server.Close()
		<-served
		_ = udp.Close()
	}
}

// dialTCP opens a connection over which a test writes a request.
func (s *server) dialTCP() net.Conn {
	s.t.Helper()
	c, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	if s.http.TLS != nil {
		c = tls.Client(c, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the test's own server
	}
	_ = c.SetDeadline(time.Now().Add(transporttest.WaitLimit))
	s.t.Cleanup(func() { _ = c.Close() })
	return c
}

// post is a request that opens a stream.
func post(body string, headers ...string) string {
	return "POST " + streamPath + " HTTP/1.1\r\nHost: example.com\r\n" + lines(headers) +
		fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

func lines(headers []string) string {
	return strings.Join(append(headers, ""), "\r\n")
}

// exchange writes a request and returns everything up to the end of the connection.
func (s *server) exchange(request string) string {
	s.t.Helper()
	c := s.dialTCP()
	if _, err := io.WriteString(c, request); err != nil {
		s.t.Fatal(err)
	}
	response, err := io.ReadAll(c)
	if err != nil {
		s.t.Fatalf("reading the response: %v, after %q", err, response)
	}
	return string(response)
}

// stream is a client's end of a connection.
type stream struct {
	t       testing.TB
	server  *server
	wire    Wire
	conn    net.Conn // nil over HTTP/2 and HTTP/3
	cancel  context.CancelFunc
	body    *bufio.Reader
	status  int
	header  http.Header
	session string
	node    string
	why     centrifuge.Disconnect
}

func (s *server) stream(wire Wire) *stream {
	return &stream{t: s.t, server: s, wire: wire, cancel: func() {}}
}

// open sends the request that opens the stream.
func (p *stream) open(body string) error {
	var response *http.Response
	var err error
	if p.server.route >= routeHTTP2 {
		response, err = p.openHTTP(body)
	} else {
		p.conn = p.server.dialTCP()
		if _, err := io.WriteString(p.conn, post(body)); err != nil {
			return err
		}
		response, err = http.ReadResponse(bufio.NewReader(p.conn), nil)
	}
	if err != nil {
		return err
	}
	p.status, p.header, p.body = response.StatusCode, response.Header, bufio.NewReader(response.Body)
	if p.wire == Events {
		if line, err := p.body.ReadString('\n'); line != "\r\n" {
			return fmt.Errorf("the body begins with %q, %w; want %q", line, err, "\r\n")
		}
	}
	return nil
}

func (p *stream) openHTTP(body string) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.WaitLimit)
	p.cancel = cancel
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.server.url+streamPath, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := p.server.client.Do(request) //nolint:bodyclose // cancel ends it
	if want := p.server.route.protocol(); err == nil && response.ProtoMajor != want {
		err = fmt.Errorf("the protocol is %s; want HTTP/%d", response.Proto, want)
	}
	return response, err
}

// Send implements centrifugetest.TransportPeer.
func (p *stream) Send(message []byte) error {
	if p.body == nil {
		return p.open(string(message))
	}
	status, err := p.emulate(string(message))
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("status %d; want 204", status)
	}
	return err
}

func (p *stream) emulate(commands string) (status int, err error) {
	return p.server.emulate(p.node, p.session, commands)
}

// emulate sends commands of a session.
func (s *server) emulate(node, session, commands string) (status int, err error) {
	body, err := json.Marshal(map[string]string{"node": node, "session": session, "data": commands})
	if err != nil {
		return 0, err
	}
	response, err := s.client.Post(s.url+emulationPath, "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.StatusCode, response.Body.Close()
}

// Receive implements centrifugetest.TransportPeer.
func (p *stream) Receive() ([]byte, error) {
	if p.conn != nil {
		_ = p.conn.SetDeadline(time.Now().Add(transporttest.WaitLimit))
	}
	message, err := p.next()
	if err != nil {
		return nil, err
	}
	var seen struct {
		Push struct{ Disconnect *centrifuge.Disconnect }
		// Of a unidirectional connection.
		Disconnect *centrifuge.Disconnect
		Connect    struct{ Session, Node string }
	}
	if len(message) < 1<<10 && bytes.Contains(message, []byte("connect")) && json.Unmarshal(message, &seen) == nil {
		if seen.Connect.Session != "" {
			p.session, p.node = seen.Connect.Session, seen.Connect.Node
		}
		if seen.Disconnect == nil {
			seen.Disconnect = seen.Push.Disconnect
		}
		if seen.Disconnect != nil {
			p.why = *seen.Disconnect
			return nil, p.end()
		}
	}
	return message, nil
}

// next reads a message.
func (p *stream) next() ([]byte, error) {
	line, err := p.body.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	line = bytes.TrimSuffix(line, []byte("\n"))
	if p.wire == Stream {
		return line, nil
	}
	data, ok := bytes.CutPrefix(line, []byte("data: "))
	if blank, err := p.body.ReadString('\n'); !ok || blank != "\n" {
		return nil, fmt.Errorf("event %.100q, then %q, %w", line, blank, err)
	}
	return data, nil
}

// end expects the end of the stream behind a disconnect push.
func (p *stream) end() error {
	if rest, err := io.ReadAll(p.body); err != nil || len(rest) > 0 {
		return fmt.Errorf("behind the disconnect push: %q, %w", rest, err)
	}
	return transporttest.ErrDisconnected
}

// Reason implements centrifugetest.TransportPeer.
func (p *stream) Reason() centrifuge.Disconnect { return p.why }

// Close implements centrifugetest.TransportPeer.
func (p *stream) Close() error {
	p.cancel()
	if p.conn != nil {
		return p.conn.Close()
	}
	return nil
}

// expect reads messages that begin with prefixes.
func (p *stream) expect(prefixes ...string) {
	p.t.Helper()
	transporttest.Expect(p.t, p, prefixes...)
}

// expectEnd reads the disconnect push.
func (p *stream) expectEnd(want centrifuge.Disconnect) {
	p.t.Helper()
	transporttest.ExpectEnd(p.t, p, want)
}
