package proxy

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// Request is what a backend is told about an event. It has the fields of all events; each
// event uses some of them (server.md 5.4 to 5.10). The names of the JSON keys are those of
// the fields in Protobuf too.
type Request struct {
	Client    string `json:"client,omitempty"`
	Transport string `json:"transport,omitempty"`
	Protocol  string `json:"protocol,omitempty"`
	Encoding  string `json:"encoding,omitempty"`
	// User is not nil, though it may be empty, for every event but connect.
	User     *string         `json:"user,omitempty"`
	Name     string          `json:"name,omitempty"`
	Version  string          `json:"version,omitempty"`
	Channels []string        `json:"channels,omitempty"`
	Channel  string          `json:"channel,omitempty"`
	Method   string          `json:"method,omitempty"`
	Token    string          `json:"token,omitempty"`
	Data     json.RawMessage `json:"data,omitempty"`
	B64Data  string          `json:"b64data,omitempty"`
	Meta     json.RawMessage `json:"meta,omitempty"`
}

// Caller is the connection that an event is about.
type Caller struct {
	Client    string
	User      string
	Transport centrifuge.TransportInfo
	Session   *Session // nil if nothing of the connection is passed on
}

// CallerOf returns a client as the caller of an event.
func CallerOf(c *centrifuge.Client) Caller {
	return Caller{Client: c.ID(), User: c.UserID(), Transport: c.Transport(), Session: SessionFrom(c.Context())}
}

// complete adds what the requests of all events have in common.
func (p *Proxy) complete(e Event, caller *Caller, r *Request) {
	r.Client, r.Transport = caller.Client, caller.Transport.Name
	r.Protocol, r.Encoding = "json", "json"
	if caller.Transport.Protobuf {
		r.Protocol = "protobuf"
	}
	if e != Connect {
		r.User = &caller.User
	}
	if p.config.BinaryEncoding {
		r.Encoding = "binary"
		if len(r.Data) > 0 {
			r.B64Data, r.Data = base64.StdEncoding.EncodeToString(r.Data), nil
		}
	}
	if p.config.IncludeConnectionMeta && e != Connect { // which may set it
		r.Meta = caller.Session.Meta()
	}
}

// errNotJSON reports payload of a client that a backend cannot be sent as JSON.
var errNotJSON = fmt.Errorf("data of the client is not JSON, and binary_encoding is off: %w", centrifuge.ErrorBadRequest)

// encodeJSON encodes a request.
func (r *Request) encodeJSON() ([]byte, error) {
	if len(r.Data) > 0 && protocol.CheckJSON(r.Data) != nil {
		return nil, errNotJSON
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(r); err != nil {
		return nil, fmt.Errorf("encoding a request: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
