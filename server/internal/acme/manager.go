// Package acme obtains the certificates of TLS listeners by the ACME protocol
// (RFC 8555), and renews them.
package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
	"golang.org/x/crypto/acme/autocert"
	"golang.org/x/net/idna"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/config"
)

// refusedLinesAMinute bounds the log of TLS connections to names that are not on the list.
const refusedLinesAMinute = 5

// challengePrefix is where HTTP-01 challenges are answered (RFC 8555 section 8.3).
const challengePrefix = "/.well-known/acme-challenge/"

// Options of a Manager.
type Options struct {
	// Section is the configuration. Loading it has checked it.
	Section config.TLSAutocert
	Log     *slog.Logger
	// Interval is how often certificates are looked at.
	Interval time.Duration
	// Retry returns the time until a certificate is asked for again. refusals counts the attempts that the
	// ACME server has refused; it is 0 if the server could not be reached. Nil is for the default.
	Retry func(refusals int) time.Duration
}

// Manager has the certificates of a list of host names. Run obtains them.
type Manager struct {
	// Static after construction.
	options  Options
	hosts    map[string]*host
	order    []*host // as the configuration lists them
	fallback *host   // of clients that send no name; nil for none
	cache    autocert.Cache
	account  *acme.ExternalAccountBinding // nil for none
	http     http.RoundTripper
	refusals *logsample.Sampler
	stopped  context.Context //nolint:containedctx // ends the requests of goroutines that autocert starts
	stop     context.CancelFunc
}

// New returns a Manager. It reads certificates from the directory of the configuration, and
// creates the directory.
func New(o Options) (*Manager, error) {
	if o.Retry == nil {
		o.Retry = retry
	}
	names, err := o.Section.HostNames()
	if err != nil {
		return nil, fmt.Errorf("host_whitelist: %w", err)
	}
	m := &Manager{options: o, hosts: make(map[string]*host, len(names)), refusals: logsample.New(refusedLinesAMinute, time.Minute)}
	if m.cache, err = newCache(o.Section.CacheDir, o.Log); err != nil {
		return nil, fmt.Errorf("cache_dir: %w", err)
	}
	roots, err := roots(o.Section.ServerCAPEM)
	if err != nil {
		return nil, fmt.Errorf("server_ca_pem: %w", err)
	}
	id, key, err := o.Section.ExternalAccount()
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the keys
	}
	if id != "" {
		m.account = &acme.ExternalAccountBinding{KID: id, Key: key}
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	transport.DisableKeepAlives = true // requests are rare, and a connection would outlive Run
	m.http = transport
	m.stopped, m.stop = context.WithCancel(context.Background())
	for _, name := range names {
		h := &host{name: name, manager: m}
		h.reset()
		h.ready.Store(stored(m.cache, name))
		m.hosts[name], m.order = h, append(m.order, h)
	}
	fallback, err := o.Section.FallbackName()
	if err != nil {
		return nil, fmt.Errorf("server_name: %w", err)
	}
	m.fallback = m.hosts[fallback]
	return m, nil
}

// Check returns the errors of New, except for missing permissions. It creates nothing.
func Check(section config.TLSAutocert) error {
	if err := checkCache(section.CacheDir); err != nil {
		return fmt.Errorf("cache_dir: %w", err)
	}
	if _, err := roots(section.ServerCAPEM); err != nil {
		return fmt.Errorf("server_ca_pem: %w", err)
	}
	return nil
}

func roots(pem config.PEM) (*x509.CertPool, error) {
	if pem == "" {
		return nil, nil //nolint:nilnil // those of the system
	}
	text, err := pem.Bytes()
	if err != nil {
		return nil, err //nolint:wrapcheck // New names the key
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New("no certificate in it")
	}
	return pool, nil
}

// TLSConfig returns the configuration of a listener. Its handshakes answer TLS-ALPN-01 challenges.
// A host without a certificate has no handshakes yet: only Run orders certificates, so
// that clients cannot use up what the authority allows.
func (m *Manager) TLSConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: m.certificate,
		NextProtos: []string{"h2", "http/1.1", acme.ALPNProto},
	}
}

