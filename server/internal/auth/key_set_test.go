package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"

	"centrifugo/internal/await"
	"centrifugo/server/internal/auth/authtest"
	"centrifugo/server/internal/config"
)

// clock is a clock that a test sets forward.
type clock struct{ offset atomic.Int64 }

func (c *clock) now() time.Time { return now.Add(time.Duration(c.offset.Load())) }

func (c *clock) advance(d time.Duration) { c.offset.Add(int64(d)) }

// remote is a verifier with key sets of its own.
type remote struct {
	*Verifier
	sets  *KeySets
	clock *clock
}

func newRemote(t testing.TB, c config.Token) *remote {
	t.Helper()
	r := &remote{clock: new(clock)}
	// Requests may take as long as they want to: the machine may be loaded.
	r.sets = NewKeySets(KeySetOptions{Now: r.clock.now, Timeout: await.Limit, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	t.Cleanup(r.sets.Close)
	v, err := NewVerifier(c, Options{KeySets: r.sets, Now: r.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	r.Verifier = v
	return r
}

// connect verifies a token.
func (r *remote) connect(t *testing.T, what, text string, want error) {
	t.Helper()
	_, err := r.VerifyConnect(t.Context(), text)
	check(t, what, err, want, text)
}

// settled waits until no key set is being fetched.
func (r *remote) settled(t *testing.T) {
	t.Helper()
	await.Until(t, "the end of the fetches", func() bool {
		r.sets.mu.Lock()
		defer r.sets.mu.Unlock()
		return r.sets.flying == 0
	})
}

// Every algorithm, by discovery and by the endpoint of the set.
func TestKeySetAlgorithms(t *testing.T) {
	p := authtest.NewProvider(t)
	var keys []*authtest.Key
	for _, algorithm := range []string{"RS256", "ES256", "ES384", "ES512", "EdDSA"} {
		keys = append(keys, authtest.NewKey(t, "of "+algorithm, algorithm))
	}
	p.Publish(keys...)
	claims := `{"sub":"42","iss":"` + p.Issuer + `"}`
	for _, c := range []config.Token{{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}}, {OpenIDIssuer: p.Issuer}} {
		r := newRemote(t, c)
		for _, k := range keys {
			got, err := r.VerifyConnect(t.Context(), k.Sign(t, claims))
			if err != nil || got.User != "42" {
				t.Errorf("%s: %+v, %v; want User \"42\"", k.ID, got, err)
			}
			if got, err := r.VerifySubscribe(t.Context(), k.Sign(t, `{"iss":"`+p.Issuer+`","channel":"x"}`)); err != nil || got.Channel != "x" {
				t.Errorf("%s: subscription token: %+v, %v; want Channel \"x\"", k.ID, got, err)
			}
		}
	}
	if got := p.Requests(); got != 2 {
		t.Errorf("%d requests for two sets; want 2", got)
	}
}

// Entries that must not be used (server.md 3.3), beside one that can.
func TestKeySetEntries(t *testing.T) {
	good := authtest.NewKey(t, "good", "RS256")
	changed := func(change func(*jose.JSONWebKey)) func(*authtest.Key) {
		return func(k *authtest.Key) { change(&k.Public) }
	}
	tests := []struct {
		name, algorithm string
		change          func(*authtest.Key)
		method          string // of the token; empty: that of the key
		want, openID    error
	}{
		{"as it should be", "ES256", func(*authtest.Key) {}, "", nil, nil},
		{"use is not sig", "ES256", changed(func(k *jose.JSONWebKey) { k.Use = "enc" }), "", ErrInvalidToken, ErrInvalidToken},
		{"use is missing", "ES256", changed(func(k *jose.JSONWebKey) { k.Use = "" }), "", ErrInvalidToken, nil},
		{"alg is missing", "RS256", changed(func(k *jose.JSONWebKey) { k.Algorithm = "" }), "RS512", nil, nil},
		{"alg is another", "RS256", func(*authtest.Key) {}, "RS512", ErrInvalidToken, ErrInvalidToken},
		{"alg is of encryption", "RS256", changed(func(k *jose.JSONWebKey) { k.Algorithm = "RSA-OAEP" }), "", ErrInvalidToken, ErrInvalidToken},
		{"PS256", "RS256", changed(func(k *jose.JSONWebKey) { k.Algorithm = "" }), "PS256", ErrInvalidToken, ErrInvalidToken},
		{"private key", "ES256", func(k *authtest.Key) { k.Public = k.Private() }, "", ErrInvalidToken, ErrInvalidToken},
		{"kid is too long", "ES256", func(k *authtest.Key) {
			k.ID = strings.Repeat("k", maxKeyID+1)
			k.Public.KeyID = k.ID
		}, "", ErrInvalidToken, ErrInvalidToken},
		{"symmetric key", "ES256", changed(func(k *jose.JSONWebKey) { k.Key = []byte(secret) }), "", ErrInvalidToken, ErrInvalidToken},
		{"key of another with the same kid", "ES256", changed(func(k *jose.JSONWebKey) { k.Key = good.Public.Key }), "", ErrInvalidToken, ErrInvalidToken},
	}
	for _, tt := range tests {
		p := authtest.NewProvider(t)
		k := authtest.NewKey(t, "kid", tt.algorithm)
		tt.change(k)
		p.Publish(k, good)
		method := k.Method
		if tt.method != "" {
			method = jwt.GetSigningMethod(tt.method)
		}
		claims := `{"iss":"` + p.Issuer + `"}`
		text := k.SignAs(t, method, k.ID, claims)
		r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
		r.connect(t, tt.name, text, tt.want)
		r.connect(t, tt.name+", the other key", good.Sign(t, claims), nil)
		r = newRemote(t, config.Token{OpenIDIssuer: p.Issuer})
		r.connect(t, tt.name+", by discovery", text, tt.openID)
	}
}

// Two keys with one kid (RFC 7517, 4.5), and an HMAC made with a public key.
func TestKeySetConfusion(t *testing.T) {
	p := authtest.NewProvider(t)
	r1, e1 := authtest.NewKey(t, "same", "RS256"), authtest.NewKey(t, "same", "ES256")
	p.Publish(r1, e1)
	r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL(), HMACSecretKey: secret}})
	r.connect(t, "RSA", r1.Sign(t, `{}`), nil)
	r.connect(t, "ECDSA", e1.Sign(t, `{}`), nil)
	r.connect(t, "no kid", r1.SignAs(t, r1.Method, "", `{}`), ErrInvalidToken)
	r.connect(t, "kid is a number", tokenWithHeader(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"RS256","kid":1}`, `{}`), ErrInvalidToken)
	r.connect(t, "HMAC", tokenWithHeader(t, jwt.SigningMethodHS256, []byte(secret), `{"alg":"HS256","kid":"same"}`, `{}`), ErrInvalidToken)
	if got := p.Requests(); got != 1 {
		t.Errorf("%d requests; want 1", got)
	}
}

// A provider publishes its next key before it uses it, and removes the former key after a
// while, first RSA and then ECDSA.
func TestKeyRotation(t *testing.T) {
	for _, openID := range []bool{false, true} {
		p := authtest.NewProvider(t)
		c := config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}}
		if openID {
			c = config.Token{OpenIDIssuer: p.Issuer}
		}
		claims := `{"sub":"42","iss":"` + p.Issuer + `"}`
		r := newRemote(t, c)
		former := authtest.NewKey(t, "0", "RS256")
		p.Publish(former)
		r.connect(t, "first key", former.Sign(t, claims), nil)
		for i, algorithm := range []string{"RS256", "ES256", "EdDSA", "ES384"} {
			next := authtest.NewKey(t, string(rune('1'+i)), algorithm)
			p.Publish(former, next)
			r.clock.advance(refetchInterval)
			r.connect(t, "former key beside the next", former.Sign(t, claims), nil)
			r.connect(t, "next key", next.Sign(t, claims), nil)
			r.connect(t, "former key after the next", former.Sign(t, claims), nil)
			p.Publish(next)
			r.clock.advance(maxKeySetAge)
			r.connect(t, "next key starts a fetch", next.Sign(t, claims), nil)
			r.settled(t)
			r.connect(t, "removed key", former.Sign(t, claims), ErrKeysUnavailable) // fetched just now
			r.clock.advance(refetchInterval)
			r.connect(t, "removed key", former.Sign(t, claims), ErrInvalidToken)
			former = next
		}
	}
}

// Tokens with invented key ids cause one request in an interval, and do not make a token
// with a new key invalid.
func TestUnknownKeyID(t *testing.T) {
	p := authtest.NewProvider(t)
	known, next := authtest.NewKey(t, "known", "ES256"), authtest.NewKey(t, "next", "ES256")
	p.Publish(known)
	r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
	r.connect(t, "known key", known.Sign(t, `{}`), nil)
	r.clock.advance(refetchInterval)
	invented := known.SignAs(t, known.Method, "invented", `{}`)
	for range 100 {
		r.connect(t, "invented kid", invented, ErrInvalidToken)
	}
	for i := range 100 {
		r.connect(t, "other invented kids", known.SignAs(t, known.Method, "invented"+string(rune('a'+i)), `{}`), ErrKeysUnavailable)
	}
	if got := p.Requests(); got != 2 {
		t.Errorf("%d requests; want 2: the first, and one for the unknown key ids", got)
	}
	p.Publish(known, next)
	r.connect(t, "new key, too early to ask", next.Sign(t, `{}`), ErrKeysUnavailable)
	r.connect(t, "known key meanwhile", known.Sign(t, `{}`), nil)
	r.clock.advance(refetchInterval)
	r.connect(t, "new key", next.Sign(t, `{}`), nil)
	if got := p.Requests(); got != 3 {
		t.Errorf("%d requests; want 3", got)
	}
}

// While the endpoint is down, known keys are valid, and whether others are is not known.
func TestEndpointDown(t *testing.T) {
	p := authtest.NewProvider(t)
	known, next := authtest.NewKey(t, "known", "RS256"), authtest.NewKey(t, "next", "ES256")
	p.Publish(known)
	r := newRemote(t, config.Token{OpenIDIssuer: p.Issuer})
	claims := `{"iss":"` + p.Issuer + `"}`
	p.Down()
	r.connect(t, "down from the start", known.Sign(t, claims), ErrKeysUnavailable)
	r.connect(t, "down, and not asked again", known.Sign(t, claims), ErrKeysUnavailable)
	p.Answer(nil)
	r.connect(t, "up, and not asked again", known.Sign(t, claims), ErrKeysUnavailable)
	r.clock.advance(refetchInterval)
	r.connect(t, "up", known.Sign(t, claims), nil)
	p.Down()
	p.Publish(next)
	for range 5 {
		r.clock.advance(maxKeySetAge)
		r.connect(t, "known key", known.Sign(t, claims), nil)
		r.settled(t)
		r.connect(t, "known key after a failure", known.Sign(t, claims), nil)
		r.connect(t, "new key", next.Sign(t, claims), ErrKeysUnavailable)
	}
	stats := r.sets.Stats()
	if stats.Fetched != 1 || stats.Failed != 6 {
		t.Errorf("counters %+v; want 1 fetched and 6 failed", stats)
	}
	p.Answer(nil)
	r.clock.advance(refetchInterval)
	r.connect(t, "new key when the endpoint is up", next.Sign(t, claims), nil)
	r.connect(t, "removed key", known.Sign(t, claims), ErrKeysUnavailable)
}

// Answers that are not a key set, each in two attempts.
func TestBadAnswers(t *testing.T) {
	k := authtest.NewKey(t, "k", "ES256")
	tests := []struct {
		name   string
		answer http.HandlerFunc
	}{
		{"status 404", http.NotFound},
		{"status 204", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }},
		{"not JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }},
		{"empty", func(http.ResponseWriter, *http.Request) {}},
		{"no keys", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"keys":[]}`) }},
		{"too many keys", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[{}`+strings.Repeat(`,{}`, maxSetKeys)+`]}`)
		}},
		{"too long", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":[],"x":"`+strings.Repeat("x", maxKeySet)+`"}`)
		}},
		{"hangs up", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
	}
	for _, tt := range tests {
		p := authtest.NewProvider(t)
		p.Answer(tt.answer)
		r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
		r.connect(t, tt.name, k.Sign(t, `{}`), ErrKeysUnavailable)
		if got := p.Requests(); got < 1 || got > fetchAttempts {
			t.Errorf("%s: %d requests; want at least 1 and at most %v", tt.name, got, fetchAttempts)
		}
	}
}

