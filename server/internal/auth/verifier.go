package auth

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"centrifugo/server/internal/config"
)

// The reasons for which a token is refused. The answer to the client depends on the
// command (server.md 3.6).
var (
	// ErrInvalidToken reports that the form, a claim, the signature, the audience or the
	// issuer of the token is wrong.
	ErrInvalidToken = errors.New("invalid token")
	// ErrTokenExpired reports that exp has passed or that nbf is in the future.
	ErrTokenExpired = errors.New("token expired")
	// ErrBase64 reports that claim b64info of a connection token is not base64. The client
	// gets error 100.
	ErrBase64 = errors.New("claim b64info is not base64")
)

// maxToken bounds a token, in bytes. A longer one is invalid.
const maxToken = 1 << 20

// Options of a Verifier.
type Options struct {
	// SkipSignature is client.insecure_skip_token_signature_verify: signatures are not
	// verified, everything else is.
	SkipSignature bool
	// KeySets fetches key sets; nil means one of the verifier's own.
	KeySets *KeySets
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Verifier verifies tokens. It is immutable and safe for concurrent use. NewVerifier
// returns one.
type Verifier struct {
	section       *source            // for tokens of any other issuer
	issuers       map[string]*source // by claim iss
	skipSignature bool
	now           func() time.Time
	parser        *jwt.Parser
}

// NewVerifier compiles the settings. The error names a key that cannot be used, never
// its value. It fetches nothing.
func NewVerifier(c config.Token, o Options) (*Verifier, error) {
	v := &Verifier{
		issuers:       map[string]*source{},
		skipSignature: o.SkipSignature,
		now:           o.Now,
		parser:        jwt.NewParser(jwt.WithoutClaimsValidation()),
	}
	if v.now == nil {
		v.now = time.Now
	}
	if o.KeySets == nil {
		o.KeySets = NewKeySets(KeySetOptions{Now: o.Now})
	}
	var err error
	if v.section, err = newSource(c, o.KeySets); err != nil {
		return nil, err
	}
	for i, own := range c.ByIssuer() {
		s, err := newSource(own, o.KeySets)
		if err != nil {
			return nil, fmt.Errorf("issuers[%d].%w", i, err)
		}
		v.issuers[s.issuer] = s
	}
	return v, nil
}

func compile(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil //nolint:nilnil // no pattern is nothing to match
	}
	return regexp.Compile(pattern)
}

// VerifyConnect verifies a connection token. The error is, or wraps,
// ErrInvalidToken, ErrTokenExpired, ErrBase64 or ErrKeysUnavailable. The context bounds the
// wait for a key set.
func (v *Verifier) VerifyConnect(ctx context.Context, token string) (ConnectToken, error) {
	c, user, err := v.verify(ctx, token)
	if err != nil {
		return ConnectToken{}, err
	}
	if c.channel != "" {
		return ConnectToken{}, invalid(errors.New("a subscription token cannot connect")) // server.md 3.2
	}
	t, err := c.connectToken()
	if err != nil && !errors.Is(err, ErrBase64) {
		return ConnectToken{}, err
	}
	if timeErr := v.checkTime(c); timeErr != nil {
		return ConnectToken{}, timeErr
	}
	if err != nil {
		return ConnectToken{}, err
	}
	t.User = user
	return t, nil
}

// VerifySubscribe verifies a subscription token. The error is, or wraps,
// ErrInvalidToken, ErrTokenExpired or ErrKeysUnavailable. SubscribeToken.Matches reports
// whether the token is for a client and a channel. The context bounds the wait for a key
// set.
func (v *Verifier) VerifySubscribe(ctx context.Context, token string) (SubscribeToken, error) {
	c, user, err := v.verify(ctx, token)
	if err != nil {
		return SubscribeToken{}, err
	}
	t, err := c.subscribeToken()
	if err != nil {
		return SubscribeToken{}, err
	}
	if err := v.checkTime(c); err != nil {
		return SubscribeToken{}, err
	}
	if t.Channel == "" {
		return SubscribeToken{}, invalid(errors.New("claim channel is missing"))
	}
	t.User = user
	return t, nil
}

// verify executes steps 1 to 5 of server.md 3.2, which both kinds of tokens share.
func (v *Verifier) verify(ctx context.Context, token string) (*claims, string, error) {
	if len(token) > maxToken {
		return nil, "", invalid(errors.New("too long"))
	}
	var body payload
	parsed, parts, err := v.parser.ParseUnverified(token, &body)
	if err != nil {
		return nil, "", invalid(errors.New("malformed")) // the cause may quote the token
	}
	if _, critical := parsed.Header["crit"]; critical {
		return nil, "", invalid(errors.New("critical header parameters are not supported")) // RFC 7515, 4.1.11
	}
	c, err := parseClaims(body.raw)
	if err != nil {
		return nil, "", invalid(err)
	}
	s := v.section
	if own := v.issuers[c.iss]; own != nil {
		s = own
	}
	groups, err := s.match(c)
	if err != nil {
		return nil, "", invalid(err)
	}
	if !v.skipSignature {
		err := s.verifySignature(ctx, parsed, parts[0]+"."+parts[1], groups, v.now())
		switch {
		case errors.Is(err, ErrKeysUnavailable):
			return nil, "", err
		case err != nil:
			return nil, "", invalid(fmt.Errorf("signature: %w", err))
		}
	}
	if err := s.compare(c); err != nil {
		return nil, "", invalid(err)
	}
	user, err := c.user(s.userIDClaim)
	if err != nil {
		return nil, "", invalid(err)
	}
	return c, user, nil
}

// checkTime compares exp and nbf with the clock, without leeway (server.md 3.2, step 7).
func (v *Verifier) checkTime(c *claims) error {
	now := v.now()
	// Compared as integers: time.Unix would wrap around for the largest values.
	if c.exp != nil && now.Unix() >= *c.exp {
		return ErrTokenExpired
	}
	if c.nbf != nil && (now.Unix() < *c.nbf || now.Unix() == *c.nbf && now.Nanosecond() == 0) {
		return fmt.Errorf("%w: not valid yet", ErrTokenExpired)
	}
	return nil
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

func invalid(cause error) error { return fmt.Errorf("%w: %w", ErrInvalidToken, cause) }
