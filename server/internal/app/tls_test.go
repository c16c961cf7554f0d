package app

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// authority signs certificates for loopback addresses.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
	life time.Duration // of the certificates that are signed next
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, life: time.Hour}
	a.key, a.cert, a.pem = a.sign(&x509.Certificate{IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

var serial atomic.Int64

// sign makes a key and its certificate, which is its own authority if a has none yet.
func (a *authority) sign(template *x509.Certificate) (*ecdsa.PrivateKey, *x509.Certificate, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	number := serial.Add(1)
	template.SerialNumber = big.NewInt(number)
	template.Subject = pkix.Name{CommonName: fmt.Sprint("test ", number)}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(a.life)
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// leaf returns a certificate and its key in PEM.
func (a *authority) leaf() (cert, key string) {
	a.t.Helper()
	private, _, text := a.sign(&x509.Certificate{
		IPAddresses: []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("127.0.0.2")},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	})
	der, err := x509.MarshalECPrivateKey(private)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(text), string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}))
}

// section is a TLS object of the configuration, as a member of the given name.
func (a *authority) section(name, clientCA string) string {
	a.t.Helper()
	cert, key := a.leaf()
	object := map[string]any{"enabled": true, "cert_pem": cert, "key_pem": key}
	if clientCA != "" {
		object["client_ca_pem"] = clientCA
	}
	text, err := json.Marshal(object)
	if err != nil {
		a.t.Fatal(err)
	}
	return fmt.Sprintf("%q: %s", name, text)
}

// securedOutside is the section of a server whose external listener alone has TLS.
func securedOutside(t *testing.T) string {
	t.Helper()
	return `"http_server": {"internal_address": "127.0.0.2", "tls_external": true, ` + newAuthority(t).section("tls", "") + `}`
}

// client trusts the authority.
func (a *authority) client() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
}

// get asks an endpoint over TLS.
func get(t *testing.T, c *tls.Config, url string) (*http.Response, error) {
	t.Helper()
	transport := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport, Timeout: apptest.Timeout}).Do(request)
	if err == nil {
		_ = response.Body.Close()
	}
	return response, err
}

func TestTLS(t *testing.T) {
	a := newAuthority(t)
	i := start(t, `"client": {"insecure": true}, "health": {"enabled": true}, "http_server": {`+a.section("tls", "")+`}`)
	c := i.connected(apptest.Dialer{TLS: a.client()})
	if reply := ask(t, c, `{"id":2,"publish":{"channel":"x","data":1}}`); reply != `{"id":2,"publish":{}}` {
		t.Errorf("publishing over TLS: %s; want %q", reply, `{"id":2,"publish":{}}`)
	}
	// server.md 6.5: HTTP/2 by ALPN.
	response, err := get(t, a.client(), "https://"+i.external()+"/health")
	if err != nil || response.ProtoMajor != 2 {
		t.Errorf("health over TLS: %+v, %v; want HTTP/2", response, err)
	}
	old := a.client()
	old.MinVersion, old.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 //nolint:gosec // that it is refused is the point
	if _, err := get(t, old, "https://"+i.external()+"/health"); err == nil {
		t.Error("TLS 1.1 was accepted; want an error")
	}
	if status, _ := i.request(http.MethodGet, i.external(), "/health", ""); status != http.StatusBadRequest {
		t.Errorf("plain HTTP to a TLS port: status %d; want %v", status, http.StatusBadRequest)
	}
}

// TestTLSThreaded: a WebSocket connection over TLS has no goroutine that waits for its
// messages, unless http_server.tls_threaded is set.
func TestTLSThreaded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("every connection has a goroutine here")
	}
	a := newAuthority(t)
	for _, threaded := range []bool{false, true} {
		t.Run(fmt.Sprint(threaded), func(t *testing.T) {
			i := start(t, anonymous+fmt.Sprintf(`, "http_server": {"tls_threaded": %v, `, threaded)+a.section("tls", "")+`}`)
			c := i.connected(apptest.Dialer{TLS: a.client()})
			stacks := make([]byte, 1<<20)
			stacks = stacks[:runtime.Stack(stacks, true)]
			if !bytes.Contains(stacks, []byte("eventloop.(*poller).run")) {
				t.Errorf("no poller runs: the test looks for the wrong names: got %v; want \"eventloop.(*poller).run\" in it", stacks)
			}
			if got := bytes.Contains(stacks, []byte("eventloop.(*threadedSocket)")); got != threaded {
				t.Errorf("with tls_threaded = %v a goroutine reads the connection: %v; want %v", threaded, got, threaded)
			}
			if reply := ask(t, c, `{"id":2,"publish":{"channel":"x","data":1}}`); reply == "" {
				t.Error("the connection has ended; want an answer")
			}
		})
	}
}