func (m *Manager) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	h := m.fallback
	if hello.ServerName != "" {
		h = m.find(hello.ServerName)
	}
	if h == nil {
		m.logRefused(hello)
		return nil, errors.New("no certificate for the requested host name")
	}
	challenge := len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto
	if !challenge && !h.ready.Load() {
		return nil, errors.New("the certificate has not been obtained yet")
	}
	named := *hello
	named.ServerName = h.name
	return h.current.Load().GetCertificate(&named) //nolint:wrapcheck // it is of the handshake
}

// find returns nil for a host that is not on the list.
func (m *Manager) find(name string) *host {
	if h := m.hosts[name]; h != nil {
		return h
	}
	ascii, err := idna.Lookup.ToASCII(strings.TrimSuffix(name, "."))
	if err != nil {
		return nil
	}
	return m.hosts[ascii]
}

func (m *Manager) logRefused(hello *tls.ClientHelloInfo) {
	ok, suppressed := m.refusals.Take(logsample.Key{})
	if !ok {
		return
	}
	remote := ""
	if hello.Conn != nil {
		remote = hello.Conn.RemoteAddr().String()
	}
	m.options.Log.Info("TLS connection refused: its host name is not in host_whitelist",
		"host", hello.ServerName, "remote", remote, "suppressed", suppressed)
}

// HTTPHandler answers HTTP-01 challenges and redirects other requests to HTTPS. It is nil if the
// configuration does not enable it.
func (m *Manager) HTTPHandler() http.Handler {
	if !m.options.Section.HTTP {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(name); err == nil {
			name = host
		}
		h := m.find(name)
		switch {
		case h == nil:
			http.Error(w, "unknown host", http.StatusMisdirectedRequest)
		case strings.HasPrefix(r.URL.Path, challengePrefix):
			h.current.Load().challenges.ServeHTTP(w, r)
		case !strings.HasPrefix(r.URL.Path, "/"): // an opaque URI, such as x:@host, would name another host
			http.Error(w, "bad request", http.StatusBadRequest)
		case r.Method == http.MethodGet || r.Method == http.MethodHead:
			http.Redirect(w, r, "https://"+h.name+r.URL.RequestURI(), http.StatusFound) //nolint:gosec // the host is that of the configuration
		default:
			http.Error(w, "use HTTPS", http.StatusBadRequest)
		}
	})
}

// Ends yields the host names as the configuration lists them, and when the present certificate
// of each ends, zero without one. It is safe for concurrent use.
func (m *Manager) Ends() iter.Seq2[string, time.Time] {
	return func(yield func(string, time.Time) bool) {
		for _, h := range m.order {
			if !yield(h.name, h.end()) {
				return
			}
		}
	}
}

// Run obtains the certificates that are missing, one after the other, and watches all of them,
// until ctx is done. A request that runs then is cancelled.
func (m *Manager) Run(ctx context.Context) {
	defer m.stop()
	if m.options.Section.CacheDir == "" {
		m.options.Log.Warn("http_server.tls_autocert.cache_dir is not set: each start obtains new certificates, which authorities limit")
	}
	for {
		next := m.order[0]
		for _, h := range m.order[1:] {
			if h.due.Before(next.due) {
				next = h
			}
		}
		timer := time.NewTimer(time.Until(next.due))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		checked := make(chan struct{})
		go func() {
			defer close(checked)
			next.check()
		}()
		select {
		case <-checked:
		case <-ctx.Done():
			return // check ends soon: its requests are cancelled
		}
	}
}

// modern is the hello of a client that takes ECDSA certificates. Those of RSA are obtained when
// a client without ECDSA connects.
func modern(name string) *tls.ClientHelloInfo {
	return &tls.ClientHelloInfo{
		ServerName: name, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256},
		SupportedCurves: []tls.CurveID{tls.CurveP256}, SignatureSchemes: []tls.SignatureScheme{tls.ECDSAWithP256AndSHA256},
	}
}
