package websocket

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	eventhttp2 "centrifugo/centrifuge/transport/http2"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// carrier is what serves extended CONNECT requests.
type carrier int

const (
	carrierHTTP2    carrier = iota // package http2
	carrierNetHTTP2                // net/http, with its setting
	carrierHTTP3
)

// extendedServer serves WebSockets over HTTP/2 or HTTP/3.
type extendedServer struct {
	t       testing.TB
	handler *Handler
	address string
	open    opener
}

func newExtendedServer(t testing.TB, n *centrifuge.Node, config Config, by carrier) *extendedServer {
	t.Helper()
	config.OnError = func(err error) { t.Errorf("OnError(%v)", err) }
	s := &extendedServer{t: t, handler: NewHandler(n, config)}
	server := httptest.NewUnstartedServer(s.handler)
	server.EnableHTTP2 = true
	server.Config.ReadTimeout, server.Config.WriteTimeout = time.Second, time.Second // a WebSocket must not end by them
	server.StartTLS()
	s.address = server.Listener.Addr().String()
	trust := server.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.NextProtos = nil
	stop, leave := func() {}, func() {}
	switch by {
	case carrierHTTP2:
		s.address, stop = s.serveHTTP2(server.TLS)
		s.open, leave = openHTTP2(trust)
	case carrierNetHTTP2:
		s.open, leave = openHTTP2(trust)
	case carrierHTTP3:
		s.address, stop = s.serveHTTP3(server.TLS)
		s.open = s.openHTTP3(trust)
	}
	t.Cleanup(func() {
		s.handler.Close()
		leave()
		stop()
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// serveHTTP2 serves the handler by package http2, with the certificate of c.
func (s *extendedServer) serveHTTP2(c *tls.Config) (address string, stop func()) {
	s.t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	onError := func(err error) { s.t.Errorf("http2: OnError(%v)", err) }
	server := eventhttp2.NewServer(eventhttp2.Config{Handler: s.handler, ExtendedConnect: true, OnError: onError})
	listener := server.Listener(tls.NewListener(Listener(tcp), c))
	return tcp.Addr().String(), func() {
		server.Close()
		_ = listener.Close()
	}
}

// serveHTTP3 serves the handler with the certificate of c.
func (s *extendedServer) serveHTTP3(c *tls.Config) (address string, stop func()) {
	s.t.Helper()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		s.t.Fatal(err)
	}
	server := &http3.Server{Handler: s.handler, TLSConfig: http3.ConfigureTLSConfig(c)}
	served := make(chan error, 1)
	go func() { served <- server.Serve(udp) }()
	return udp.LocalAddr().String(), func() {
		_ = server.Close()
		<-served
		_ = udp.Close()
	}
}

// duplex joins the two directions of a request over HTTP/2.
type duplex struct {
	io.ReadCloser
	io.WriteCloser
}

func (d duplex) Close() error { return errors.Join(d.WriteCloser.Close(), d.ReadCloser.Close()) }

// opener opens a stream by an extended CONNECT request.
type opener func(ctx context.Context, r *http.Request) (io.ReadWriteCloser, *http.Response, error)

//nolint:staticcheck // of the clients in Go only this one sends an extended CONNECT over HTTP/2
func openHTTP2(trust *tls.Config) (open opener, stop func()) {
	transport := &http2.Transport{TLSClientConfig: trust}
	return func(ctx context.Context, r *http.Request) (io.ReadWriteCloser, *http.Response, error) {
		in, out := io.Pipe()
		r = r.WithContext(ctx)
		r.Body = in
		r.Header[":protocol"] = []string{r.Proto}
		response, err := transport.RoundTrip(r)
		if err != nil {
			return nil, nil, err
		}
		return duplex{response.Body, out}, response, nil
	}, transport.CloseIdleConnections
}

func (s *extendedServer) openHTTP3(trust *tls.Config) opener {
	trust.NextProtos = []string{http3.NextProtoH3}
	return func(ctx context.Context, r *http.Request) (io.ReadWriteCloser, *http.Response, error) {
		conn, err := quic.DialAddr(ctx, s.address, trust, nil)
		if err != nil {
			return nil, nil, err
		}
		s.t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
		transport := new(http3.Transport)
		s.t.Cleanup(func() { _ = transport.Close() })
		client := transport.NewClientConn(conn)
		select {
		case <-client.ReceivedSettings():
		case <-ctx.Done():
			return nil, nil, ctx.Err()
		}
		if !client.Settings().EnableExtendedConnect {
			return nil, nil, errors.New("the server does not announce extended CONNECT")
		}
		stream, err := client.OpenRequestStream(ctx)
		if err != nil {
			return nil, nil, err
		}
		if err := stream.SendRequestHeader(r); err != nil {
			return nil, nil, err
		}
		response, err := stream.ReadResponse()
		if err != nil {
			return nil, nil, err
		}
		return http3Stream{stream}, response, nil
	}
}

// http3Stream is closed in both directions.
type http3Stream struct{ *http3.RequestStream }

func (s http3Stream) Close() error {
	s.CancelRead(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	s.CancelWrite(quic.StreamErrorCode(http3.ErrCodeRequestCanceled))
	return nil
}

// streamPeer is the client's end of a stream as a net.Conn.
type streamPeer struct {
	io.ReadWriteCloser
	net.Conn // nil: its methods are not used but those below
}

func (p streamPeer) Read(b []byte) (int, error)  { return p.ReadWriteCloser.Read(b) }
func (p streamPeer) Write(b []byte) (int, error) { return p.ReadWriteCloser.Write(b) }
func (p streamPeer) Close() error                { return p.ReadWriteCloser.Close() }
func (streamPeer) SetDeadline(time.Time) error   { return nil } // the context of the request ends it

// connect sends an extended CONNECT request.
func (s *extendedServer) connect(t testing.TB, protocol string, header http.Header) (*peer, *http.Response, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 4*waitLimit)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+s.address+"/connection/websocket", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Proto, r.Header = protocol, header
	stream, response, err := s.open(ctx, r)
	if err != nil {
		return nil, nil, err
	}
	t.Cleanup(func() { _ = stream.Close() })
	conn := streamPeer{ReadWriteCloser: stream}
	return &peer{t: t, Conn: conn, r: bufio.NewReader(conn), answer: response}, response, nil
}

// inChild runs a test in a process whose net/http allows extended CONNECT over HTTP/2, and
// reports whether this is that process. The setting is read when a program starts.
func inChild(t *testing.T) bool {
	t.Helper()
	const setting = "http2xconnect=1"
	if strings.Contains(os.Getenv("GODEBUG"), setting) {
		return true
	}
	arguments := []string{"-test.run=^" + t.Name() + "$", "-test.v"}
	if testing.Short() {
		arguments = append(arguments, "-test.short")
	}
	child := exec.CommandContext(t.Context(), os.Args[0], arguments...) //nolint:gosec // this program
	child.Env = append(os.Environ(), "GODEBUG="+strings.TrimPrefix(os.Getenv("GODEBUG")+","+setting, ","))
	output, err := child.CombinedOutput()
	if err != nil {
		t.Fatalf("with %s: %v\n%s", setting, err, output)
	}
	if !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Fatalf("with %s the test did not run:\n%s; want it to pass", setting, output)
	}
	return false
}

// testExtended runs the suite of transports, and the checks of the request.
func testExtended(t *testing.T, by carrier) {
	t.Run("suite", func(t *testing.T) {
		centrifugetest.TestTransport(t, func(t *testing.T, n *centrifuge.Node) func(t *testing.T) centrifugetest.TransportPeer {
			s := newExtendedServer(t, n, Config{WriteTimeout: time.Minute}, by) // the node's bound must do
			return func(t *testing.T) centrifugetest.TransportPeer {
				p, response, err := s.connect(t, "websocket", http.Header{"Sec-Websocket-Version": {"13"}})
				if err != nil || response.StatusCode != http.StatusOK {
					t.Fatalf("CONNECT: %+v, %v; want status 200", response, err)
				}
				return &suitePeer{peer: p}
			}
		})
	})
	t.Run("requests", func(t *testing.T) {
		s := newExtendedServer(t, newEchoNode(t), Config{Compression: true}, by)
		for _, test := range []struct {
			name, protocol string
			header         http.Header
			status         int
			answer         http.Header
		}{
			{"plain", "websocket", http.Header{"Sec-Websocket-Version": {"13"}}, 200, nil},
			{
				"subprotocol and compression", "websocket",
				http.Header{"Sec-Websocket-Version": {"13"}, "Sec-Websocket-Protocol": {"centrifuge-protobuf"}, "Sec-Websocket-Extensions": {"permessage-deflate"}},
				200, http.Header{"Sec-Websocket-Protocol": {"centrifuge-protobuf"}, "Sec-Websocket-Extensions": {deflateResponse}},
			},
			{"other version", "websocket", http.Header{"Sec-Websocket-Version": {"12"}}, 400, http.Header{"Sec-Websocket-Version": {"13"}}},
			{"no version", "websocket", http.Header{}, 400, http.Header{"Sec-Websocket-Version": {"13"}}},
			{"other protocol", "connect-udp", http.Header{"Sec-Websocket-Version": {"13"}}, 501, nil},
			{"other origin", "websocket", http.Header{"Sec-Websocket-Version": {"13"}, "Origin": {"https://evil.example"}}, 403, nil},
		} {
			t.Run(test.name, func(t *testing.T) {
				_, response, err := s.connect(t, test.protocol, test.header)
				if err != nil || response.StatusCode != test.status {
					t.Fatalf("got %+v, %v; want status %d", response, err, test.status)
				}
				for name, want := range test.answer {
					if got := response.Header.Get(name); got != want[0] {
						t.Errorf("%s: got %q; want %q", name, got, want[0])
					}
				}
			})
		}
	})
}

// newEchoNode runs a node that lets everybody connect.
func newEchoNode(t *testing.T) *centrifuge.Node {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogNone})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
		defer cancel()
		if err := node.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown = %v", err)
		}
	})
	return node
}

