package revocation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Kind says what an entry refuses.
type Kind uint8

const (
	// BlockUser refuses every connection of a user.
	BlockUser Kind = iota
	// InvalidateTokens refuses the tokens of a user that were issued before a time.
	InvalidateTokens
	// RevokeToken refuses the token with an id (claim jti).
	RevokeToken
	kinds
)

// prefixes are the first parts of the keys in the engine's table.
var prefixes = [kinds]string{"block:", "invalidate:", "revoke:"}

// MaxKey bounds users and ids of tokens in entries, in bytes.
const MaxKey = 1024

// Entry refuses something until it expires.
type Entry struct {
	Kind Kind
	// Key is the user, or the id of the token.
	Key string
	// IssuedBefore is a Unix time in seconds, of InvalidateTokens.
	IssuedBefore int64
	// ExpireAt is the Unix time in seconds when the entry expires. Zero means never.
	ExpireAt int64
}

// ErrEntry reports that an entry cannot be used. Errors that wrap it say why.
var ErrEntry = errors.New("cannot be used")

func refused(why string) error { return fmt.Errorf("%s %w", why, ErrEntry) }

var (
	errNoKey        = refused("an empty user or uid")
	errLongKey      = refused(fmt.Sprintf("a user or uid longer than %d bytes", MaxKey))
	errUTF8         = refused("a user or uid that is not valid UTF-8")
	errPast         = refused("an expire_at in the past")
	errFuture       = refused("a time more than a hundred years away, which is perhaps not in seconds,")
	errIssuedBefore = refused("a negative issued_before")
)

// maxAhead bounds times, in seconds: a hundred years. A time in milliseconds exceeds it.
const maxAhead = 100 * 366 * 24 * 3600

func (e *Entry) check(now time.Time) error {
	switch {
	case e.Key == "":
		return errNoKey
	case len(e.Key) > MaxKey:
		return errLongKey
	case !utf8.ValidString(e.Key):
		return errUTF8
	case e.IssuedBefore < 0:
		return errIssuedBefore
	case e.ExpireAt < 0 || e.expired(now):
		return errPast
	case e.ExpireAt > now.Unix()+maxAhead || e.IssuedBefore > now.Unix()+maxAhead:
		return errFuture
	}
	return nil
}

func (e *Entry) expired(now time.Time) bool { return e.ExpireAt != 0 && now.Unix() >= e.ExpireAt }

// ttl returns how long the entry lives, zero for without a limit.
func (e *Entry) ttl(now time.Time) time.Duration {
	if e.ExpireAt == 0 {
		return 0
	}
	return max(time.Unix(e.ExpireAt, 0).Sub(now), time.Millisecond)
}

// merged returns an entry that refuses what either refuses.
func (e Entry) merged(with Entry) Entry {
	e.IssuedBefore = max(e.IssuedBefore, with.IssuedBefore)
	if with.ExpireAt == 0 || e.ExpireAt != 0 && with.ExpireAt > e.ExpireAt {
		e.ExpireAt = with.ExpireAt
	}
	return e
}

// value is the JSON of an entry in the engine's table.
type value struct {
	IssuedBefore int64 `json:"issued_before,omitempty"`
	ExpireAt     int64 `json:"expire_at,omitempty"`
}

func (e *Entry) tableKey() string { return prefixes[e.Kind] + e.Key }

func (e *Entry) tableValue() string {
	text, err := json.Marshal(value{IssuedBefore: e.IssuedBefore, ExpireAt: e.ExpireAt})
	if err != nil {
		panic(err) // numbers have a JSON form
	}
	return string(text)
}

// parseKey returns an entry without its value.
func parseKey(key string) (Entry, error) {
	for kind, prefix := range prefixes {
		if rest, ok := strings.CutPrefix(key, prefix); ok && rest != "" {
			return Entry{Kind: Kind(kind), Key: rest}, nil
		}
	}
	return Entry{}, fmt.Errorf("revocation %.64q is of an unknown kind", key)
}

func parseEntry(key, text string) (Entry, error) {
	e, err := parseKey(key)
	if err != nil {
		return e, err
	}
	var v value
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return e, fmt.Errorf("revocation %.64q: %w", key, err)
	}
	e.IssuedBefore, e.ExpireAt = v.IssuedBefore, v.ExpireAt
	return e, nil
}
