package protocol

import "errors"

// Errors of the Append functions.
var (
	// ErrNotJSON reports a payload that CheckJSON refuses, which JSON cannot hold.
	// Reply.OmitNonJSON returns a reply without such payloads.
	ErrNotJSON = errors.New("payload is not valid JSON")
	// ErrNoForm reports a message that does not exist in a format: a reply to a
	// command over a unidirectional transport, a server ping in V1, a push with
	// an id or an error.
	ErrNoForm = errors.New("message has no form in this format")
)

// AppendReply appends r as one message without framing: no newline, no length
// prefix. If several results are set, AppendReply
// writes the first in the order of the fields.
//
// In V1 the result or the push becomes the member result, and the answer to a
// ping has no result. In a unidirectional format the message is the push alone; an
// empty reply is the ping {}.
//
// AppendReply does not allocate if dst has the capacity, and does not keep r. The
// error is [ErrNotJSON] or [ErrNoForm]; dst is then returned unchanged.
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

// AppendPublication appends p in Protobuf with all its fields, for brokers that
// store or exchange publications. [DecodePublication] is the inverse.
func AppendPublication(dst []byte, p *Publication) []byte {
	w := protoWriter{b: dst, internal: true}
	w.publication(p)
	return w.b
}

// EncodePublication is [AppendPublication] to a new slice.
func EncodePublication(p *Publication) []byte {
	return AppendPublication(make([]byte, 0, publicationSize(p)+32), p)
}

// AppendClientInfo appends info in Protobuf, for presence managers and brokers.
// [DecodeClientInfo] is the inverse.
func AppendClientInfo(dst []byte, info *ClientInfo) []byte {
	w := protoWriter{b: dst, internal: true}
	w.clientInfo(info)
	return w.b
}

// EncodeClientInfo is [AppendClientInfo] to a new slice.
func EncodeClientInfo(info *ClientInfo) []byte {
	return AppendClientInfo(make([]byte, 0, 128), info)
}

// Encode encodes r and sets Kind to r.Kind(). An error reply does not name its
// command, so the caller may set Kind before it shares the message. The errors are
// those of [AppendReply].
func Encode(f Format, r *Reply) (*Encoded, error) {
	b, err := AppendReply(make([]byte, 0, r.sizeGuess(f)), f, r)
	if err != nil {
		return nil, err
	}
	return &Encoded{Bytes: b, Kind: r.Kind()}, nil
}

// sizeGuess returns a size that is slightly too large for the common messages, so
// that encoding allocates once.
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
