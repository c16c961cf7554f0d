// Package acmetest runs Pebble, the ACME server that Let's Encrypt makes for tests, inside a test.
package acmetest

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/letsencrypt/pebble/v2/ca"
	"github.com/letsencrypt/pebble/v2/db"
	"github.com/letsencrypt/pebble/v2/va"
	"github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

// Linked is the goroutine that a Pebble leaves behind: it has no way to be stopped.
func Linked() goleak.Option {
	return goleak.IgnoreTopFunction("github.com/letsencrypt/pebble/v2/va.VAImpl.processTasks")
}

// Server is an ACME server. For it, all host names are those of this machine.
type Server struct {
	// Directory is its URL.
	Directory string
	// CA is the authority of the server's own certificate, in PEM.
	CA string

	ca     *ca.CAImpl
	orders atomic.Int64
	down   atomic.Bool
	output output

	mu       sync.Mutex
	contacts []string // guarded by mu

	http *httptest.Server
	// tls and plain are where challenges are sent.
	tls, plain *relay
}

// Account is one that the authority knows by other means than ACME. Key is in base64url.
type Account struct{ ID, Key string }

// Start starts a server whose certificates are valid for a time, until the test ends. If there
// are accounts, it requires that those of ACME are bound to one of them.
func Start(t testing.TB, validity time.Duration, accounts ...Account) *Server {
	t.Helper()
	_ = os.Setenv("PEBBLE_VA_NOSLEEP", "1") // it would wait for seconds before a challenge
	s := &Server{tls: newRelay(t), plain: newRelay(t)}
	logger := log.New(&s.output, "", log.Ltime)
	store := db.NewMemoryStore()
	for _, a := range accounts {
		if err := store.AddExternalAccountKeyByID(a.ID, a.Key); err != nil {
			t.Fatal(err)
		}
	}
	s.ca = ca.New(logger, store, "", "ecdsa", 0, 1, map[string]ca.Profile{"default": {ValidityPeriod: uint64(validity / time.Second)}}) //nolint:gosec // of the test
	validation := va.New(logger, s.plain.port(), s.tls.port(), false, startDNS(t), store)
	front := wfe.New(logger, store, validation, s.ca, []string{"localhost"}, false, len(accounts) > 0, 0, 0)
	handler := front.Handler()
	s.http = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.down.Load() {
			panic(http.ErrAbortHandler) // the connection ends without an answer
		}
		switch r.URL.Path {
		case "/order-plz":
			s.orders.Add(1)
		case "/sign-me-up":
			s.register(r)
		}
		handler.ServeHTTP(w, r)
	}))
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.http.StartTLS()
	s.Directory = s.http.URL + wfe.DirectoryPath
	s.CA = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.http.Certificate().Raw}))
	t.Cleanup(func() {
		s.http.Close()
		if t.Failed() {
			t.Logf("Pebble:\n%s", s.output.String())
		}
	})
	return s
}

// Answer says where challenges over TLS and over HTTP are answered. An empty address is for nowhere.
func (s *Server) Answer(overTLS, overHTTP string) {
	s.tls.target.Store(&overTLS)
	s.plain.target.Store(&overHTTP)
}

// SetDown makes the server end connections without an answer, or answer again.
func (s *Server) SetDown(down bool) { s.down.Store(down) }

// Orders is the number of requests for a certificate so far.
func (s *Server) Orders() int { return int(s.orders.Load()) }

// Roots has the authority of the certificates.
func (s *Server) Roots() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.ca.GetRootCert(0).Cert)
	return pool
}

// Log is what the server has logged.
func (s *Server) Log() string { return s.output.String() }

// Contacts are the contact addresses of all requests for an account so far.
func (s *Server) Contacts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.contacts)
}

// register notes the contacts of a request for an account, whose body is a JSON Web Signature.
func (s *Server) register(r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	var signed struct{ Payload string }
	_ = json.Unmarshal(body, &signed)
	payload, _ := base64.RawURLEncoding.DecodeString(signed.Payload)
	var account struct{ Contact []string }
	_ = json.Unmarshal(payload, &account)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.contacts = append(s.contacts, account.Contact...)
}

// startDNS starts a name server for which every name is 127.0.0.1, and returns its address.
func startDNS(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, question *dns.Msg) {
		answer := new(dns.Msg).SetReply(question)
		if q := question.Question[0]; q.Qtype == dns.TypeA {
			answer.Answer = append(answer.Answer, &dns.A{
				Hdr: dns.RR_Header{Name: q.Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.IPv4(127, 0, 0, 1),
			})
		}
		_ = w.WriteMsg(answer)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.ActivateAndServe()
	}()
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	return l.Addr().String()
}

// relay passes connections to a target on. A server under test gets its port only after the ACME
// server has been told where to send challenges.
type relay struct {
	listener net.Listener
	target   atomic.Pointer[string]
}

func newRelay(t testing.TB) *relay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{listener: l}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.pass(c) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		running.Wait()
	})
	return r
}

func (r *relay) port() int { return r.listener.Addr().(*net.TCPAddr).Port }

func (r *relay) pass(from net.Conn) {
	defer func() { _ = from.Close() }()
	target := r.target.Load()
	if target == nil || *target == "" {
		return
	}
	to, err := net.Dial("tcp", *target)
	if err != nil {
		return
	}
	defer func() { _ = to.Close() }()
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			ended <- struct{}{}
		}()
	}
	<-ended
	_, _ = from.Close(), to.Close()
	<-ended
}

// output is a log that tests read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p) //nolint:wrapcheck // never fails
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
