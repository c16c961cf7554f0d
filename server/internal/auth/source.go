package auth

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"centrifugo/server/internal/config"
)

// source holds the keys and rules of a section of the configuration, or of one of its
// issuers.
type source struct {
	keys          keys
	remote        *remoteKeys // nil: the configured keys
	audience      string
	issuer        string
	audienceRegex *regexp.Regexp // nil: no rule
	issuerRegex   *regexp.Regexp // nil: no rule
	userIDClaim   string
}

// newSource compiles a section without its issuers. With jwks_public_endpoint or
// openid_issuer, the configured keys are ignored (server.md 3.3).
func newSource(c config.Token, sets *KeySets) (*source, error) {
	s := &source{audience: c.Audience, issuer: c.Issuer, userIDClaim: c.UserIDClaim}
	var err error
	if s.audienceRegex, err = compile(c.AudienceRegex); err != nil {
		return nil, fmt.Errorf("audience_regex: %w", err)
	}
	if s.issuerRegex, err = compile(c.IssuerRegex); err != nil {
		return nil, fmt.Errorf("issuer_regex: %w", err)
	}
	if c.JWKSPublicEndpoint == "" && c.OpenIDIssuer == "" {
		s.keys, err = newKeys(c.TokenKeys)
		return s, err
	}
	t, err := c.JWKSTLS.Client()
	if err != nil {
		return nil, fmt.Errorf("jwks_tls.%w", err)
	}
	s.remote = &remoteKeys{sets: sets, client: newHTTPClient(t), tls: c.JWKSTLS}
	if c.OpenIDIssuer != "" {
		s.issuer = c.OpenIDIssuer
		s.remote.openID, s.remote.template = true, &urlTemplate{text: c.OpenIDIssuer}
		return s, nil
	}
	patterns := []*regexp.Regexp{s.issuerRegex, s.audienceRegex}
	if s.remote.template, err = newURLTemplate(c.JWKSPublicEndpoint, patterns, c.InsecureSkipJWKSEndpointSafetyCheck); err != nil {
		return nil, fmt.Errorf("jwks_public_endpoint: %w", err)
	}
	return s, nil
}

// match applies the regular expressions to claims that are not verified (server.md 3.2,
// step 3). It returns what their groups match if a key set depends on them.
func (s *source) match(c *claims) (groups map[string]string, err error) {
	if s.remote == nil || len(s.remote.template.variables) == 0 {
		if s.issuerRegex != nil && !s.issuerRegex.MatchString(c.iss) {
			return nil, errIssuer
		}
		if s.audienceRegex != nil && !slices.ContainsFunc(c.aud, s.audienceRegex.MatchString) {
			return nil, errAudience
		}
		return nil, nil //nolint:nilnil // no groups
	}
	groups = make(map[string]string)
	if s.issuerRegex != nil && !collectGroups(s.issuerRegex, c.iss, groups) {
		return nil, errIssuer
	}
	if s.audienceRegex != nil && !slices.ContainsFunc(c.aud, func(aud string) bool { return collectGroups(s.audienceRegex, aud, groups) }) {
		return nil, errAudience
	}
	return groups, nil
}

var (
	errIssuer   = errors.New("issuer does not match")
	errAudience = errors.New("audience does not match")
)

// verifySignature checks the signature of a token with the configured keys or the key set.
func (s *source) verifySignature(ctx context.Context, t *jwt.Token, signed string, groups map[string]string, now time.Time) error {
	if s.remote == nil {
		return s.keys.verify(t.Method, signed, t.Signature, now)
	}
	switch t.Method.(type) {
	case *jwt.SigningMethodRSA, *jwt.SigningMethodECDSA, *jwt.SigningMethodEd25519:
	default: // before anything is fetched
		return errNoKey
	}
	kid, _ := t.Header["kid"].(string)
	candidates, err := s.remote.find(ctx, kid, groups)
	if err != nil {
		return err
	}
	return verifyBySet(candidates, t.Method, signed, t.Signature)
}

// compare checks the exact rules for the audience and the issuer (server.md 3.2, step 5).
func (s *source) compare(c *claims) error {
	if s.audience != "" && !slices.ContainsFunc(c.aud, func(a string) bool { return equal(a, s.audience) }) {
		return errAudience
	}
	if s.issuer != "" && !equal(c.iss, s.issuer) {
		return errIssuer
	}
	return nil
}