// A redirect is not followed, whether it leads to the keys or not.
func TestRedirect(t *testing.T) {
	other, p := authtest.NewProvider(t), authtest.NewProvider(t)
	k := authtest.NewKey(t, "k", "ES256")
	other.Publish(k)
	p.Answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.KeysURL(), http.StatusFound) })
	r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
	r.connect(t, "redirect", k.Sign(t, `{}`), ErrKeysUnavailable)
	if got := other.Requests(); got != 0 {
		t.Errorf("%d requests to where the redirect leads; want 0", got)
	}
}

// The second attempt succeeds.
func TestSecondAttempt(t *testing.T) {
	p := authtest.NewProvider(t)
	k := authtest.NewKey(t, "k", "ES256")
	p.Publish(k)
	p.Answer(func(w http.ResponseWriter, _ *http.Request) {
		p.Answer(nil)
		w.WriteHeader(http.StatusBadGateway)
	})
	r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
	r.connect(t, "second attempt", k.Sign(t, `{}`), nil)
	if got := p.Requests(); got != fetchAttempts {
		t.Errorf("%d requests; want %d", got, fetchAttempts)
	}
}

// Tokens that need a set at the same time share a fetch. One that no longer waits does not
// end it, and Close does.
func TestSharedFetch(t *testing.T) {
	p := authtest.NewProvider(t)
	k := authtest.NewKey(t, "k", "ES256")
	p.Publish(k)
	release := make(chan struct{})
	p.Answer(func(w http.ResponseWriter, r *http.Request) {
		<-release
		p.Answer(nil)
		p.ServeHTTP(w, r)
	})
	r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
	text := k.Sign(t, `{}`)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.VerifyConnect(gone, text); !errors.Is(err, ErrKeysUnavailable) {
		t.Errorf("a client that has gone: %v; want ErrKeysUnavailable", err)
	}
	var waiting sync.WaitGroup
	for range 50 {
		waiting.Go(func() {
			if _, err := r.VerifyConnect(t.Context(), text); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	waiting.Wait()
	if got := p.Requests(); got != 2 { // the handler above counts its request twice
		t.Errorf("%d requests; want one", got)
	}
}

func TestCloseEndsFetches(t *testing.T) {
	p := authtest.NewProvider(t)
	asked, ended := make(chan struct{}, fetchAttempts), make(chan struct{})
	p.Answer(func(_ http.ResponseWriter, r *http.Request) {
		asked <- struct{}{}
		<-r.Context().Done()
		close(ended)
	})
	r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
	text := authtest.NewKey(t, "k", "ES256").Sign(t, `{}`)
	failed := make(chan error, 1)
	go func() {
		_, err := r.VerifyConnect(context.Background(), text)
		failed <- err
	}()
	await.Receive(t, asked, "a request")
	r.sets.Close()
	if err := await.Receive(t, failed, "the result"); !errors.Is(err, ErrKeysUnavailable) {
		t.Errorf("%v; want ErrKeysUnavailable", err)
	}
	<-ended
	r.clock.advance(refetchInterval)
	r.connect(t, "after Close", text, ErrKeysUnavailable)
}

// A reload makes another verifier with the same key sets.
func TestKeySetsOutliveVerifiers(t *testing.T) {
	p := authtest.NewProvider(t)
	k := authtest.NewKey(t, "k", "ES256")
	p.Publish(k)
	r := newRemote(t, config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}})
	r.connect(t, "before", k.Sign(t, `{}`), nil)
	p.Down()
	v, err := NewVerifier(config.Token{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p.KeysURL()}, Audience: "a"}, Options{KeySets: r.sets, Now: r.clock.now})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.VerifyConnect(t.Context(), k.Sign(t, `{"aud":"a"}`)); err != nil {
		t.Errorf("after: %v; want no error: the key is known", err)
	}
}

