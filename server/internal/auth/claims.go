package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"unicode/utf8"

	"github.com/golang-jwt/jwt/v5"
)

// payload receives the claims of a token unparsed, because the claims types of the JWT
// library are neither strict nor case-sensitive.
type payload struct {
	jwt.RegisteredClaims
	raw []byte
}

// UnmarshalJSON copies the bytes.
func (p *payload) UnmarshalJSON(raw []byte) error {
	p.raw = append([]byte(nil), raw...)
	return nil
}

// claims holds the claims that both kinds of tokens share.
type claims struct {
	sub      string
	aud      []string
	iss      string
	exp      *int64 // nil: not in the token
	nbf      *int64
	iat      int64  // 0: not in the token, or not a date
	jti      string // empty: not in the token, or not a string
	expireAt *int64
	channel  string
	info     json.RawMessage
	b64info  string

	all map[string]json.RawMessage
}

func parseClaims(raw []byte) (*claims, error) {
	c := &claims{}
	if !utf8.Valid(raw) { // encoding/json would make one user ID of different ones
		return nil, errors.New("claims are not valid UTF-8")
	}
	if err := json.Unmarshal(raw, &c.all); err != nil || c.all == nil {
		return nil, errors.New("claims are not a JSON object")
	}
	err := errors.Join(
		c.get("sub", &c.sub),
		c.get("aud", (*audience)(&c.aud)),
		c.get("iss", &c.iss),
		c.time("exp", &c.exp),
		c.time("nbf", &c.nbf),
		c.time("expire_at", &c.expireAt),
		c.get("channel", &c.channel),
		c.get("b64info", &c.b64info),
	)
	c.info = c.json("info")
	// A token with another type of iat or jti is valid (server.md 3.2); it cannot be revoked
	// by its id, and counts as issued before any time.
	var iat *int64
	if c.time("iat", &iat) == nil && iat != nil {
		c.iat = *iat
	}
	if c.get("jti", &c.jti) != nil {
		c.jti = ""
	}
	return c, err
}

// get decodes one claim strictly by type. It does not change dst for an absent claim or null.
func (c *claims) get(name string, dst any) error {
	raw := c.json(name)
	if raw == nil {
		return nil
	}
	if err := json.Unmarshal(raw, dst); err != nil {
		return fmt.Errorf("claim %s has a wrong type", name) // the cause would repeat the value
	}
	return nil
}

// json returns a claim undecoded, or nil if it is absent or null.
func (c *claims) json(name string) json.RawMessage {
	raw := c.all[name]
	if bytes.Equal(raw, []byte("null")) {
		return nil
	}
	return raw
}

// quotedDate matches a date in quotes, which must be a JSON number.
var quotedDate = regexp.MustCompile(`^"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?"$`)

// time decodes a claim with Unix seconds and truncates a fraction (RFC 7519,
// NumericDate). It accepts a number in quotes, which libraries of loosely typed
// languages write.
func (c *claims) time(name string, dst **int64) error {
	raw := c.json(name)
	if raw == nil {
		return nil
	}
	if quotedDate.Match(raw) {
		raw = raw[1 : len(raw)-1]
	}
	if n, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
		*dst = &n
		return nil
	}
	f, err := strconv.ParseFloat(string(raw), 64)
	if err != nil || math.Abs(f) > 1<<53 {
		return fmt.Errorf("claim %s has a wrong type", name)
	}
	n := int64(math.Floor(f))
	*dst = &n
	return nil
}

// audience is a string or an array of strings.
type audience []string

// UnmarshalJSON accepts both forms.
func (a *audience) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '[' {
		return json.Unmarshal(raw, (*[]string)(a))
	}
	var one string
	if err := json.Unmarshal(raw, &one); err != nil {
		return err
	}
	*a = []string{one}
	return nil
}

var decimal = regexp.MustCompile(`^-?[0-9]+$`)

// user returns the user ID: claim sub, or the claim configured in its place. A
// missing claim of that name is an error, where upstream makes the user anonymous
// (server.md 3.2): a typo in the configuration must not admit users anonymously.
func (c *claims) user(claim string) (string, error) {
	if claim == "" {
		return c.sub, nil
	}
	var value any
	dec := json.NewDecoder(bytes.NewReader(c.all[claim]))
	dec.UseNumber()
	if err := dec.Decode(&value); err != nil {
		return "", fmt.Errorf("claim %s is missing", claim)
	}
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		if decimal.MatchString(v.String()) {
			return v.String(), nil
		}
		if f, err := v.Float64(); err == nil {
			return strconv.FormatFloat(f, 'f', -1, 64), nil
		}
	}
	return "", fmt.Errorf("claim %s is neither a string nor a number", claim)
}
