package http2

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge/transport/websocket"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// waitLimit bounds what a test waits for in one step; it only keeps a test from hanging.
const waitLimit = time.Minute

// server is a Server beside one of net/http, on the same listener.
type server struct {
	*Server

	t       testing.TB
	address string
	url     string
	trust   *tls.Config
	client  *http.Client // over HTTP/2

	mu      sync.Mutex
	errors  []error // OnError
	refused []error // OnRefused
}

// serve serves config.Handler; prepare is done to each connection before TLS, and nil is for no
// TLS.
func serve(t testing.TB, config Config, prepare func(net.Listener) net.Listener) *server {
	t.Helper()
	certificates := httptest.NewUnstartedServer(nil)
	certificates.EnableHTTP2 = true
	certificates.StartTLS()
	trust := certificates.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	certificates.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, address: tcp.Addr().String(), url: "https://" + tcp.Addr().String(), trust: trust}
	config.OnError = func(err error) { s.note(&s.errors, err) }
	config.OnRefused = func(_ string, err error) { s.note(&s.refused, err) }
	s.Server = NewServer(config)
	other := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("net/http, " + r.Proto))
	})}
	listener := tcp
	if prepare != nil {
		listener = tls.NewListener(prepare(tcp), certificates.TLS)
	}
	listener = s.Listener(listener)
	served := make(chan error, 1)
	go func() { served <- other.Serve(listener) }()
	s.client = s.newClient()
	t.Cleanup(func() {
		s.Close()
		_ = other.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("Serve() = %v; want ErrServerClosed", err)
		}
	})
	return s
}

// polled serves on the event loop.
func polled(t testing.TB, handler http.HandlerFunc) *server {
	t.Helper()
	return serve(t, Config{Handler: handler}, pollableListener)
}

// newClient returns a client with a connection of its own.
func (s *server) newClient() *http.Client {
	transport := &http.Transport{TLSClientConfig: s.trust.Clone(), ForceAttemptHTTP2: true, ExpectContinueTimeout: waitLimit}
	s.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: waitLimit}
}

func (s *server) note(list *[]error, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*list = append(*list, err)
}

// noted returns what OnError and OnRefused were told.
func (s *server) noted() (failures, refused []error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.errors, s.refused
}

// connections returns how many connections there are.
func (s *server) connections() int {
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	return len(s.conns)
}

func pollableListener(l net.Listener) net.Listener { return websocket.Listener(l) }

// handlers returns how many handlers run.
func (s *server) handlers() (n int) {
	s.each(func(c *conn) { n += c.handlers })
	return n
}

// backlog returns how many bytes wait for the sockets.
func (s *server) backlog() (n int) {
	s.each(func(c *conn) { n += c.writer.Len() })
	return n
}

// each calls f for the connections, with their mu held.
func (s *server) each(f func(c *conn)) {
	s.Server.mu.Lock()
	defer s.Server.mu.Unlock()
	for c := range s.conns {
		c.mu.Lock()
		f(c)
		c.mu.Unlock()
	}
}