// certificate returns a self-signed certificate of a client with its key.
func certificate(t *testing.T) (cert *x509.Certificate, certPEM, keyPEM config.PEM) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	if cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	privateDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(kind string, der []byte) config.PEM {
		return config.PEM(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return cert, encode("CERTIFICATE", der), encode("PRIVATE KEY", privateDER)
}

// Without and with certificates of clients, in each place of the configuration.
func TestKeySetTLS(t *testing.T) {
	open := authtest.NewTLSProvider(t)
	clientCert, certPEM, keyPEM := certificate(t)
	strict := authtest.NewTLSProviderFor(t, clientCert)
	ca := config.PEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: open.Server.Certificate().Raw})) // of all test servers
	k := authtest.NewKey(t, "k", "ES256")
	tests := []struct {
		name string
		p    *authtest.Provider
		tls  config.TLS
		want error
	}{
		{"authorities of the system", open, config.TLS{}, ErrKeysUnavailable},
		{"its authority", open, config.TLS{Enabled: true, ServerCAPEM: ca}, nil},
		{"its authority, not enabled", open, config.TLS{ServerCAPEM: ca}, ErrKeysUnavailable},
		{"its authority, another name", open, config.TLS{Enabled: true, ServerCAPEM: ca, ServerName: "other.test"}, ErrKeysUnavailable},
		{"its authority, a name it has", open, config.TLS{Enabled: true, ServerCAPEM: ca, ServerName: "example.com"}, nil},
		{"not verified", open, config.TLS{Enabled: true, InsecureSkipVerify: true}, nil},
		{"no certificate of the client", strict, config.TLS{Enabled: true, ServerCAPEM: ca}, ErrKeysUnavailable},
		{"certificate of the client", strict, config.TLS{Enabled: true, ServerCAPEM: ca, CertPEM: certPEM, KeyPEM: keyPEM}, nil},
	}
	for _, tt := range tests {
		tt.p.Publish(k)
		for _, c := range []config.Token{
			{TokenKeys: config.TokenKeys{JWKSPublicEndpoint: tt.p.KeysURL(), JWKSTLS: tt.tls}},
			{OpenIDIssuer: tt.p.Issuer, TokenKeys: config.TokenKeys{JWKSTLS: tt.tls}},
			{Issuers: []config.TokenIssuer{{Issuer: tt.p.Issuer, OpenID: true, TokenKeys: config.TokenKeys{JWKSTLS: tt.tls}}}},
		} {
			newRemote(t, c).connect(t, tt.name, k.Sign(t, `{"iss":"`+tt.p.Issuer+`"}`), tt.want)
		}
	}
	if _, err := NewVerifier(config.Token{OpenIDIssuer: open.Issuer, TokenKeys: config.TokenKeys{JWKSTLS: config.TLS{Enabled: true, ServerCAPEM: "x"}}}, Options{}); err == nil ||
		!strings.HasPrefix(err.Error(), "jwks_tls.server_ca_pem: ") {
		t.Errorf("no certificate: %v; want an error of jwks_tls.server_ca_pem", err)
	}
}

