package apihttp

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
)

// keyring checks the keys of calls (server.md 1.2).
type keyring struct {
	insecure bool
	set      bool
	// hash is compared instead of the key, so that the time of the comparison does not
	// depend on the length of the key that was sent.
	hash [sha256.Size]byte
}

func newKeyring(key string, insecure bool) *keyring {
	return &keyring{insecure: insecure, set: key != "", hash: sha256.Sum256([]byte(key))}
}

// closed reports whether all calls are refused.
func (k *keyring) closed() bool { return !k.insecure && !k.set }

func (k *keyring) matches(key string) bool {
	hash := sha256.Sum256([]byte(key))
	return subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1
}

// admits checks the key in the order of server.md 1.2: with an X-API-Key header
// the Authorization header is ignored, but the query parameter is not.
func (k *keyring) admits(r *http.Request) bool {
	if k.insecure {
		return true
	}
	if !k.set {
		return false
	}
	if key := r.Header.Get("X-Api-Key"); key != "" {
		if k.matches(key) {
			return true
		}
	} else if k.matchesAuthorization(r.Header.Get("Authorization")) {
		return true
	}
	return r.URL.RawQuery != "" && k.matches(r.URL.Query().Get("api_key"))
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
	case !k.set:
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
	return len(fields) == 2 && strings.EqualFold(fields[0], "apikey") && k.matches(fields[1])
}
