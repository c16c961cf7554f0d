package acme_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"centrifugo/internal/acmetest"
	"centrifugo/internal/await"
	"centrifugo/server/internal/acme"
	"centrifugo/server/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, acmetest.Linked()) }

const name = "rt.example.com"

// long is the life of a certificate that is not renewed during a test.
const long = 24 * time.Hour

// node is a Manager that runs behind listeners.
type node struct {
	*acme.Manager

	t     testing.TB
	tls   net.Listener
	plain *httptest.Server // nil without HTTP-01
	log   *log
	stop  func()
}

// log is read while it is written.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// count returns the number of lines with a text.
func (l *log) count(text string) (n int) {
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func section(s *acmetest.Server) config.TLSAutocert {
	return config.TLSAutocert{
		Enabled: true, HostWhitelist: []string{name},
		DirectoryURL: s.Directory, ServerCAPEM: config.PEM(s.CA),
	}
}

// start runs a Manager until the test ends or stop is called.
func start(t testing.TB, c config.TLSAutocert) *node {
	t.Helper()
	n := &node{t: t, log: &log{}}
	var err error
	n.Manager, err = acme.New(acme.Options{
		Section: c, Log: slog.New(slog.NewTextHandler(n.log, nil)), Interval: 20 * time.Millisecond,
		Retry: func(int) time.Duration { return 50 * time.Millisecond },
	})
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	if n.tls, err = tls.Listen("tcp", "127.0.0.1:0", n.TLSConfig()); err != nil {
		t.Fatal(err)
	}
	if handler := n.HTTPHandler(); handler != nil {
		n.plain = httptest.NewServer(handler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(n.serve)
	running.Go(func() { n.Run(ctx) })
	n.stop = sync.OnceFunc(func() {
		cancel()
		_ = n.tls.Close()
		running.Wait()
		if n.plain != nil {
			n.plain.Close()
		}
		if t.Failed() {
			t.Logf("log:\n%s", n.log)
		}
	})
	t.Cleanup(n.stop)
	return n
}

// serve makes handshakes.
func (n *node) serve() {
	var running sync.WaitGroup
	defer running.Wait()
	for {
		c, err := n.tls.Accept()
		if err != nil {
			return
		}
		running.Go(func() {
			defer func() { _ = c.Close() }()
			_ = c.(*tls.Conn).SetDeadline(time.Now().Add(await.Limit))
			if c.(*tls.Conn).Handshake() == nil {
				_, _ = io.Copy(io.Discard, c)
			}
		})
	}
}

// shake makes a handshake as a client of an ACME server, and returns the certificate.
func (n *node) shake(s *acmetest.Server, c *tls.Config) (*x509.Certificate, error) {
	if c.RootCAs == nil {
		c.RootCAs = s.Roots()
	}
	conn, err := tls.Dial("tcp", n.tls.Addr().String(), c)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0], nil
}

// served waits for a certificate that a client accepts.
func (n *node) served(s *acmetest.Server, host string) *x509.Certificate {
	n.t.Helper()
	var last error
	var got *x509.Certificate
	if !await.Reached(func() bool {
		got, last = n.shake(s, &tls.Config{ServerName: host})
		return last == nil
	}) {
		n.t.Fatalf("certificate of %s: %v; log:\n%s", host, last, n.log)
	}
	return got
}

// answer says where the challenges of a node are answered.
func (n *node) answer(s *acmetest.Server) {
	plain := ""
	if n.plain != nil {
		plain = n.plain.Listener.Addr().String()
	}
	s.Answer(n.tls.Addr().String(), plain)
}

func TestACMEByTLSALPN(t *testing.T) {
	s := acmetest.Start(t, long)
	c := section(s)
	c.Email = "admin@example.com"
	n := start(t, c)
	n.answer(s)
	leaf := n.served(s, name)
	if err := leaf.VerifyHostname(name); err != nil {
		t.Errorf("VerifyHostname = %v; want nil", err)
	}
	if got := s.Contacts(); len(got) == 0 || got[0] != "mailto:admin@example.com" {
		t.Errorf("contacts of the accounts: %q; want mailto:admin@example.com", got)
	}
	await.Until(t, "the log", func() bool { return n.log.count("TLS certificate in use") == 1 })
	if got := n.log.count("cache_dir is not set"); got != 1 {
		t.Errorf("%d warnings of the missing cache_dir; want 1", got)
	}
}

// With http the authority may use a port without TLS, even if it cannot reach the one with TLS.
func TestACMEByHTTP(t *testing.T) {
	s := acmetest.Start(t, long)
	c := section(s)
	c.HTTP = true
	n := start(t, c)
	s.Answer("", n.plain.Listener.Addr().String())
	n.served(s, name)
	await.Until(t, "the log of the challenge that failed", func() bool {
		return n.log.count(`msg="ACME challenge failed" host=rt.example.com challenge=tls-alpn-01`) > 0
	})
	for _, test := range []struct {
		method, host, path string
		status             int
		location           string
	}{
		{http.MethodGet, name + ":80", "/a?b=c", http.StatusFound, "https://rt.example.com/a?b=c"},
		{http.MethodGet, name, "x:@evil.example", http.StatusBadRequest, ""},
		{http.MethodHead, "RT.example.com.", "/", http.StatusFound, "https://rt.example.com/"},
		{http.MethodPost, name, "/", http.StatusBadRequest, ""},
		{http.MethodGet, "other.example.com", "/", http.StatusMisdirectedRequest, ""},
		{http.MethodGet, name, "/.well-known/acme-challenge/none", http.StatusNotFound, ""},
		{http.MethodGet, "other.example.com", "/.well-known/acme-challenge/none", http.StatusMisdirectedRequest, ""},
	} {
		recorder, request := httptest.NewRecorder(), httptest.NewRequest(test.method, test.path, nil)
		request.Host = test.host
		n.HTTPHandler().ServeHTTP(recorder, request)
		if got := recorder.Header().Get("Location"); recorder.Code != test.status || got != test.location {
			t.Errorf("%s %s of %s: status %d, location %q; want %d, %q", test.method, test.path, test.host, recorder.Code, got, test.status, test.location)
		}
	}
}

func TestACMERenewal(t *testing.T) {
	s := acmetest.Start(t, 12*time.Second)
	c := section(s)
	c.CacheDir = t.TempDir()
	n := start(t, c)
	n.answer(s)
	first := n.served(s, name)
	await.Until(t, "another certificate", func() bool {
		next, err := n.shake(s, &tls.Config{ServerName: name})
		return err == nil && next.SerialNumber.Cmp(first.SerialNumber) != 0
	})
	await.Until(t, "the log", func() bool { return n.log.count("TLS certificate replaced") > 0 })
}

// A restart uses the stored certificate, also while the ACME server is down.
func TestACMERestart(t *testing.T) {
	s := acmetest.Start(t, long)
	c := section(s)
	c.CacheDir = filepath.Join(t.TempDir(), "made", "by the server")
	n := start(t, c)
	n.answer(s)
	first := n.served(s, name)
	await.Until(t, "the certificate to be stored", func() bool {
		_, err := os.Stat(filepath.Join(c.CacheDir, name))
		return err == nil
	})
	n.stop()
	if info, err := os.Stat(c.CacheDir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("cache_dir: %v, %v; want permissions 0700", info, err)
	}
	orders := s.Orders()
	s.SetDown(true)
	idle := notRunning(t, c)
	second, err := idle.TLSConfig().GetCertificate(hello())
	if err != nil || second.Leaf.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Fatalf("after the restart: %v; want the certificate of before, without waiting for anything", err)
	}
	n = start(t, c)
	if leaf := n.served(s, name); leaf.SerialNumber.Cmp(first.SerialNumber) != 0 {
		t.Errorf("serial number %v after the restart; want %v as before", leaf.SerialNumber, first.SerialNumber)
	}
	await.Until(t, "the log", func() bool { return n.log.count("TLS certificate in use") == 1 })
	if got := s.Orders(); got != orders {
		t.Errorf("%d orders after the restart; want %d as before", got, orders)
	}
	if got := n.log.count("not reached"); got != 0 {
		t.Errorf("%d lines about the ACME server; want none:\n%s", got, n.log)
	}
}

// notRunning returns a Manager that obtains nothing.
func notRunning(t testing.TB, c config.TLSAutocert) *acme.Manager {
	t.Helper()
	m, err := acme.New(acme.Options{Section: c, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// hello is that of a client with ECDSA.
func hello() *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SupportedCurves: []tls.CurveID{tls.CurveP256}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	}
}

// A handshake orders nothing: a client cannot use up what the authority allows.
func TestACMEHandshakesOrderNothing(t *testing.T) {
	s := acmetest.Start(t, long)
	m := notRunning(t, section(s))
	if _, err := m.TLSConfig().GetCertificate(hello()); err == nil {
		t.Error("GetCertificate before Run = nil; want an error")
	}
	if got := len(s.Contacts()) + s.Orders(); got != 0 || strings.Contains(s.Log(), "GET") {
		t.Errorf("the handshake has asked the ACME server:\n%s", s.Log())
	}
}

// An ACME server that is down at the start is logged, and the certificate is obtained when it is back.
func TestACMEServerDown(t *testing.T) {
	s := acmetest.Start(t, long)
	s.SetDown(true)
	n := start(t, section(s))
	n.answer(s)
	await.Until(t, "the log", func() bool {
		return n.log.count("ACME server not reached") > 1 && n.log.count(`level=ERROR msg="TLS certificate not obtained" host=rt.example.com`) > 1
	})
	if _, err := n.shake(s, &tls.Config{ServerName: name}); err == nil {
		t.Error("a handshake succeeded; want an error")
	}
	s.SetDown(false)
	n.served(s, name)
}

// The log says why the authority refused a challenge.
func TestACMEChallengeFails(t *testing.T) {
	s := acmetest.Start(t, long)
	n := start(t, section(s))
	await.Until(t, "the log", func() bool {
		return n.log.count("TLS certificate not obtained") > 0 && n.log.count("tls-alpn-01: Failed to connect to 127.0.0.1") > 0
	})
	n.answer(s)
	n.served(s, name)
}

// Other names get no certificate and cause no orders; the log has some of them.
func TestACMEUnknownHost(t *testing.T) {
	s := acmetest.Start(t, long)
	c := section(s)
	c.HostWhitelist = []string{name, "Ünï.example.com."}
	c.ServerName = "RT.example.com"
	n := start(t, c)
	n.answer(s)
	n.served(s, name)
	n.served(s, "xn--n-nga1b.example.com")
	orders := s.Orders()
	for i := range 50 {
		if _, err := n.shake(s, &tls.Config{ServerName: fmt.Sprintf("other%d.example.com", i)}); err == nil {
			t.Fatal("a handshake for another name succeeded; want an error")
		}
		if _, err := n.shake(s, &tls.Config{ServerName: "../" + name, InsecureSkipVerify: true}); err == nil {
			t.Fatal("a handshake for a path succeeded; want an error")
		}
		if _, err := n.shake(s, &tls.Config{ServerName: fmt.Sprintf("other%d.example.com", i), NextProtos: []string{"acme-tls/1"}}); err == nil {
			t.Fatal("a challenge of another name was answered; want an error")
		}
	}
	if got := s.Orders(); got != orders {
		t.Errorf("%d orders; want %d", got, orders)
	}
	if got := n.log.count("its host name is not in host_whitelist"); got == 0 || got > 10 {
		t.Errorf("%d lines about 150 refused connections; want a few", got)
	}
	// A client that sends no name gets the certificate of server_name.
	leaf, err := n.shake(s, &tls.Config{InsecureSkipVerify: true})
	if err != nil || leaf.VerifyHostname(name) != nil {
		t.Errorf("without a name: %v, %v; want the certificate of %s", leaf, err, name)
	}
}

// A client without ECDSA gets a certificate of RSA.
func TestACMEForClientsWithoutECDSA(t *testing.T) {
	s := acmetest.Start(t, long)
	n := start(t, section(s))
	n.answer(s)
	n.served(s, name)
	var leaf *x509.Certificate
	await.Until(t, "a certificate of RSA", func() bool {
		var err error
		leaf, err = n.shake(s, &tls.Config{ServerName: name, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256}})
		return err == nil
	})
	if leaf.PublicKeyAlgorithm != x509.RSA {
		t.Errorf("PublicKeyAlgorithm = %v; want RSA", leaf.PublicKeyAlgorithm)
	}
}

// Without a name that is assumed, a client must send one.
func TestACMEWithoutName(t *testing.T) {
	s := acmetest.Start(t, long)
	n := start(t, section(s))
	n.answer(s)
	n.served(s, name)
	if _, err := n.shake(s, &tls.Config{InsecureSkipVerify: true}); err == nil {
		t.Error("a handshake without a name succeeded; want an error")
	}
}

func TestACMESettingsThatFail(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for want, c := range map[string]config.TLSAutocert{
		"cache_dir: ":     {HostWhitelist: []string{name}, CacheDir: file},
		"server_ca_pem: ": {HostWhitelist: []string{name}, ServerCAPEM: config.PEM(file)},
	} {
		_, err := acme.New(acme.Options{Section: c, Log: slog.New(slog.DiscardHandler)})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("New(%+v) = %v; want %q", c, err, want)
		}
	}
}

