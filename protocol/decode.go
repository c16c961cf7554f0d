package protocol

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"centrifugo/internal/jsonscan"
	"centrifugo/protocol/internal/protoscan"
)

// ErrMalformed reports a message that the protocol does not allow. The errors
// below wrap it. All of them close a connection as a bad request.
var ErrMalformed = jsonscan.ErrMalformed

// Errors of messages that exceed Limits.
var (
	ErrCommandSize = fmt.Errorf("%w: command too large", ErrMalformed)
	ErrDepth       = jsonscan.ErrDepth
	ErrElements    = jsonscan.ErrElements
	ErrCommands    = fmt.Errorf("%w: too many commands", ErrMalformed)
)

// Limits bounds what a Decoder accepts in one transport message. A field that is
// zero or negative stands for its default.
type Limits struct {
	// CommandSize is the largest command in bytes. A transport that bounds its
	// messages passes that bound, or the length of the message. Default 65536.
	CommandSize int
	// Depth bounds how deep the objects and arrays of one payload nest, and how
	// deep the protocol's messages do. Default and maximum MaxDepth. It protects the
	// stack whatever the size of a message.
	Depth int
	// Elements bounds the list elements and map entries in one command, without
	// those in payloads. Default 16384. An element of two bytes may decode to more
	// than a hundred, so a bound in bytes does not bound memory.
	Elements int
	// Commands bounds the commands in one transport message. Default 65536. They
	// are decoded one by one, so a transport that bounds the bytes of a message
	// may pass that bound.
	Commands int
}

// The defaults of Limits.
const (
	DefaultCommandSize = 65536
	DefaultDepth       = MaxDepth
	DefaultElements    = 16384
	DefaultCommands    = 65536
)

func (l Limits) commandSize() int { return orDefault(l.CommandSize, DefaultCommandSize) }
func (l Limits) depth() int       { return min(orDefault(l.Depth, DefaultDepth), MaxDepth) }
func (l Limits) elements() int    { return orDefault(l.Elements, DefaultElements) }
func (l Limits) commands() int    { return orDefault(l.Commands, DefaultCommands) }

func orDefault(v, def int) int {
	if v <= 0 {
		return def
	}
	return v
}

// A Decoder decodes the commands of one transport message. It does not allocate
// memory for itself. It is not safe for concurrent use.
type Decoder struct {
	rest    []byte
	limits  Limits
	format  Format
	draft   bool
	scratch *RequestScratch
	count   int
	err     error
}

// NewDecoder returns a decoder of message, which must hold whole commands:
// lines of JSON, of which the last may end with a newline, or Protobuf with
// length prefixes.
func NewDecoder(f Format, message []byte, l Limits) Decoder {
	d := Decoder{rest: message, limits: l, format: f}
	if len(message) == 0 {
		d.err = ErrMalformed
	}
	return d
}

// Len is the number of bytes that Next has not read yet.
func (d *Decoder) Len() int { return len(d.rest) }

// UseDraftMethods selects the method numbers of the V1 draft of February 2018
// in place of those that were released.
func (d *Decoder) UseDraftMethods() { d.draft = true }

// Next overwrites c with the next command. After the last command it returns
// io.EOF. If a command is malformed, it returns an error that wraps
// [ErrMalformed]. After an error it returns the same error again.
//
// Payloads and strings are slices of the transport message, not copies. The caller
// must not change the message while they are in use. A payload that is kept keeps
// the whole message in memory, so the caller should clone it.
//
// In V1 a method that does not exist sets UnknownMethod. Next enforces the rules
// about ids in V1 only, where they belong to the envelope.
func (d *Decoder) Next(c *Command) error {
	*c = Command{}
	if d.err != nil {
		return d.err
	}
	if d.err = d.next(c); d.err != nil {
		*c = Command{}
	}
	return d.err
}

func (d *Decoder) next(c *Command) error {
	if len(d.rest) == 0 {
		return io.EOF
	}
	if d.count >= d.limits.commands() {
		return ErrCommands
	}
	d.count++
	message, rest, err := Split(d.format, d.rest)
	if err != nil {
		return err
	}
	if len(message) > d.limits.commandSize() {
		return ErrCommandSize
	}
	d.rest = rest
	if d.format.Protobuf() {
		r := newProtoReader(message, d.limits)
		r.scratch = d.scratch
		if d.format.V1() {
			r.v1 = true
			r.commandV1(c, d.draft)
		} else {
			r.command(c)
		}
		return r.Err()
	}
	r := newJSONReader(message, d.limits)
	r.scratch = d.scratch
	if d.format.V1() {
		r.v1 = true
		r.commandV1(c, d.draft)
	} else {
		r.command(c)
	}
	return r.Err()
}