func TestDiscovery(t *testing.T) {
	const issuer = "https://id.test/realm"
	tests := []struct{ issuer, body, want string }{
		{issuer, `{"issuer":"https://id.test/realm","jwks_uri":"https://keys.test/k"}`, "https://keys.test/k"},
		{issuer, `{"issuer":"https://id.test/realm/","jwks_uri":"https://keys.test/k"}`, ""},
		{issuer, `{"issuer":"https://evil.test","jwks_uri":"https://keys.test/k"}`, ""},
		{issuer, `{"jwks_uri":"https://keys.test/k"}`, ""},
		{issuer, `{"issuer":"https://id.test/realm","jwks_uri":"http://keys.test/k"}`, ""},
		{issuer, `{"issuer":"https://id.test/realm","jwks_uri":"file:///etc/passwd"}`, ""},
		{issuer, `{"issuer":"https://id.test/realm","jwks_uri":""}`, ""},
		{issuer, `{"issuer":"https://id.test/realm"}`, ""},
		{issuer, `[]`, ""},
		{issuer, ``, ""},
		{"http://id.test", `{"issuer":"http://id.test","jwks_uri":"http://id.test/k"}`, "http://id.test/k"},
		{"http://id.test", `{"issuer":"http://id.test","jwks_uri":"ftp://id.test/k"}`, ""},
	}
	for _, tt := range tests {
		got, err := keySetOfProvider([]byte(tt.body), tt.issuer)
		if got != tt.want || (err == nil) != (tt.want != "") {
			t.Errorf("%s: %q, %v; want %q", tt.body, got, err, tt.want)
		}
	}
}

