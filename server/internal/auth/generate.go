package auth

import (
	"errors"
	"fmt"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"centrifugo/server/internal/config"
)

// Claims describe a token to be generated.
type Claims struct {
	User    string
	Channel string        // empty: a connection token
	TTL     time.Duration // zero or less: no expiry
}

// Generate returns a token signed with the HMAC secret of the settings by HS256
// (server.md 7, gentoken). The token is issued at now.
func Generate(c config.Token, cl Claims, now time.Time) (string, error) {
	if c.HMACSecretKey == "" {
		return "", errors.New("no HMAC secret key is configured")
	}
	claims := jwt.MapClaims{"sub": cl.User, "iat": now.Unix()}
	if cl.TTL > 0 {
		claims["exp"] = now.Add(cl.TTL).Unix()
	}
	if cl.Channel != "" {
		claims["channel"] = cl.Channel
	}
	if c.UserIDClaim != "" {
		claims[c.UserIDClaim] = cl.User
	}
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(c.HMACSecretKey))
	if err != nil {
		return "", fmt.Errorf("signing token: %w", err)
	}
	return token, nil
}

// Inspect returns the algorithm and the claims of a token WITHOUT verifying it, for
// display to the owner of the token. It returns false if the token is malformed.
func Inspect(token string) (algorithm string, claims []byte, ok bool) {
	if len(token) > maxToken {
		return "", nil, false
	}
	var body payload
	parsed, _, err := jwt.NewParser().ParseUnverified(token, &body)
	if err != nil {
		return "", nil, false
	}
	return parsed.Method.Alg(), body.raw, true
}