// Split returns the first message of a batch and the rest: a line of JSON without
// its newline, or a Protobuf message without its length prefix. Both are slices of
// batch. The error is [ErrMalformed] if the batch is empty or shorter than its
// length prefix says.
func Split(f Format, batch []byte) (message, rest []byte, err error) {
	if len(batch) == 0 {
		return nil, nil, ErrMalformed
	}
	if !f.Protobuf() {
		if end := bytes.IndexByte(batch, '\n'); end >= 0 {
			return batch[:end:end], batch[end+1:], nil
		}
		return batch, nil, nil
	}
	size, n := protoscan.Varint(batch)
	if n < 0 || size > uint64(len(batch)-n) {
		return nil, nil, ErrMalformed
	}
	end := n + int(size)
	return batch[n:end:end], batch[end:], nil
}

// IsPong reports whether message, a whole transport message, is one empty V2
// command, a pong, in the forms that clients send. It does not decode,
// so it returns false for other spellings ("{ }"), which a Decoder accepts.
func IsPong(f Format, message []byte) bool {
	if f.V1() || len(message) == 0 || len(message) > len("null\n") {
		return false
	}
	if f.Protobuf() {
		return len(message) == 1 && message[0] == 0
	}
	switch string(message) {
	case "{}", "{}\n", "null", "null\n":
		return true
	}
	return false
}

// DetectVersion returns the generation of the protocol that the first command of a
// connection belongs to (protocol.md 8.6). A command with a request of V2 is
// V2; one with params, a method or nothing but an id is V1. The error wraps
// [ErrMalformed]; the server answers it in V2.
func DetectVersion(protobuf bool, message []byte) (v1 bool, err error) {
	f := Format(0)
	if protobuf {
		f = FormatProtobuf
	}
	message, _, err = Split(f, message)
	if err != nil {
		return false, err
	}
	var seen envelope
	if protobuf {
		r := newProtoReader(message, Limits{})
		r.envelope(&seen)
		err = r.Err()
	} else {
		r := newJSONReader(message, Limits{})
		r.envelope(&seen)
		err = r.Err()
	}
	if err != nil {
		return false, err
	}
	return !seen.v2 && (seen.v1 || seen.id && !seen.other), nil
}

// An envelope lists which members a command has.
type envelope struct {
	id, v1, v2, other bool
}

// DecodeConnectRequest decodes a request without a command around it, as clients of
// unidirectional transports send it. Of f only the encoding matters. JSON null is an
// empty request. Only white space may follow the value. Payloads are slices of b.
// The error wraps [ErrMalformed].
func DecodeConnectRequest(f Format, b []byte) (*ConnectRequest, error) {
	if f.Protobuf() {
		r := newProtoReader(b, Limits{})
		m := r.connectRequest()
		if r.Err() != nil {
			return nil, r.Err()
		}
		return m, nil
	}
	r := newJSONReader(b, Limits{})
	m := r.connectRequest()
	if err := r.Finish(); err != nil {
		return nil, err
	}
	return orNew(m), nil
}

// DecodeEmulationRequest decodes the body of an emulation request
// (protocol.md 3.4). In JSON the data is a string that holds the
// commands, in Protobuf a slice of b. The error wraps [ErrMalformed].
func DecodeEmulationRequest(protobuf bool, b []byte) (*EmulationRequest, error) {
	if protobuf {
		r := newProtoReader(b, Limits{})
		m := r.emulationRequest()
		if r.Err() != nil {
			return nil, r.Err()
		}
		return m, nil
	}
	r := newJSONReader(b, Limits{})
	m := r.emulationRequest()
	if err := r.Finish(); err != nil {
		return nil, err
	}
	return orNew(m), nil
}

// trusted are the limits for messages from our own nodes and servers. Depth still
// protects the stack.
var trusted = Limits{CommandSize: math.MaxInt, Depth: MaxDepth, Elements: math.MaxInt, Commands: math.MaxInt}

// DecodePublication decodes a publication that [AppendPublication] wrote. Payloads
// are slices of b. The error wraps [ErrMalformed].
func DecodePublication(b []byte) (*Publication, error) {
	r := newProtoReader(b, trusted)
	p := r.publication()
	if r.Err() != nil {
		return nil, fmt.Errorf("decoding publication: %w", r.Err())
	}
	return p, nil
}

// DecodeClientInfo decodes client information that [AppendClientInfo] wrote.
// Payloads are slices of b. The error wraps [ErrMalformed].
func DecodeClientInfo(b []byte) (*ClientInfo, error) {
	r := newProtoReader(b, trusted)
	info := r.clientInfo()
	if r.Err() != nil {
		return nil, fmt.Errorf("decoding client info: %w", r.Err())
	}
	return info, nil
}
