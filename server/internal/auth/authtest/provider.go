// Package authtest has an OpenID Connect provider for tests, with keys that can be rotated.
package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// ConfigurationPath is the path of the provider's OpenID configuration, and KeysPath that
// of its key set.
const (
	ConfigurationPath = "/.well-known/openid-configuration"
	KeysPath          = "/keys"
)

// Provider is an OpenID Connect provider. It is safe for concurrent use.
type Provider struct {
	// Issuer is the URL of the provider.
	Issuer string
	// Server serves it.
	Server *httptest.Server

	requests atomic.Int64 // for the key set

	// Guarded by mu
	mu     sync.Mutex
	keys   []*Key
	answer http.HandlerFunc // nil: that of a provider
}

// Key is a key of a provider. Its exported fields may be changed before Publish.
type Key struct {
	ID     string
	Method jwt.SigningMethod
	// Public is the entry of the key set.
	Public jose.JSONWebKey

	private crypto.Signer
}

// NewProvider starts a provider on a loopback address, which ends with the test. It has no
// keys.
func NewProvider(t testing.TB) *Provider {
	t.Helper()
	p := newProvider(t)
	p.Server.Start()
	p.Issuer = p.Server.URL
	return p
}

// NewTLSProvider starts a provider that speaks TLS with the certificate of its Server.
func NewTLSProvider(t testing.TB) *Provider {
	t.Helper()
	p := newProvider(t)
	p.Server.StartTLS()
	p.Issuer = p.Server.URL
	return p
}

// NewTLSProviderFor is NewTLSProvider for clients with a certificate of an authority.
func NewTLSProviderFor(t testing.TB, authority *x509.Certificate) *Provider {
	t.Helper()
	p := newProvider(t)
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	p.Server.TLS = &tls.Config{ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: pool, MinVersion: tls.VersionTLS12}
	p.Server.StartTLS()
	p.Issuer = p.Server.URL
	return p
}

func newProvider(t testing.TB) *Provider {
	p := new(Provider)
	p.Server = httptest.NewUnstartedServer(p)
	p.Server.Config.ErrorLog = log.New(io.Discard, "", 0) // tests refuse its certificate
	t.Cleanup(p.Server.Close)
	return p
}

// KeysURL returns the URL of the key set.
func (p *Provider) KeysURL() string { return p.Issuer + KeysPath }

// Requests returns how often the key set was requested.
func (p *Provider) Requests() int { return int(p.requests.Load()) }

// Answer replaces the answers of the provider; nil makes it a provider again.
func (p *Provider) Answer(h http.HandlerFunc) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer = h
}

// Down makes every answer an error.
func (p *Provider) Down() {
	p.Answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
}

// Publish replaces the keys of the key set.
func (p *Provider) Publish(keys ...*Key) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = keys
}

// ServeHTTP implements http.Handler.
func (p *Provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != ConfigurationPath {
		p.requests.Add(1)
	}
	p.mu.Lock()
	answer := p.answer
	set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	for _, k := range p.keys {
		set.Keys = append(set.Keys, k.Public)
	}
	p.mu.Unlock()
	switch {
	case answer != nil:
		answer(w, r)
	case r.URL.Path == ConfigurationPath:
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": p.Issuer, "jwks_uri": p.KeysURL()})
	default:
		_ = json.NewEncoder(w).Encode(set)
	}
}

// NewKey makes a key for RS256, RS384, RS512, ES256, ES384, ES512 or EdDSA.
func NewKey(t testing.TB, id, algorithm string) *Key {
	t.Helper()
	var private crypto.Signer
	var err error
	switch algorithm {
	case "ES256":
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ES384":
		private, err = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "ES512":
		private, err = ecdsa.GenerateKey(elliptic.P521(), rand.Reader)
	case "EdDSA":
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		private, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &Key{
		ID: id, Method: jwt.GetSigningMethod(algorithm), private: private,
		Public: jose.JSONWebKey{Key: private.Public(), KeyID: id, Algorithm: algorithm, Use: "sig"},
	}
}

// Private returns the entry of a key set that publishes the private key by mistake.
func (k *Key) Private() jose.JSONWebKey {
	public := k.Public
	public.Key = k.private
	return public
}

// Sign returns a token with the key's algorithm and kid. Claims are JSON.
func (k *Key) Sign(t testing.TB, claims string) string {
	t.Helper()
	return k.SignAs(t, k.Method, k.ID, claims)
}

// SignAs returns a token with any algorithm of the key's type and any kid; empty: none.
func (k *Key) SignAs(t testing.TB, method jwt.SigningMethod, kid, claims string) string {
	t.Helper()
	fields := map[string]any{"alg": method.Alg(), "typ": "JWT"}
	if kid != "" {
		fields["kid"] = kid
	}
	header, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	text := encode(header) + "." + encode([]byte(claims))
	signature, err := method.Sign(text, k.private)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}
