package auth

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// newHTTPClient returns a client for key sets. It follows no redirects: the configuration
// names the only servers that may be called. It keeps no connections, because it makes few
// requests. HTTPS_PROXY and its relatives have their usual effect.
func newHTTPClient(t *tls.Config) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: t, ForceAttemptHTTP2: true,
			DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// get returns the body of a URL. It makes two attempts.
func (k *KeySets) get(client *http.Client, location string) (body []byte, err error) {
	for range fetchAttempts {
		if body, err = k.getOnce(client, location); err == nil || k.ctx.Err() != nil {
			break
		}
	}
	return body, err
}

func (k *KeySets) getOnce(client *http.Client, location string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(k.ctx, k.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, location, nil)
	if err != nil {
		return nil, errors.New("malformed URL") // the cause quotes it
	}
	req.Header.Set("Accept", "application/json")
	res, err := client.Do(req)
	if err != nil {
		var urlErr *url.Error
		if errors.As(err, &urlErr) { // it quotes the URL, whose query may hold a secret
			err = urlErr.Err
		}
		return nil, fmt.Errorf("GET: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET: status %d instead of 200", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxKeySet+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("GET: reading the body: %w", err)
	case len(body) > maxKeySet:
		return nil, fmt.Errorf("GET: the body exceeds %d bytes", maxKeySet)
	}
	return body, nil
}

// discover returns the URL of the key set of an OpenID provider (OpenID Connect Discovery
// 1.0, section 4). The provider must name itself as the issuer, and a provider that is
// reached by https must have its keys there too.
func (k *KeySets) discover(client *http.Client, issuer string) (string, error) {
	body, err := k.get(client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", fmt.Errorf("OpenID configuration: %w", err)
	}
	return keySetOfProvider(body, issuer)
}

func keySetOfProvider(body []byte, issuer string) (string, error) {
	var provider struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(body, &provider); err != nil {
		return "", errors.New("OpenID configuration: not valid JSON")
	}
	if provider.Issuer != issuer {
		return "", fmt.Errorf("OpenID configuration: it is of issuer %.255q, not of the configured one", provider.Issuer)
	}
	u, err := url.Parse(provider.JWKSURI)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !strings.HasPrefix(issuer, "http:")) {
		return "", errors.New("OpenID configuration: jwks_uri is not a URL with https")
	}
	return provider.JWKSURI, nil
}

// printable returns a URL for the log: without credentials and query.
func printable(location string) string {
	u, err := url.Parse(location)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}