// TestKeptTLSBuffersAreLogged once, and only where connections are on the event loop.
func TestKeptTLSBuffersAreLogged(t *testing.T) {
	for _, test := range []struct {
		kept, threaded bool
		want           int
	}{{true, false, 1}, {true, true, 0}, {false, false, 0}} {
		var log bytes.Buffer
		cfg := &config.Config{}
		cfg.HTTPServer.TLSThreaded = test.threaded
		a := &App{config: cfg, log: slog.New(slog.NewTextHandler(&log, nil)), tlsBuffersKept: test.kept}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if got := a.pollable(listener) != listener; got == test.threaded {
				t.Errorf("kept %v, threaded %v: wrapped = %v; want %v", test.kept, test.threaded, got, !test.threaded)
			}
		}
		_ = listener.Close()
		if got := strings.Count(log.String(), "TLS read buffers"); got != test.want {
			t.Errorf("kept %v, threaded %v: %d lines; want %d:\n%s", test.kept, test.threaded, got, test.want, &log)
		}
	}
}

func TestClientCertificates(t *testing.T) {
	a, stranger := newAuthority(t), newAuthority(t)
	i := start(t, anonymous+`, "http_server": {`+a.section("tls", string(a.pem))+`}`) // the second is client_ca_pem
	with := func(from *authority) apptest.Dialer {
		pair, err := tls.X509KeyPair(pairBytes(from))
		if err != nil {
			t.Fatal(err)
		}
		c := a.client()
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return apptest.Dialer{TLS: c}
	}
	i.connected(with(a))
	for name, d := range map[string]apptest.Dialer{"none": {TLS: a.client()}, "of a stranger": with(stranger)} {
		if c, err := d.Dial(i.external()); err == nil {
			_ = c.Close()
			t.Errorf("certificate %s: accepted; want an error", name)
		}
	}
}

func pairBytes(a *authority) (cert, key []byte) {
	c, k := a.leaf()
	return []byte(c), []byte(k)
}

// Whether each listener uses TLS, and its certificate.
func TestTLSOfListeners(t *testing.T) {
	outer, inner := newAuthority(t), newAuthority(t)
	own := `, ` + inner.section("internal_tls", "")
	tests := []struct {
		name, settings     string
		external, internal *authority // nil for none
	}{
		{"both", "", outer, outer},
		{"external only", `, "tls_external": true`, outer, nil},
		{"one each", own, outer, inner},
		{"external only, internal has its own", `, "tls_external": true` + own, outer, inner},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, `"health": {"enabled": true}, "init": {"enabled": true},
				"http_server": {"internal_address": "127.0.0.2", `+outer.section("tls", "")+test.settings+`}`)
			for _, l := range []struct {
				url string
				a   *authority
			}{{i.external() + "/connection/init", test.external}, {i.internal() + "/health", test.internal}} {
				scheme, c := "http://", &tls.Config{MinVersion: tls.VersionTLS12}
				if l.a != nil {
					scheme, c = "https://", l.a.client()
				}
				if response, err := get(t, c, scheme+l.url); err != nil || response.StatusCode != 200 {
					t.Errorf("%s%s: %+v, %v; want StatusCode 200", scheme, l.url, response, err)
				}
			}
		})
	}
}

func TestInternalTLSAlone(t *testing.T) {
	a := newAuthority(t)
	i := start(t, anonymous+`, "health": {"enabled": true},
		"http_server": {"internal_address": "127.0.0.2", `+a.section("internal_tls", "")+`}`)
	i.connected(apptest.Dialer{})
	if response, err := get(t, a.client(), "https://"+i.internal()+"/health"); err != nil || response.StatusCode != 200 {
		t.Errorf("health: %+v, %v; want StatusCode 200", response, err)
	}
}
