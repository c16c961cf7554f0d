package proxy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
	"centrifugo/server/internal/override"
)

// Response is the answer of a backend (server.md 5.3). Disconnect precedes Error, and
// Error precedes Result.
type Response struct {
	Result     *Result     `json:"result"`
	Error      *Error      `json:"error"`
	Disconnect *Disconnect `json:"disconnect"`
}

// Error answers the command of a client.
type Error struct {
	Code      uint32 `json:"code"`
	Message   string `json:"message"`
	Temporary bool   `json:"temporary"`
}

// Disconnect closes a connection.
type Disconnect struct {
	Code   uint32 `json:"code"`
	Reason string `json:"reason"`
}

// Result is what a backend decided. It has the fields of all events; each event uses some
// of them (server.md 5.4 to 5.10). Carriers fill it; Proxy.Call then moves the base64 forms
// to the plain ones.
type Result struct {
	// Of connect and refresh.
	User     string                       `json:"user"`
	Channels []string                     `json:"channels"`
	Subs     map[string]*SubscribeOptions `json:"subs"`
	Meta     JSON                         `json:"meta"`
	Expired  bool                         `json:"expired"`

	// Of connect, refresh, subscribe and sub_refresh. ExpireAt is a Unix time in seconds,
	// zero for never.
	ExpireAt int64  `json:"expire_at"`
	Info     JSON   `json:"info"`
	B64Info  string `json:"b64info"`

	// Of connect, subscribe, publish and rpc.
	Data    JSON   `json:"data"`
	B64Data string `json:"b64data"`

	// Of subscribe.
	Override *override.SubscribeOverride `json:"override"`

	// Of publish.
	SkipHistory    bool              `json:"skip_history"`
	Tags           map[string]string `json:"tags"`
	IdempotencyKey string            `json:"idempotency_key"`
	Delta          bool              `json:"delta"`
	Version        uint64            `json:"version"`
	VersionEpoch   string            `json:"version_epoch"`
}

// SubscribeOptions are those of a server-side subscription that a connect proxy makes.
type SubscribeOptions struct {
	ExpireAt     int64                       `json:"expire_at"`
	Info         JSON                        `json:"info"`
	B64Info      string                      `json:"b64info"`
	Data         JSON                        `json:"data"`
	B64Data      string                      `json:"b64data"`
	Override     *override.SubscribeOverride `json:"override"`
	CacheRecover bool                        `json:"cache_recover"`
}

// JSON is a value of any kind, undecoded. Null counts as absent. A carrier that is not
// JSON may put any bytes here.
type JSON []byte

// UnmarshalJSON implements json.Unmarshaler.
func (j *JSON) UnmarshalJSON(value []byte) error {
	*j = nil
	if !bytes.Equal(value, []byte("null")) {
		*j = bytes.Clone(value)
	}
	return nil
}

// Err returns the disconnect or the error of a response as those of the library, or nil.
func (r *Response) Err() error {
	switch {
	case r.Disconnect != nil:
		return centrifuge.Disconnect{Code: r.Disconnect.Code, Reason: r.Disconnect.Reason}
	case r.Error != nil:
		return &centrifuge.Error{Code: r.Error.Code, Message: r.Error.Message, Temporary: r.Error.Temporary}
	}
	return nil
}

var (
	errBase64   = errors.New("a base64 field of the answer is not base64")
	errMeta     = errors.New("field meta of the answer is not JSON")
	errCodeless = errors.New("an error or a disconnect of the answer has no code")
)

// decodeJSON decodes the body of a response. Unknown keys are ignored.
func decodeJSON(body []byte) (*Response, error) {
	if err := protocol.CheckJSON(body); err != nil { // stricter: depth and UTF-8
		return nil, err //nolint:wrapcheck // says what is wrong
	}
	r := new(Response)
	if err := json.Unmarshal(body, r); err != nil {
		return nil, fmt.Errorf("decoding the answer: %w", err)
	}
	return r, nil
}

// settle checks a response and moves the base64 forms to the plain ones (server.md 5.3,
// the rule of base64).
func (r *Response) settle(e Event) error {
	if r.Error != nil && r.Error.Code == 0 || r.Disconnect != nil && r.Disconnect.Code == 0 {
		return errCodeless
	}
	if r.Result == nil {
		return nil
	}
	if len(r.Result.Meta) > 0 && protocol.CheckJSON(r.Result.Meta) != nil {
		return errMeta
	}
	return r.Result.settle(e)
}

func (r *Result) settle(e Event) error {
	if events[e].plainFirst && len(r.Data) > 0 {
		r.B64Data = ""
	}
	err := errors.Join(pick(&r.Info, &r.B64Info), pick(&r.Data, &r.B64Data))
	for channel, o := range r.Subs {
		if o == nil {
			r.Subs[channel] = new(SubscribeOptions)
			continue
		}
		err = errors.Join(err, pick(&o.Info, &o.B64Info), pick(&o.Data, &o.B64Data))
	}
	return err
}

// pick replaces plain by the decoded b64 if there is one.
func pick(plain *JSON, b64 *string) error {
	if *b64 == "" {
		return nil
	}
	decoded, err := base64.StdEncoding.DecodeString(*b64)
	if err != nil {
		return errBase64
	}
	*plain, *b64 = decoded, ""
	return nil
}
