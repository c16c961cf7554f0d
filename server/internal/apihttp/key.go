package apihttp

import (
	"errors"
	"net/http"
	"strings"

	"centrifugo/server/internal/secret"
)

// keyring checks the keys of calls (server.md 1.2).
type keyring struct {
	insecure bool
	key      secret.Secret
}

func newKeyring(key string, insecure bool) *keyring {
	return &keyring{insecure: insecure, key: secret.New(key)}
}

// closed reports whether all calls are refused.
func (k *keyring) closed() bool { return !k.insecure && !k.key.IsSet() }

// admits checks the key in the order of server.md 1.2: with an X-API-Key header
// the Authorization header is ignored, but the query parameter is not.
func (k *keyring) admits(r *http.Request) bool {
	if k.insecure {
		return true
	}
	if !k.key.IsSet() {
		return false
	}
	if key := r.Header.Get("X-Api-Key"); key != "" {
		if k.key.Matches(key) {
			return true
		}
	} else if k.matchesAuthorization(r.Header.Get("Authorization")) {
		return true
	}
	return r.URL.RawQuery != "" && k.key.Matches(r.URL.Query().Get("api_key"))
}

var (
	errNoKeySet  = errors.New("http_api.key is not set")
	errNoKey     = errors.New("no key in the request")
	errBadKey    = errors.New("wrong key")
	errBadScheme = errors.New("authorization is not of the form 'apikey KEY'")
)

// whyNot returns why admits refuses r. The error does not contain the key.
func (k *keyring) whyNot(r *http.Request) error {
	header := r.Header.Get("Authorization")
	switch {
	case !k.key.IsSet():
		return errNoKeySet
	case r.Header.Get("X-Api-Key") != "" || r.URL.Query().Get("api_key") != "":
		return errBadKey
	case header == "":
		return errNoKey
	}
	if scheme, _, _ := strings.Cut(strings.TrimSpace(header), " "); !strings.EqualFold(scheme, "apikey") {
		return errBadScheme
	}
	return errBadKey
}

func (k *keyring) matchesAuthorization(header string) bool {
	fields := strings.Fields(header)
	return len(fields) == 2 && strings.EqualFold(fields[0], "apikey") && k.key.Matches(fields[1])
}
