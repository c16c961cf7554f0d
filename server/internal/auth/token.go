package auth

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"centrifugo/protocol"
	"centrifugo/server/internal/override"
)

// ConnectToken holds the claims of a valid connection token (server.md 3.4).
type ConnectToken struct {
	User     string // empty: anonymous
	ExpireAt int64  // Unix seconds when the connection expires; 0: never. May be in the past (error 110)
	Info     []byte // JSON or bytes; nil: none
	Meta     []byte // JSON object; nil: none
	ID       string // claim jti; empty: none
	IssuedAt int64  // claim iat, Unix seconds; 0: none
	// Subs are the server-side subscriptions, from claim subs or, without it, claim channels.
	Subs map[string]SubscribeOptions
}

// SubscribeToken holds the claims of a valid subscription token (server.md 3.5).
type SubscribeToken struct {
	User     string
	Channel  string // never empty
	Client   string // empty: any
	ExpireAt int64  // Unix seconds when the subscription expires; 0: never
	ID       string // claim jti; empty: none
	IssuedAt int64  // claim iat, Unix seconds; 0: none
	SubscribeOptions
}

// Matches reports whether the token is for this user, channel and client. If not, the
// caller disconnects the client with 3500.
func (t SubscribeToken) Matches(user, channel, client string) bool {
	return t.User == user && t.Channel == channel && (t.Client == "" || t.Client == client)
}

// SubscribeOptions come with a subscription.
type SubscribeOptions struct {
	Info     []byte                      // channel info; nil: none
	Data     []byte                      // sent to the client in the subscribe result; nil: none
	Override *override.SubscribeOverride // nil: none
}

// rawOptions is the JSON form of SubscribeOptions.
type rawOptions struct {
	Info     json.RawMessage             `json:"info"`
	B64Info  string                      `json:"b64info"`
	Data     json.RawMessage             `json:"data"`
	B64Data  string                      `json:"b64data"`
	Override *override.SubscribeOverride `json:"override"`
}

func (r *rawOptions) options() (SubscribeOptions, error) {
	o := SubscribeOptions{Override: r.Override}
	var err error
	if o.Info, err = eitherForm(r.Info, r.B64Info); err != nil {
		return o, fmt.Errorf("claim info or b64info: %w", err)
	}
	if o.Data, err = eitherForm(r.Data, r.B64Data); err != nil {
		return o, fmt.Errorf("claim data or b64data: %w", err)
	}
	return o, nil
}

var errNotBase64 = errors.New("not base64")

// eitherForm returns the base64 form if there is one, and otherwise the JSON form, which
// must be a value that JSON clients can receive.
func eitherForm(raw json.RawMessage, b64 string) ([]byte, error) {
	if b64 != "" {
		decoded, err := base64.StdEncoding.DecodeString(b64)
		if err != nil {
			return nil, errNotBase64
		}
		return decoded, nil
	}
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	if err := protocol.CheckJSON(raw); err != nil {
		return nil, err //nolint:wrapcheck // the caller names the claim
	}
	return raw, nil
}

// expiry applies claim expire_at, which replaces the expiry by exp. Zero or less means never.
func (c *claims) expiry() int64 {
	at := c.exp
	if c.expireAt != nil {
		at = c.expireAt
	}
	if at == nil {
		return 0
	}
	return max(0, *at)
}

func (c *claims) connectToken() (ConnectToken, error) {
	t := ConnectToken{ExpireAt: c.expiry(), ID: c.jti, IssuedAt: c.iat}
	var channels []string
	var subs map[string]*rawOptions
	var meta map[string]json.RawMessage
	if err := errors.Join(c.get("channels", &channels), c.get("subs", &subs), c.get("meta", &meta)); err != nil {
		return t, invalid(err)
	}
	if meta != nil {
		t.Meta = c.json("meta")
	}
	for _, channel := range channels {
		if subs == nil {
			t.addSub(channel, SubscribeOptions{})
		}
	}
	for channel, raw := range subs {
		var o SubscribeOptions
		if raw != nil {
			var err error
			if o, err = raw.options(); err != nil {
				return t, invalid(err) // unlike a top-level b64info, server.md 3.2
			}
		}
		t.addSub(channel, o)
	}
	var err error
	switch t.Info, err = eitherForm(c.info, c.b64info); {
	case errors.Is(err, errNotBase64):
		return t, ErrBase64
	case err != nil:
		return t, invalid(fmt.Errorf("claim info: %w", err))
	}
	return t, nil
}

// addSub ignores an empty name, which splitting an empty list returns.
func (t *ConnectToken) addSub(channel string, o SubscribeOptions) {
	if channel == "" {
		return
	}
	if t.Subs == nil {
		t.Subs = map[string]SubscribeOptions{}
	}
	t.Subs[channel] = o
}

func (c *claims) subscribeToken() (SubscribeToken, error) {
	t := SubscribeToken{Channel: c.channel, ExpireAt: c.expiry(), ID: c.jti, IssuedAt: c.iat}
	raw := rawOptions{Info: c.info, B64Info: c.b64info, Data: c.json("data")}
	if err := errors.Join(c.get("client", &t.Client), c.get("b64data", &raw.B64Data), c.get("override", &raw.Override)); err != nil {
		return t, invalid(err)
	}
	var err error
	if t.SubscribeOptions, err = raw.options(); err != nil {
		return t, invalid(err)
	}
	return t, nil
}
