package redisengine

import (
	"crypto/rand"
	"encoding/hex"
)

// epochLetters is the length of an epoch (server.md 10.3).
const epochLetters = 8

// newEpoch returns random letters. An epoch only has to differ from those before, but a
// client must not guess it.
func newEpoch() string {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	var random [epochLetters]byte
	rand.Read(random[:]) //nolint:errcheck // it never fails: crypto/rand crashes the program instead
	for i, b := range random {
		random[i] = letters[int(b)%len(letters)]
	}
	return string(random[:])
}

// newID returns the random name of a node's probes.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) //nolint:errcheck // it never fails: crypto/rand crashes the program instead
	return hex.EncodeToString(b[:])
}
