package protocol

import "errors"

// Errors of the Append functions.
var (
	// ErrNotJSON says that a payload is not valid JSON, as CheckJSON has it, and so
	// cannot go over JSON. Reply.OmitNonJSON makes a reply that can.
	ErrNotJSON = errors.New("payload is not valid JSON")
	// ErrNoForm says that a message does not exist in a format: a reply to a
	// command over a unidirectional transport, a server ping in V1, a push with
	// an id or an error.
	ErrNoForm = errors.New("message has no form in this format")
)

// AppendReply appends r as one message without framing: no newline, no length
// prefix. Of several results the first in the order of the fields is written.
//
// In V1 the result or the push becomes the member result, and the answer to a
// ping has none. A unidirectional format has the bare push; an empty reply is
// its ping, {}.
//
// It does not allocate when dst has room, and does not keep r. The error is
// [ErrNotJSON] or [ErrNoForm], and dst is returned as it was.
func AppendReply(dst []byte, f Format, r *Reply) ([]byte, error) {
	if !r.hasForm(f) {
		return dst, ErrNoForm
	}
	if f.Protobuf() {
		w := protoWriter{b: dst, v1: f.V1()}
		switch {
		case !f.Uni():
			w.reply(r)
		case r.Push != nil:
			w.push(r.Push)
		}
		return w.b, nil
	}
	w := jsonWriter{b: dst, v1: f.V1()}
	switch {
	case !f.Uni():
		w.reply(r)
	case r.Push != nil:
		w.push(r.Push)
	default:
		w.end(len(w.b))
	}
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}

// hasForm reports whether r can be written in f.
func (r *Reply) hasForm(f Format) bool {
	if p := r.Push; p != nil {
		if r.ID != 0 || r.Error != nil {
			return false
		}
		return !f.V1() || p.ID == 0 && p.Kind() != KindUnknown
	}
	switch {
	case f.Uni():
		return !f.V1() && r.ID == 0 && r.Kind() == KindPing
	case f.V1():
		return r.ID != 0 || r.Error != nil
	}
	return true
}

// AppendCommand appends c as one message without framing, for clients. Of
// several requests the one that Command.Kind names is written. The error is
// [ErrNotJSON], or [ErrNoForm] for a command without request in V1.
func AppendCommand(dst []byte, f Format, c *Command) ([]byte, error) {
	if f.V1() {
		if _, ok := methodOf(c.Kind()); !ok {
			return dst, ErrNoForm
		}
	}
	if f.Protobuf() {
		w := protoWriter{b: dst, v1: f.V1()}
		w.command(c)
		return w.b, nil
	}
	w := jsonWriter{b: dst, v1: f.V1()}
	w.command(c)
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}

// AppendConnectRequest appends m bare, as clients of unidirectional transports
// send it. Only the encoding of f counts. The error is [ErrNotJSON].
func AppendConnectRequest(dst []byte, f Format, m *ConnectRequest) ([]byte, error) {
	if f.Protobuf() {
		w := protoWriter{b: dst}
		w.connectRequest(m)
		return w.b, nil
	}
	w := jsonWriter{b: dst}
	w.connectRequest(m)
	if w.err != nil {
		return dst, w.err
	}
	return w.b, nil
}

// AppendEmulationRequest appends m as the body of an emulation request
// (client-protocol 3.5). Over JSON its data, the commands, becomes a string.
func AppendEmulationRequest(dst []byte, protobuf bool, m *EmulationRequest) []byte {
	if protobuf {
		w := protoWriter{b: dst}
		w.emulationRequest(m)
		return w.b
	}
	w := jsonWriter{b: dst}
	at := len(dst)
	w.str(`,"node":`, m.Node)
	w.str(`,"session":`, m.Session)
	w.str(`,"data":`, string(m.Data))
	w.end(at)
	return w.b
}

// AppendPublication appends p over Protobuf with all its fields, for brokers
// to store and to exchange. See [DecodePublication].
func AppendPublication(dst []byte, p *Publication) []byte {
	w := protoWriter{b: dst, internal: true}
	w.publication(p)
	return w.b
}

// EncodePublication is [AppendPublication] into a slice of its own.
func EncodePublication(p *Publication) []byte {
	return AppendPublication(make([]byte, 0, publicationSize(p)+32), p)
}

// AppendClientInfo appends info over Protobuf, for presence managers and
// brokers. See [DecodeClientInfo].
func AppendClientInfo(dst []byte, info *ClientInfo) []byte {
	w := protoWriter{b: dst, internal: true}
	w.clientInfo(info)
	return w.b
}

// EncodeClientInfo is [AppendClientInfo] into a slice of its own.
func EncodeClientInfo(info *ClientInfo) []byte {
	return AppendClientInfo(make([]byte, 0, 128), info)
}

// Encode encodes r and sets Kind from what it carries. The caller may set
// the kind of an error reply, which does not name its command, before it
// shares the frame. Errors are those of [AppendReply].
func Encode(f Format, r *Reply) (*Encoded, error) {
	b, err := AppendReply(make([]byte, 0, r.sizeGuess(f)), f, r)
	if err != nil {
		return nil, err
	}
	return &Encoded{Bytes: b, Kind: r.Kind()}, nil
}

// sizeGuess is meant to be a little too large for the common messages, so that
// they are allocated once.
func (r *Reply) sizeGuess(f Format) int {
	switch {
	case r.Push != nil && r.Push.Pub != nil:
		return publicationSize(r.Push.Pub) + len(r.Push.Channel) + 128
	case r.Subscribe != nil && r.Subscribe.Range != nil:
		return len(r.Subscribe.Range.encoded(f)) + len(r.Subscribe.Data) + 256
	case r.Subscribe != nil:
		return publicationsSize(r.Subscribe.Publications) + len(r.Subscribe.Data) + 256
	case r.History != nil:
		return publicationsSize(r.History.Publications) + 128
	case r.RPC != nil:
		return len(r.RPC.Data) + 48
	case r.Push == nil && r.Kind() == KindPing:
		return 16
	}
	return 192
}
