package app

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/acmetest"
	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
)

const acmeHost = "rt.example.com"

// acmeSettings are the members of http_server that obtain certificates from s.
func acmeSettings(t *testing.T, s *acmetest.Server, more string) string {
	t.Helper()
	return fmt.Sprintf(`"tls_autocert": {"enabled": true, "host_whitelist": [%q], "server_name": %q, "directory_url": %q, "server_ca_pem": %s, "cache_dir": %q%s}`,
		acmeHost, acmeHost, s.Directory, strconv.Quote(s.CA), t.TempDir(), more)
}

// acmeClient trusts the authority of s.
func acmeClient(s *acmetest.Server) *tls.Config {
	return &tls.Config{RootCAs: s.Roots(), ServerName: acmeHost, MinVersion: tls.VersionTLS12}
}

// certified waits until the listener at an address has its certificate.
func certified(t *testing.T, s *acmetest.Server, address string) {
	t.Helper()
	var err error
	if !await.Reached(func() bool {
		var c *tls.Conn
		if c, err = tls.Dial("tcp", address, acmeClient(s)); err == nil {
			_ = c.Close()
		}
		return err == nil
	}) {
		t.Fatalf("certificate of %s: %v; want one of the ACME server", address, err)
	}
}

// TestACMEListeners: the external listener, over TCP and QUIC, and the internal one have the certificate that
// was obtained, and connections are on the event loop as those of other certificates.
func TestACMEListeners(t *testing.T) {
	s := acmetest.Start(t, 24*time.Hour)
	i := start(t, `"client": {"insecure": true}, "health": {"enabled": true}, "init": {"enabled": true}, "http_server": {
		"internal_address": "127.0.0.2", "http3": {"enabled": true}, `+acmeSettings(t, s, "")+`}`)
	s.Answer(i.external(), "")
	certified(t, s, i.external())
	certified(t, s, i.internal())
	c := i.connected(apptest.Dialer{TLS: acmeClient(s)})
	if reply := ask(t, c, `{"id":2,"publish":{"channel":"x","data":1}}`); reply != `{"id":2,"publish":{}}` {
		t.Errorf("publishing: %s; want %q", reply, `{"id":2,"publish":{}}`)
	}
	response, err := get(t, acmeClient(s), "https://"+i.internal()+"/health")
	if err != nil || response.ProtoMajor != 2 || response.StatusCode != http.StatusOK {
		t.Errorf("health on the internal listener: %+v, %v; want ProtoMajor 2 and StatusCode 200", response, err)
	}
	if response := i.ask3(http3Client(t, acmeClient(s)), http.MethodGet, "/connection/init", ""); response.StatusCode != http.StatusOK {
		t.Errorf("over HTTP/3: status %d; want 200", response.StatusCode)
	}
	if !i.logged("info", "TLS certificate in use", acmeHost) {
		t.Errorf("the log does not have the certificate: %v", i.entries())
	}
	before := s.Orders()
	i.configure(`"client": {"insecure": true}`)
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", `"http_server.tls_autocert.enabled"`)
	if i.connected(apptest.Dialer{TLS: acmeClient(s)}); s.Orders() != before {
		t.Errorf("%d orders after a reload; want %d", s.Orders(), before)
	}
}

// TestACMEOfInternalListener: tls_external and internal_tls apply as with http_server.tls.
func TestACMEOfInternalListener(t *testing.T) {
	s, inner := acmetest.Start(t, 24*time.Hour), newAuthority(t)
	for _, test := range []struct{ name, settings, scheme string }{
		{"external only", `"tls_external": true, `, "http://"},
		{"one each", inner.section("internal_tls", "") + `, `, "https://"},
	} {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, `"health": {"enabled": true}, "prometheus": {"enabled": true}, "http_server": {"internal_address": "127.0.0.2", `+test.settings+acmeSettings(t, s, "")+`}`)
			s.Answer(i.external(), "")
			certified(t, s, i.external())
			if response, err := get(t, inner.client(), test.scheme+i.internal()+"/health"); err != nil || response.StatusCode != http.StatusOK {
				t.Errorf("%s on the internal listener: %+v, %v; want StatusCode 200", test.scheme, response, err)
			}
			if test.scheme == "http://" {
				await.Until(t, "the end of the certificate in the metrics", func() bool { return i.certificateLife(acmeHost) > 0 })
			}
		})
	}
}

// TestACMEChallengeListener: with tls_autocert.http, challenges are answered on http_addr, and nothing else is
// served there.
func TestACMEChallengeListener(t *testing.T) {
	s := acmetest.Start(t, 24*time.Hour)
	i := start(t, anonymous+`, "health": {"enabled": true}, "http_server": {`+acmeSettings(t, s, `, "http": true, "http_addr": "127.0.0.1:0"`)+`}`,
		func(a *App) { a.timeouts.acmeRetry = func(int) time.Duration { return 50 * time.Millisecond } })
	challenges := i.address[len(i.address)-1]
	if challenges == i.external() {
		t.Fatalf("addresses %v; want a listener of challenges", i.address)
	}
	s.Answer("", challenges)
	certified(t, s, i.external())
	if !strings.Contains(s.Log(), "Attempting to validate w/ HTTP") {
		t.Error("the ACME server has not used HTTP-01")
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+challenges+"/health", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = acmeHost
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if got := response.Header.Get("Location"); response.StatusCode != http.StatusFound || got != "https://rt.example.com/health" {
		t.Errorf("another request: status %d, location %q; want a redirect to HTTPS", response.StatusCode, got)
	}
}
