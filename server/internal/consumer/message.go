package consumer

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"centrifugo/server/internal/api"
)

// MaxSize bounds the body of a message, in bytes. It is that of a request over HTTP.
const MaxSize = 10 << 20

// Message is a message of a source.
type Message struct {
	// ID identifies the message in the log, such as a partition and an offset.
	ID string
	// Method is the name of the method if the source has a place for it other than an
	// attribute, such as a column of a table.
	Method string
	// Body is a command, a request or the data of a publication, see Format.
	Body []byte
	// Size is the size of the body in bytes if the source withholds it because it exceeds
	// MaxSize; otherwise it may be zero.
	Size int
	// Attributes accompany the body: headers, attributes, properties or fields.
	Attributes []Attribute
	// Extend, if not nil, is called before each pause in which the message waits to be
	// repeated, and in a long one each time that ExtendEvery has passed, unless that is
	// zero. It tells the source that the message is still in work.
	Extend      func(ctx context.Context)
	ExtendEvery time.Duration
}

// Attribute is a name with a value.
type Attribute struct{ Name, Value string }

// attribute returns the first value of a name, or nothing.
func (m *Message) attribute(name string) string {
	for _, a := range m.Attributes {
		if a.Name == name {
			return a.Value
		}
	}
	return ""
}

// Reason says why a message has no effect. It is the label of a metric.
type Reason string

// The reasons for which messages are acknowledged without their effect.
const (
	// Malformed: the body or an attribute cannot be decoded.
	Malformed Reason = "malformed"
	// TooLarge: the body exceeds MaxSize.
	TooLarge Reason = "too_large"
	// UnknownMethod: there is no such method, or it is not for consumers.
	UnknownMethod Reason = "unknown_method"
	// NoChannels: a message in the publication data mode names no channel.
	NoChannels Reason = "no_channels"
	// APIError: the method returned an error that repeating it would not change.
	APIError Reason = "api_error"
	// Panicked: the method panicked.
	Panicked Reason = "panic"
)

// Reasons are all of them, in the order in which they are counted.
var Reasons = [...]Reason{Malformed, TooLarge, UnknownMethod, NoChannels, APIError, Panicked}

// refusal is why a message is acknowledged without its effect.
type refusal struct {
	reason Reason
	err    error
}

// methods are the methods that a message may call (server.md 11.1).
var methods = map[string]*api.Method{
	api.MethodPublish.Name:       &api.MethodPublish.Method,
	api.MethodBroadcast.Name:     &api.MethodBroadcast.Method,
	api.MethodSubscribe.Name:     &api.MethodSubscribe.Method,
	api.MethodUnsubscribe.Name:   &api.MethodUnsubscribe.Method,
	api.MethodDisconnect.Name:    &api.MethodDisconnect.Method,
	api.MethodHistoryRemove.Name: &api.MethodHistoryRemove.Method,
	api.MethodRefresh.Name:       &api.MethodRefresh.Method,
}

// command is a decoded message.
type command struct {
	method  *api.Method
	request any  // of method.NewRequest
	binary  bool // the payload is bytes instead of JSON
}

// decode decodes a message in the mode that the format and the message say
// (server.md 11.1).
func (f *Format) decode(m *Message) (command, *refusal) {
	if size := max(m.Size, len(m.Body)); size > MaxSize {
		return command{}, &refusal{TooLarge, fmt.Errorf("the body has %d bytes, at most %d are allowed", size, MaxSize)}
	}
	if f.Publication.Enabled {
		return f.Publication.decode(m)
	}
	name := m.Method
	if name == "" && f.Method != "" {
		name = m.attribute(f.Method)
	}
	if name != "" {
		return decodeRequest(name, m.Body)
	}
	var envelope struct {
		Method  string          `json:"method"`
		Payload json.RawMessage `json:"payload"`
	}
	if err := json.Unmarshal(m.Body, &envelope); err != nil {
		return command{}, &refusal{Malformed, fmt.Errorf("decoding a command: %w", err)}
	}
	return decodeRequest(envelope.Method, envelope.Payload)
}

// decodeRequest decodes the request of a method. The payload may be a JSON string that
// contains the request.
func decodeRequest(name string, payload []byte) (command, *refusal) {
	method := methods[name]
	if method == nil {
		return command{}, &refusal{UnknownMethod, fmt.Errorf("method %.64q is not one of those for consumers", name)}
	}
	if text := bytes.TrimLeft(payload, " \t\r\n"); len(text) > 0 && text[0] == '"' {
		var inner string
		if err := json.Unmarshal(text, &inner); err != nil {
			return command{}, &refusal{Malformed, fmt.Errorf("decoding the payload of %s: %w", name, err)}
		}
		payload = []byte(inner)
	}
	if len(payload) == 0 {
		return command{}, &refusal{Malformed, fmt.Errorf("%s has no payload", name)}
	}
	c := command{method: method, request: method.NewRequest()}
	if err := json.Unmarshal(payload, c.request); err != nil {
		return command{}, &refusal{Malformed, fmt.Errorf("decoding the payload of %s: %w", name, err)}
	}
	return c, nil
}

// decode makes a publication of the body, or a broadcast if there are several channels.
// The names of channels are not trimmed.
func (f *PublicationFormat) decode(m *Message) (command, *refusal) {
	publication := api.Publication{Data: m.Body}
	var channels []string
	for _, a := range m.Attributes {
		var err error
		tag, isTag := strings.CutPrefix(a.Name, f.TagPrefix)
		switch {
		case a.Value == "" && !isTag:
		case a.Name == f.Channels:
			channels = strings.Split(a.Value, ",")
		case a.Name == f.IdempotencyKey:
			publication.IdempotencyKey = a.Value
		case a.Name == f.Delta:
			publication.Delta, err = strconv.ParseBool(a.Value)
		case a.Name == f.Version:
			publication.Version, err = strconv.ParseUint(a.Value, 10, 64)
		case a.Name == f.VersionEpoch:
			publication.VersionEpoch = a.Value
		case isTag && f.TagPrefix != "":
			if publication.Tags == nil {
				publication.Tags = make(map[string]string)
			}
			publication.Tags[tag] = a.Value
		}
		if err != nil {
			return command{}, &refusal{Malformed, fmt.Errorf("attribute %s: %w", a.Name, err)}
		}
	}
	switch len(channels) {
	case 0:
		return command{}, &refusal{NoChannels, fmt.Errorf("attribute %s names no channel", f.Channels)}
	case 1:
		return command{&api.MethodPublish.Method, &api.PublishRequest{Channel: channels[0], Publication: publication}, true}, nil
	}
	return command{&api.MethodBroadcast.Method, &api.BroadcastRequest{Channels: channels, Publication: publication}, true}, nil
}