// A token of another issuer is invalid although the key is that of the provider.
func TestDiscoveryChecksIssuer(t *testing.T) {
	p := authtest.NewProvider(t)
	k := authtest.NewKey(t, "k", "RS256")
	p.Publish(k)
	r := newRemote(t, config.Token{OpenIDIssuer: p.Issuer, Audience: "app"})
	r.connect(t, "issuer and audience", k.Sign(t, `{"iss":"`+p.Issuer+`","aud":["x","app"]}`), nil)
	r.connect(t, "no issuer", k.Sign(t, `{"aud":"app"}`), ErrInvalidToken)
	r.connect(t, "other issuer", k.Sign(t, `{"iss":"`+p.Issuer+`/","aud":"app"}`), ErrInvalidToken)
	r.connect(t, "other audience", k.Sign(t, `{"iss":"`+p.Issuer+`","aud":"x"}`), ErrInvalidToken)
	slash := authtest.NewProvider(t)
	slash.Issuer += "/"
	slash.Publish(k)
	r = newRemote(t, config.Token{OpenIDIssuer: slash.Issuer})
	r.connect(t, "issuer with a slash", k.Sign(t, `{"iss":"`+slash.Issuer+`"}`), nil)
	r.connect(t, "issuer without its slash", k.Sign(t, `{"iss":"`+strings.TrimSuffix(slash.Issuer, "/")+`"}`), ErrInvalidToken)
}

