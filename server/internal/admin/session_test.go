package admin

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"strings"
	"testing"
	"time"
)

var now = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)

func mustLogIn(t *testing.T, s *sessions, password string) string {
	t.Helper()
	token, err := s.logIn(password, now)
	if err != nil {
		t.Fatalf("log-in: %v, want a token", err)
	}
	return token
}

func TestToken(t *testing.T) {
	s := newSessions("password", "secret", false)
	token := mustLogIn(t, s, "password")
	expires, err := s.check(token, now)
	if want := now.Add(tokenLifetime); err != nil || !expires.Equal(want) {
		t.Errorf("check = %v, %v; want %v", expires, err, want)
	}
	if other := mustLogIn(t, s, "password"); other == token {
		t.Errorf("two log-ins got the same token %q; want two tokens", token)
	}
	flip := func(i int) string {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			t.Fatal(err)
		}
		raw[i] ^= 1
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	tests := []struct {
		name  string
		s     *sessions
		token string
		at    time.Time
		want  error
	}{
		{"just before it expires", s, token, now.Add(tokenLifetime - time.Second), nil},
		{"when it expires", s, token, now.Add(tokenLifetime), errTokenExpired},
		{"another node", newSessions("password", "secret", false), token, now, nil},
		{"another secret", newSessions("password", "other", false), token, now, errToken},
		{"another password", newSessions("other", "secret", false), token, now, errToken},
		{"secret and password moved", newSessions("passwords", "ecret", false), token, now, errToken},
		{"no secret", newSessions("password", "", false), token, now, errNotConfigured},
		{"no password", newSessions("", "secret", false), token, now, errNotConfigured},
		{"none", s, "", now, errNoToken},
		{"that of insecure mode", s, insecureToken, now, errToken},
		{"another version", s, flip(0), now, errToken},
		{"another expiry", s, flip(8), now, errToken},
		{"another nonce", s, flip(9), now, errToken},
		{"another MAC", s, flip(tokenSize - 1), now, errToken},
		{"cut off", s, token[:len(token)-1], now, errToken},
		{"with more", s, token + "A", now, errToken},
		{"no base64", s, strings.Repeat("*", len(token)), now, errToken},
		{"zero", s, strings.Repeat("A", len(token)), now, errToken},
		{"insecure mode takes any", newSessions("", "", true), "x", now, nil},
		{"insecure mode takes none", newSessions("", "", true), "", now, nil},
	}
	for _, test := range tests {
		if _, err := test.s.check(test.token, test.at); !errors.Is(err, test.want) {
			t.Errorf("%s: check = %v, want %v", test.name, err, test.want)
		}
	}
}

func TestLogIn(t *testing.T) {
	tests := []struct {
		name                    string
		password, secret, tried string
		insecure                bool
		want                    error
	}{
		{"right", "p", "s", "p", false, nil},
		{"wrong", "p", "s", "P", false, errPassword},
		{"empty", "p", "s", "", false, errPassword},
		{"longer", "p", "s", "pp", false, errPassword},
		{"no password is set", "", "s", "", false, errNotConfigured},
		{"no secret is set", "p", "", "p", false, errNotConfigured},
		{"insecure", "", "", "anything", true, nil},
	}
	for _, test := range tests {
		token, err := newSessions(test.password, test.secret, test.insecure).logIn(test.tried, now)
		if !errors.Is(err, test.want) || (token == "") != (test.want != nil) {
			t.Errorf("%s: logIn = %q, %v; want the error %v", test.name, token, err, test.want)
		}
	}
}

// FuzzCheck finds no token but that of a log-in.
func FuzzCheck(f *testing.F) {
	s := newSessions("password", "secret", false)
	// The nonce is fixed: each process that fuzzes makes the token, and their seeds are shared.
	body := make([]byte, tokenBody)
	body[0] = tokenVersion
	binary.BigEndian.PutUint64(body[1:], uint64(now.Add(time.Hour).Unix())) //nolint:gosec // a time of this era
	token := tokenEncoding.EncodeToString(s.sign(body))
	if _, err := s.check(token, now); err != nil {
		f.Fatalf("check of the token = %v; want nil", err)
	}
	for _, seed := range []string{"", "x", token[:20], strings.Repeat("A", len(token)), token + "\n", " " + token} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if _, err := s.check(text, now); err == nil && text != token {
			t.Errorf("check(%q) = nil, want an error", text)
		}
	})
}
