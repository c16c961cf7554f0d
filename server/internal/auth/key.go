package auth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"centrifugo/server/internal/config"
)

// keys holds one key for each family of algorithms. A key is used only with algorithms
// of its family, whatever the header of a token says, so that a public RSA key is never
// used as an HMAC secret.
type keys struct {
	hmac               []byte
	hmacPrevious       []byte
	hmacPreviousExpiry int64 // Unix seconds; 0: none
	rsa                *rsa.PublicKey
	ecdsa              *ecdsa.PublicKey
	ed25519            ed25519.PublicKey
}

func newKeys(c config.TokenKeys) (keys, error) {
	k := keys{hmac: []byte(c.HMACSecretKey), hmacPrevious: []byte(c.HMACPreviousSecretKey), hmacPreviousExpiry: c.HMACPreviousSecretKeyValidUntil}
	var err error
	if k.rsa, err = publicKey[*rsa.PublicKey]("rsa_public_key", c.RSAPublicKey); err != nil {
		return keys{}, err
	}
	if k.ecdsa, err = publicKey[*ecdsa.PublicKey]("ecdsa_public_key", c.ECDSAPublicKey); err != nil {
		return keys{}, err
	}
	if k.ed25519, err = publicKey[ed25519.PublicKey]("ed25519_public_key", c.ED25519PublicKey); err != nil {
		return keys{}, err
	}
	return k, nil
}

// publicKey reads a key of type K. It returns the zero value if none is configured.
func publicKey[K any](name string, value config.PEM) (K, error) {
	var none K
	text, err := value.Bytes()
	if err != nil || text == nil {
		if err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
		return none, err
	}
	parsed, err := parsePublicKey(text)
	if err != nil {
		return none, fmt.Errorf("%s: %w", name, err)
	}
	key, ok := parsed.(K)
	if !ok {
		return none, fmt.Errorf("%s: holds a key of another kind", name)
	}
	return key, nil
}

// parsePublicKey accepts a PKIX public key or a certificate, for RSA also PKCS #1.
func parsePublicKey(text []byte) (any, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	if key, err := x509.ParsePKIXPublicKey(block.Bytes); err == nil {
		return key, nil
	}
	if key, err := x509.ParsePKCS1PublicKey(block.Bytes); err == nil {
		return key, nil
	}
	if cert, err := x509.ParseCertificate(block.Bytes); err == nil {
		return cert.PublicKey, nil
	}
	return nil, errors.New("neither a public key (PKIX) nor a certificate")
}

// errNoKey reports that no key is configured for the algorithm of a token.
var errNoKey = errors.New("algorithm is not enabled")

// verify checks a signature with the key that belongs to the method.
func (k *keys) verify(method jwt.SigningMethod, signed string, sig []byte, now time.Time) error {
	m, ok := method.(*jwt.SigningMethodHMAC)
	if !ok {
		return k.verifyPublic(method, signed, sig)
	}
	if len(k.hmac) == 0 {
		return errNoKey
	}
	err := m.Verify(signed, sig, k.hmac)
	if err != nil && len(k.hmacPrevious) > 0 && (k.hmacPreviousExpiry == 0 || now.Unix() <= k.hmacPreviousExpiry) {
		err = m.Verify(signed, sig, k.hmacPrevious)
	}
	return err //nolint:wrapcheck // verify's caller names the signature
}

// verifyPublic checks a signature of an algorithm with a public key.
func (k *keys) verifyPublic(method jwt.SigningMethod, signed string, sig []byte) error {
	switch m := method.(type) {
	case *jwt.SigningMethodRSA: // PS* is the type SigningMethodRSAPSS
		if k.rsa == nil {
			return errNoKey
		}
		return m.Verify(signed, sig, k.rsa)
	case *jwt.SigningMethodECDSA:
		if k.ecdsa == nil {
			return errNoKey
		}
		if k.ecdsa.Params().BitSize != m.CurveBits {
			return errors.New("curve of the key does not match the algorithm")
		}
		return m.Verify(signed, sig, k.ecdsa)
	case *jwt.SigningMethodEd25519:
		if k.ed25519 == nil {
			return errNoKey
		}
		return m.Verify(signed, sig, k.ed25519)
	}
	return errNoKey
}