// Several issuers, each with its kind of key, beside the keys of the section.
func TestIssuers(t *testing.T) {
	p1, p2 := authtest.NewProvider(t), authtest.NewProvider(t)
	k1, k2 := authtest.NewKey(t, "k", "RS256"), authtest.NewKey(t, "k", "ES256")
	p1.Publish(k1)
	p2.Publish(k2)
	pair := newPairs(t)
	r := newRemote(t, config.Token{
		TokenKeys: config.TokenKeys{HMACSecretKey: secret}, Audience: "app", Issuer: "own",
		Issuers: []config.TokenIssuer{
			{Issuer: p1.Issuer, OpenID: true},
			{Issuer: "set", TokenKeys: config.TokenKeys{JWKSPublicEndpoint: p2.KeysURL()}, Audience: "other", UserIDClaim: "uid"},
			{Issuer: "hmac", TokenKeys: config.TokenKeys{HMACSecretKey: "another secret", HMACPreviousSecretKey: "former secret"}},
			{Issuer: "over", TokenKeys: config.TokenKeys{HMACSecretKey: "another secret", HMACPreviousSecretKey: "former secret", HMACPreviousSecretKeyValidUntil: 1}},
			{Issuer: "rsa", TokenKeys: config.TokenKeys{RSAPublicKey: pair.rsa.public}},
			{Issuer: "ecdsa", TokenKeys: config.TokenKeys{ECDSAPublicKey: pair.p256.public}},
			{Issuer: "ed25519", TokenKeys: config.TokenKeys{ED25519PublicKey: pair.ed.public}},
		},
	})
	hmac := func(key, claims string) string { return token(t, jwt.SigningMethodHS256, []byte(key), claims) }
	tests := []struct {
		name, text, user string
		want             error
	}{
		{"openid", k1.Sign(t, `{"sub":"1","iss":"`+p1.Issuer+`","aud":"app"}`), "1", nil},
		{"openid, key of another", k2.Sign(t, `{"sub":"1","iss":"`+p1.Issuer+`","aud":"app"}`), "", ErrInvalidToken},
		{"openid, audience of the section", k1.Sign(t, `{"sub":"1","iss":"`+p1.Issuer+`","aud":"other"}`), "", ErrInvalidToken},
		{"set", k2.Sign(t, `{"sub":"1","uid":2,"iss":"set","aud":"other"}`), "2", nil},
		{"set, key of another", k1.Sign(t, `{"sub":"1","uid":2,"iss":"set","aud":"other"}`), "", ErrInvalidToken},
		{"set, its own audience", k2.Sign(t, `{"sub":"1","uid":2,"iss":"set","aud":"app"}`), "", ErrInvalidToken},
		{"set, its own claim", k2.Sign(t, `{"sub":"1","iss":"set","aud":"other"}`), "", ErrInvalidToken},
		{"hmac", hmac("another secret", `{"sub":"3","iss":"hmac","aud":"app"}`), "3", nil},
		{"hmac, secret of the section", hmac(secret, `{"sub":"3","iss":"hmac","aud":"app"}`), "", ErrInvalidToken},
		{"hmac, former secret", hmac("former secret", `{"sub":"3","iss":"hmac","aud":"app"}`), "3", nil},
		{"hmac, former secret after its end", hmac("former secret", `{"sub":"3","iss":"over","aud":"app"}`), "", ErrInvalidToken},
		{"hmac, former secret of another issuer", hmac("former secret", `{"sub":"3","iss":"own","aud":"app"}`), "", ErrInvalidToken},
		{"rsa", token(t, jwt.SigningMethodRS256, pair.rsa.private, `{"sub":"4","iss":"rsa","aud":"app"}`), "4", nil},
		{"ecdsa", token(t, jwt.SigningMethodES256, pair.p256.private, `{"sub":"5","iss":"ecdsa","aud":"app"}`), "5", nil},
		{"ed25519", token(t, jwt.SigningMethodEdDSA, pair.ed.private, `{"sub":"6","iss":"ed25519","aud":"app"}`), "6", nil},
		{"section", hmac(secret, `{"sub":"7","iss":"own","aud":"app"}`), "7", nil},
		{"unknown issuer", hmac(secret, `{"sub":"7","iss":"unknown","aud":"app"}`), "", ErrInvalidToken},
		{"no issuer", hmac(secret, `{"sub":"7","aud":"app"}`), "", ErrInvalidToken},
	}
	for _, tt := range tests {
		got, err := r.VerifyConnect(t.Context(), tt.text)
		check(t, tt.name, err, tt.want, tt.text)
		if got.User != tt.user {
			t.Errorf("%s: user %q; want %q", tt.name, got.User, tt.user)
		}
	}
	_, err := NewVerifier(config.Token{Issuers: []config.TokenIssuer{{Issuer: "a", TokenKeys: config.TokenKeys{RSAPublicKey: pair.ed.public}}}}, Options{})
	if err == nil || !strings.HasPrefix(err.Error(), "issuers[0].rsa_public_key: ") {
		t.Errorf("key of another kind: %v; want an error of issuers[0].rsa_public_key", err)
	}
}