// TestExtendedOverHTTP2: WebSocket by extended CONNECT (RFC 8441).
func TestExtendedOverHTTP2(t *testing.T) { testExtended(t, carrierHTTP2) }

// TestExtendedOverNetHTTP2: the same where net/http serves HTTP/2.
func TestExtendedOverNetHTTP2(t *testing.T) {
	if inChild(t) {
		testExtended(t, carrierNetHTTP2)
	}
}

// TestExtendedOverHTTP3: WebSocket by extended CONNECT (RFC 9220).
func TestExtendedOverHTTP3(t *testing.T) { testExtended(t, carrierHTTP3) }

// TestExtendedOverNetHTTP2IsOff: without the setting of net/http, clients learn that they must use
// HTTP/1.1.
func TestExtendedOverNetHTTP2IsOff(t *testing.T) {
	if strings.Contains(os.Getenv("GODEBUG"), "http2xconnect=1") {
		t.Skip("the setting is on")
	}
	s := newExtendedServer(t, newEchoNode(t), Config{}, carrierNetHTTP2)
	_, response, err := s.connect(t, "websocket", http.Header{"Sec-Websocket-Version": {"13"}})
	if err == nil || !strings.Contains(err.Error(), "extended connect not supported") {
		t.Errorf("got %v, %v; want the error that extended CONNECT is not announced", fmt.Sprint(response), err)
	}
}
