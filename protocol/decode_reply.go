package protocol

// The functions of this file are for clients. A server does not need them.

// DecodeReply decodes one message without framing, of V2 or of a unidirectional
// transport. See [ReplyDecoder] for V1.
func DecodeReply(f Format, message []byte) (*Reply, error) {
	return ReplyDecoder{Format: f}.Decode(message)
}

// A ReplyDecoder decodes replies.
type ReplyDecoder struct {
	Format Format
	// Kind returns the kind of the command with this id. Replies of V1 do not hold
	// it. V2 does not use it, so it may be nil.
	Kind func(id uint32) MessageKind
	// Scratch, if not nil, holds the decoded reply until the next Decode.
	Scratch *ReplyScratch
}

// Decode decodes one message without framing. Payloads and strings are slices of
// message, as those of Decoder.Next are. The error wraps [ErrMalformed], or is
// [ErrNoForm] when a V1 result answers a command that Kind does not know.
func (d ReplyDecoder) Decode(message []byte) (*Reply, error) {
	reply := d.Scratch.begin()
	var err error
	if d.Format.Protobuf() {
		r := newProtoReader(message, trusted)
		r.replyScratch = d.Scratch
		r.v1 = d.Format.V1()
		r.anyReply(reply, d)
		err = r.err
	} else {
		r := newJSONReader(message, trusted)
		r.replyScratch = d.Scratch
		r.v1 = d.Format.V1()
		r.anyReply(reply, d)
		err = r.Err()
	}
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// kindOfResult returns the kind of the result of a V1 reply.
func (d ReplyDecoder) kindOfResult(r *Reply) MessageKind {
	if d.Kind == nil || r.ID == 0 {
		return KindUnknown
	}
	return d.Kind(r.ID)
}

// setPing completes the answer to a V1 ping, which has no result.
func (r *Reply) setPing(kind MessageKind) {
	if kind == KindPing && r.Error == nil {
		r.Ping = new(PingResult)
	}
}
