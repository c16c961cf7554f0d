package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"centrifugo/server/internal/secret"
)

// tokenLifetime is how long a log-in is valid (server.md 8).
const tokenLifetime = 30 * 24 * time.Hour

// insecureToken is what a log-in gets in insecure mode, in which tokens are not checked.
const insecureToken = "insecure"

// A token is a version, the Unix time in seconds at which it expires, a nonce and the MAC
// of these. No node has to remember it, and every node with the same secret and password
// accepts it.
const (
	tokenVersion = 1
	nonceSize    = 16
	tokenBody    = 1 + 8 + nonceSize
	tokenSize    = tokenBody + sha256.Size
)

var tokenEncoding = base64.RawURLEncoding.Strict()

var (
	errNotConfigured = errors.New("admin.password or admin.secret is not set")
	errPassword      = errors.New("wrong password")
	errNoToken       = errors.New("no token in the request")
	errToken         = errors.New("invalid token")
	errTokenExpired  = errors.New("expired token")
)

// sessions checks passwords and tokens. It is immutable.
type sessions struct {
	insecure bool
	set      bool // password and secret are
	password secret.Secret
	key      []byte // of the MAC
}

// newSessions returns sessions whose MAC has a key made of the password and of key, which is
// admin.secret: when either changes, the tokens issued before are invalid.
func newSessions(password, key string, insecure bool) *sessions {
	s := &sessions{insecure: insecure, set: password != "" && key != "", password: secret.New(password)}
	hash := sha256.Sum256([]byte(password))
	mac := hmac.New(sha256.New, []byte(key))
	_, _ = mac.Write([]byte("admin token")) // a hash never returns an error
	_, _ = mac.Write(hash[:])
	s.key = mac.Sum(nil)
	return s
}

// logIn returns a token for a password.
func (s *sessions) logIn(password string, now time.Time) (string, error) {
	switch {
	case s.insecure:
		return insecureToken, nil
	case !s.set:
		return "", errNotConfigured
	case !s.password.Matches(password):
		return "", errPassword
	}
	token := make([]byte, tokenBody, tokenSize)
	token[0] = tokenVersion
	binary.BigEndian.PutUint64(token[1:], uint64(now.Add(tokenLifetime).Unix())) //nolint:gosec // a time of this era
	_, _ = rand.Read(token[1+8:])                                                // it never returns an error
	return tokenEncoding.EncodeToString(s.sign(token)), nil
}

// sign appends the MAC of a token.
func (s *sessions) sign(token []byte) []byte {
	mac := hmac.New(sha256.New, s.key)
	_, _ = mac.Write(token)
	return mac.Sum(token)
}

// check returns when a token expires, the zero time in insecure mode.
func (s *sessions) check(token string, now time.Time) (expires time.Time, err error) {
	switch {
	case s.insecure:
		return time.Time{}, nil
	case !s.set:
		return time.Time{}, errNotConfigured
	case token == "":
		return time.Time{}, errNoToken
	case len(token) != tokenEncoding.EncodedLen(tokenSize):
		return time.Time{}, errToken
	}
	got, err := tokenEncoding.DecodeString(token)
	if err != nil {
		return time.Time{}, errToken
	}
	want := s.sign(got[:tokenBody:tokenBody])
	if !hmac.Equal(got, want) || got[0] != tokenVersion {
		return time.Time{}, errToken
	}
	expires = time.Unix(int64(binary.BigEndian.Uint64(got[1:])), 0) //nolint:gosec // logIn made it
	if !now.Before(expires) {
		return time.Time{}, errTokenExpired
	}
	return expires, nil
}
