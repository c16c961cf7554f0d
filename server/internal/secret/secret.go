// Package secret compares what a caller presents with a secret of the configuration.
package secret

import (
	"crypto/sha256"
	"crypto/subtle"
)

// Secret is a key or password. Its hash is compared instead of it, so that the time of the
// comparison depends neither on where a text differs nor on the length of either. The zero
// value is not set, and nothing matches it.
type Secret struct {
	set  bool
	hash [sha256.Size]byte
}

// New returns a secret; an empty text is one that is not set.
func New(text string) Secret { return Secret{set: text != "", hash: sha256.Sum256([]byte(text))} }

// IsSet reports whether there is a secret.
func (s Secret) IsSet() bool { return s.set }

// Matches reports whether text is the secret.
func (s Secret) Matches(text string) bool {
	hash := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(hash[:], s.hash[:]) == 1 && s.set
}
