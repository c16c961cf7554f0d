package webtransport

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	wt "github.com/quic-go/webtransport-go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// path of the endpoint.
const path = "/connection/webtransport"

// certificate returns a certificate for 127.0.0.1 and a pool with it.
var certificate = sync.OnceValues(func() (tls.Certificate, *x509.CertPool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	pool := x509.NewCertPool()
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
})

// refusal is a call of Config.OnRefused.
type refusal struct {
	status int
	reason string
}

// server serves the sessions of a node, and the other requests of its HTTP/3 server.
type server struct {
	t       testing.TB
	handler *Handler
	address string
	refused chan refusal
	conns   sync.WaitGroup
}

func serve(t testing.TB, n *centrifuge.Node, config Config) *server {
	t.Helper()
	s := &server{t: t, refused: make(chan refusal, 100)}
	if config.OnError == nil {
		config.OnError = func(err error) { t.Errorf("OnError(%v)", err) }
	}
	config.OnRefused = func(_ *http.Request, status int, reason string) { s.refused <- refusal{status, reason} }
	s.handler = NewHandler(n, config)
	mux := http.NewServeMux()
	mux.Handle(path, s.handler)
	mux.HandleFunc("/other", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "other") })
	s.handler.Attach(&http3.Server{Handler: wrapped(mux)})
	cert, _ := certificate()
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s.address = udp.LocalAddr().String()
	transport := &quic.Transport{Conn: udp}
	settings := &quic.Config{}
	EnableQUIC(settings)
	listener, err := transport.ListenEarly(http3.ConfigureTLSConfig(&tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13}), settings)
	if err != nil {
		t.Fatal(err)
	}
	s.conns.Go(func() {
		for {
			conn, err := listener.Accept(context.Background())
			if err != nil {
				return
			}
			s.conns.Go(func() { _ = s.handler.ServeQUICConn(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		s.handler.Close()
		_ = transport.Close()
		_ = udp.Close()
		s.conns.Wait()
	})
	return s
}

// wrapped puts middleware that wraps the response before a handler.
func wrapped(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { next.ServeHTTP(wrapper{w}, r) })
}

type wrapper struct{ http.ResponseWriter }

func (w wrapper) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// open opens a session.
func (s *server) open(query string, header http.Header) (*http.Response, *wt.Session, error) {
	s.t.Helper()
	_, pool := certificate()
	client := &wt.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}}
	s.t.Cleanup(func() { _ = client.Close() })
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.WaitLimit)
	defer cancel()
	response, session, err := client.Dial(ctx, "https://"+s.address+path+query, header)
	if err == nil {
		s.t.Cleanup(func() { _ = session.CloseWithError(0, "") })
	}
	return response, session, err //nolint:wrapcheck // for the test
}

// peer is a client's end of a connection: centrifugetest.TransportPeer in JSON.
type peer struct {
	t       testing.TB
	session *wt.Session
	stream  *wt.Stream
	in      *bufio.Reader
	why     centrifuge.Disconnect
}

// dial opens a session and its stream.
func (s *server) dial(query string) *peer {
	s.t.Helper()
	_, session, err := s.open(query, nil)
	if err != nil {
		s.t.Fatalf("opening a session: %v", err)
	}
	stream, err := session.OpenStream()
	if err != nil {
		s.t.Fatalf("opening a stream: %v", err)
	}
	return &peer{t: s.t, session: session, stream: stream, in: bufio.NewReader(stream)}
}

// Send implements centrifugetest.TransportPeer.
func (p *peer) Send(message []byte) error { return p.write(string(message) + "\n") }

func (p *peer) write(text string) error {
	_ = p.stream.SetWriteDeadline(time.Now().Add(transporttest.WaitLimit))
	_, err := io.WriteString(p.stream, text)
	return err //nolint:wrapcheck // for the test
}

// Receive implements centrifugetest.TransportPeer. A disconnect push must be the last
// message, and the session must end with its code and reason.
func (p *peer) Receive() ([]byte, error) {
	_ = p.stream.SetReadDeadline(time.Now().Add(transporttest.WaitLimit))
	line, err := p.in.ReadBytes('\n')
	if err != nil {
		return nil, err //nolint:wrapcheck // for the test
	}
	line = line[:len(line)-1]
	var seen struct {
		Push struct{ Disconnect *centrifuge.Disconnect }
	}
	if len(line) < 1<<10 && bytes.Contains(line, []byte("disconnect")) && json.Unmarshal(line, &seen) == nil && seen.Push.Disconnect != nil {
		p.why = *seen.Push.Disconnect
		return nil, p.end()
	}
	return line, nil
}

// end expects the end of the stream, and of the session, behind a disconnect push.
func (p *peer) end() error {
	if rest, err := io.ReadAll(p.in); err != nil || len(rest) > 0 {
		return fmt.Errorf("behind the disconnect push: %q, %w", rest, err)
	}
	_ = p.stream.Close() // as an SDK does
	if got := p.closed(); got != p.why {
		p.t.Errorf("the session is closed with %v; want %v, as in the push", got, p.why)
	}
	return transporttest.ErrDisconnected
}

// closed waits for the end of the session and returns its code and reason.
func (p *peer) closed() centrifuge.Disconnect {
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.WaitLimit)
	defer cancel()
	_, err := p.session.AcceptStream(ctx)
	var closed *wt.SessionError
	if !errors.As(err, &closed) {
		p.t.Errorf("the session ended with %v; want a code", err)
		return centrifuge.Disconnect{}
	}
	return centrifuge.Disconnect{Code: uint32(closed.ErrorCode), Reason: closed.Message}
}

// Reason implements centrifugetest.TransportPeer.
func (p *peer) Reason() centrifuge.Disconnect { return p.why }

// Close implements centrifugetest.TransportPeer.
func (p *peer) Close() error { return p.session.CloseWithError(0, "") } //nolint:wrapcheck // for the test

// expect reads messages that begin with prefixes.
func (p *peer) expect(prefixes ...string) {
	p.t.Helper()
	transporttest.Expect(p.t, p, prefixes...)
}

// expectEnd reads the disconnect push.
func (p *peer) expectEnd(want centrifuge.Disconnect) {
	p.t.Helper()
	transporttest.ExpectEnd(p.t, p, want)
}
