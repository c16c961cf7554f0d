package app

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
)

// renewable is a certificate in files that tests replace.
type renewable struct{ cert, key string }

func newRenewable(t *testing.T) renewable {
	t.Helper()
	dir := t.TempDir()
	return renewable{filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")}
}

func (r renewable) settings() string {
	return anonymous + `, "health": {"enabled": true}, "http_server": {"tls": {"enabled": true, "cert_pem": ` +
		strconv.Quote(r.cert) + `, "key_pem": ` + strconv.Quote(r.key) + `}}`
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (r renewable) write(t *testing.T, a *authority) {
	t.Helper()
	cert, key := a.leaf()
	write(t, r.cert, cert)
	write(t, r.key, key)
}

// served returns the name in the certificate that a new connection gets.
func (i *instance) served(c *tls.Config) string {
	i.t.Helper()
	conn, err := apptest.Dialer{TLS: c}.Connect(i.external())
	if err != nil {
		i.t.Fatalf("dialling: %v", err)
	}
	defer func() { _ = conn.Close() }()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

func TestCertificateRenewedBySignal(t *testing.T) {
	a, r := newAuthority(t), newRenewable(t)
	r.write(t, a)
	i := start(t, r.settings())
	first := i.served(a.client())
	old := i.connected(apptest.Dialer{TLS: a.client()})
	r.write(t, a)
	i.hangUp()
	await.Until(t, "the new certificate", func() bool { return i.served(a.client()) != first })
	i.awaitLogged("info", "TLS certificate replaced", "not_after")
	if reply := ask(t, old, `{"id":2,"presence":{"channel":"x"}}`); reply == "" {
		t.Error("a command over an old connection has no reply; want one")
	}
	if response, err := get(t, a.client(), "https://"+i.external()+"/health"); err != nil || response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		t.Errorf("HTTP/2 after the renewal: %+v, %v; want ProtoMajor 2 and StatusCode %v", response, err, http.StatusOK)
	}
}

// The server checks the files periodically, without a signal.
func TestCertificateRenewedWithoutSignal(t *testing.T) {
	if defaultTimeouts.certificates > time.Minute/2 {
		t.Errorf("a renewed certificate is served after %v at worst, want less than a minute", defaultTimeouts.certificates)
	}
	a, r := newAuthority(t), newRenewable(t)
	r.write(t, a)
	i := start(t, r.settings(), func(a *App) { a.timeouts.certificates = 5 * time.Millisecond })
	first := i.served(a.client())
	r.write(t, a)
	await.Until(t, "the new certificate", func() bool { return i.served(a.client()) != first })

	// A broken certificate is not used, and the error is logged once.
	second := i.served(a.client())
	for name, spoil := range map[string]func(){
		"no certificate":    func() { write(t, r.cert, "nonsense") },
		"empty":             func() { write(t, r.cert, "") },
		"gone":              func() { _ = os.Remove(r.cert) },
		"key of another":    func() { _, key := a.leaf(); write(t, r.key, key) },
		"neither is there ": func() { _ = os.Remove(r.key) },
	} {
		spoil()
		await.Until(t, "the error: "+name, func() bool {
			return i.logged("error", "TLS certificate not replaced, the old one stays in use", "")
		})
		if got := i.served(a.client()); got != second {
			t.Errorf("%s: %s is served, want %s", name, got, second)
		}
	}
	r.write(t, a)
	await.Until(t, "a third certificate", func() bool { return i.served(a.client()) != second })
}

// The error of a renewal is logged once, not at every check.
func TestCertificateErrorOnce(t *testing.T) {
	a, r := newAuthority(t), newRenewable(t)
	r.write(t, a)
	i := start(t, r.settings())
	write(t, r.cert, "nonsense")
	i.hangUp()
	i.hangUp()
	i.hangUp()
	i.awaitLogged("error", "configuration not reloaded, the old one stays in use", "cert_pem")
	if err := i.stop(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, entry := range i.entries() {
		if entry["message"] == "TLS certificate not replaced, the old one stays in use" {
			n++
		}
	}
	if n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

// A reload applies other certificates in the configuration itself, and another authority
// of client certificates.
func TestCertificateInConfiguration(t *testing.T) {
	a, clients := newAuthority(t), newAuthority(t)
	settings := func(ca string) string { return anonymous + `, "http_server": {` + a.section("tls", ca) + `}` }
	i := start(t, settings(""))
	first := i.served(a.client())
	i.configure(settings(""))
	i.hangUp()
	await.Until(t, "the new certificate", func() bool { return i.served(a.client()) != first })
	i.awaitLogged("info", "configuration reloaded", `"taken_over":["http_server.tls.cert_pem","http_server.tls.key_pem"]`)
	i.configure(settings(string(clients.pem)))
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", `http_server.tls.client_ca_pem`)
	if _, err := (apptest.Dialer{TLS: a.client()}).Dial(i.external()); err == nil {
		t.Error("a client without a certificate was let in; want an error")
	}
}

// certificateLife returns how long the certificate of the external listener lasts, by the metric.
func (i *instance) certificateLife(host string) time.Duration {
	i.t.Helper()
	name := `centrifugo_tls_certificate_end_timestamp_seconds{host="` + host + `",listener="external"}`
	end, ok := i.metrics()[name]
	if !ok {
		i.t.Fatalf("the metrics do not have %s", name)
	}
	return time.Until(time.Unix(int64(end), 0))
}

// TestCertificateEnd: the metric follows a renewal.
func TestCertificateEnd(t *testing.T) {
	a, r := newAuthority(t), newRenewable(t)
	r.write(t, a)
	settings := strings.Replace(r.settings(), `"http_server": {`, `"prometheus": {"enabled": true}, "http_server": {"internal_address": "127.0.0.2", "tls_external": true, `, 1)
	i := start(t, settings)
	if life := i.certificateLife(""); life < time.Minute || life > time.Hour {
		t.Errorf("the certificate ends in %v by the metric; want an hour, less what the test took", life)
	}
	a.life = 48 * time.Hour
	r.write(t, a)
	i.hangUp()
	await.Until(t, "the new certificate", func() bool { return i.certificateLife("") > 47*time.Hour })
}