// The ACME server itself must have a certificate of server_ca_pem, or of the system.
func TestACMEAuthority(t *testing.T) {
	s := acmetest.Start(t, long)
	c := section(s)
	c.ServerCAPEM = ""
	n := start(t, c)
	await.Until(t, "the log", func() bool {
		return n.log.count("ACME server not reached") > 0 && n.log.count("certificate signed by unknown authority") > 0
	})
	n.stop()
	c.ServerCAPEM = config.PEM(s.CA)
	n = start(t, c)
	n.answer(s)
	n.served(s, name)
}

// An authority that requires it is told the account that it knows by other means. With a wrong
// key there is no certificate.
func TestACMEExternalAccount(t *testing.T) {
	account := acmetest.Account{ID: "account-1", Key: "c29tZSBrZXkgb2YgMzIgYnl0ZXMgb3Igc28sIGF0IGxlYXN0"}
	s := acmetest.Start(t, long, account)
	for _, wrong := range []acmetest.Account{{}, {ID: account.ID, Key: "YW5vdGhlcg"}, {ID: "account-2", Key: account.Key}} {
		c := section(s)
		c.ExternalAccountID, c.ExternalAccountKey = wrong.ID, wrong.Key
		n := start(t, c)
		n.answer(s)
		await.Until(t, "the log", func() bool { return n.log.count("TLS certificate not obtained") > 1 })
		n.stop()
	}
	if got := s.Orders(); got != 0 {
		t.Errorf("%d orders without the account; want none", got)
	}
	c := section(s)
	c.ExternalAccountID, c.ExternalAccountKey = account.ID, account.Key+"==" // some authorities pad it
	n := start(t, c)
	n.answer(s)
	n.served(s, name)
	if !strings.Contains(s.Log(), `kid "account-1"`) {
		t.Errorf("the log of the ACME server does not have the account:\n%s", s.Log())
	}
}

// A stop during a request ends soon.
func TestACMEStopped(t *testing.T) {
	before := goleak.IgnoreCurrent()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	accepted := make(chan net.Conn)
	go func() {
		c, err := listener.Accept()
		if !errors.Is(err, net.ErrClosed) {
			accepted <- c
		}
	}()
	n := start(t, config.TLSAutocert{HostWhitelist: []string{name}, DirectoryURL: "https://" + listener.Addr().String()})
	c := await.Receive(t, accepted, "the connection")
	n.stop()
	_ = c.Close()
	await.Until(t, "the goroutines to end", func() bool { return goleak.Find(before) == nil })
	if got := n.log.count("not obtained") + n.log.count("not reached"); got != 0 {
		t.Errorf("%d errors of requests that the stop has ended; want none:\n%s", got, n.log)
	}
}
