package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/go-jose/go-jose/v4"
	"github.com/golang-jwt/jwt/v5"
)

// Bounds of a key set. A set beyond them is an error.
const (
	maxKeySet  = 1 << 20 // bytes
	maxSetKeys = 1000
	maxKeyID   = 512 // bytes; a longer kid is in no set
)

// setKey is a key of a key set. Exactly one of its keys is set.
type setKey struct {
	keys
	alg string // the only algorithm that the key may be used with; empty: those of its family
}

// setKeys holds the keys of a set by their kid. A set may hold several keys with the
// same kid (RFC 7517, 4.5).
type setKeys map[string][]setKey

// parseKeySet reads a JSON Web Key Set (RFC 7517). An entry that cannot verify tokens
// is left out, and the reason is in left; the others are used (server.md 3.3). If
// useOptional is set, an entry may lack parameter use. A set without a key that can be
// used is an error: it is more likely a mistake of the endpoint than meant.
func parseKeySet(body []byte, useOptional bool) (found setKeys, left []string, err error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, nil, errors.New("key set is not valid JSON") // the cause may quote it
	}
	if len(set.Keys) > maxSetKeys {
		return nil, nil, fmt.Errorf("key set holds %d keys, more than %d", len(set.Keys), maxSetKeys)
	}
	found = make(setKeys, len(set.Keys))
	for i, raw := range set.Keys {
		kid, key, err := parseSetKey(raw, useOptional)
		if err != nil {
			left = append(left, fmt.Sprintf("key %d, kid %.64q: %v", i, kid, err))
			continue
		}
		found[kid] = append(found[kid], key)
	}
	if len(found) == 0 {
		return nil, left, errors.New("key set holds no key that can verify tokens")
	}
	return found, left, nil
}

var (
	errPrivateKey = errors.New("it is not a public key")
	errKeyType    = errors.New("type or parameters of the key are not supported")
)

func parseSetKey(raw json.RawMessage, useOptional bool) (kid string, key setKey, err error) {
	var jwk jose.JSONWebKey
	if err := json.Unmarshal(raw, &jwk); err != nil {
		return "", setKey{}, errKeyType
	}
	kid = jwk.KeyID
	switch {
	case kid == "":
		return kid, key, errors.New("it has no kid")
	case len(kid) > maxKeyID:
		return kid, key, errors.New("its kid is too long")
	case jwk.Use != "sig" && (jwk.Use != "" || !useOptional):
		return kid, key, errors.New(`its use is not "sig"`)
	}
	key.alg = jwk.Algorithm
	switch k := jwk.Key.(type) {
	case *rsa.PublicKey:
		key.rsa = k
	case *ecdsa.PublicKey:
		key.ecdsa = k
	case ed25519.PublicKey:
		key.ed25519 = k
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey, []byte: // whoever reads the set could sign
		return kid, key, errPrivateKey
	default:
		return kid, key, errKeyType
	}
	return kid, key, nil
}

// verifyBySet checks a signature with the keys of one kid.
func verifyBySet(candidates []setKey, method jwt.SigningMethod, signed string, sig []byte) error {
	err := errors.New("the key with this kid is for another algorithm")
	for i := range candidates {
		k := &candidates[i]
		if k.alg != "" && k.alg != method.Alg() {
			continue
		}
		keyErr := k.verifyPublic(method, signed, sig)
		if keyErr == nil {
			return nil
		}
		if !errors.Is(keyErr, errNoKey) {
			err = keyErr
		}
	}
	return err
}