// Without the safety check, the number of sets is bounded, and so are the fetches.
func TestKeySetsAreBounded(t *testing.T) {
	sets := NewKeySets(KeySetOptions{Now: func() time.Time { return now }})
	defer sets.Close()
	for i := range maxKeySets + 10 {
		sets.set(keySetID{url: string(rune(i + 1))})
	}
	if got := len(sets.sets); got != maxKeySets {
		t.Errorf("%d sets; want %d", got, maxKeySets)
	}
	for range maxFetches {
		if err := sets.begin(); err != nil {
			t.Fatal(err)
		}
		defer sets.end()
	}
	if sets.begin() == nil {
		t.Errorf("fetch %d was begun; want an error", maxFetches+1)
	}
}

func FuzzParseKeySet(f *testing.F) {
	for _, algorithm := range []string{"RS256", "ES256", "EdDSA"} {
		set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{authtest.NewKey(f, "k", algorithm).Public}})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(set)
	}
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AQ","use":"sig","kid":"k"},{"kty":"RSA","n":"AQ","e":"AQAB","x5c":["x"]},null,1]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		keys, _, err := parseKeySet(body, true)
		if (err == nil) != (len(keys) > 0) {
			t.Errorf("%d keys, %v; want keys or an error", len(keys), err)
		}
		for kid, candidates := range keys {
			for i := range candidates {
				k := &candidates[i]
				if kid == "" || k.rsa == nil && k.ecdsa == nil && k.ed25519 == nil || k.hmac != nil {
					t.Errorf("kid %q has %+v; want a name and a public key", kid, k)
				}
				_ = verifyBySet(candidates, jwt.SigningMethodRS256, "x.y", []byte("z"))
				_ = verifyBySet(candidates, jwt.SigningMethodES256, "x.y", make([]byte, 64))
			}
		}
	})
}

func FuzzDiscovery(f *testing.F) {
	f.Add([]byte(`{"issuer":"https://id.test","jwks_uri":"https://keys.test/k"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		if got, err := keySetOfProvider(body, "https://id.test"); err == nil && !strings.HasPrefix(strings.ToLower(got), "https:") {
			t.Errorf("%s leads to %q; want https", body, got)
		}
	})
}
