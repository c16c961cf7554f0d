package clientcodec

import (
	"math"

	"centrifugo/internal/jsonscan"
	"centrifugo/protocol"
)

// DecodeReply decodes one message without framing, of V2 or of a unidirectional
// transport. See [ReplyDecoder] for V1.
func DecodeReply(f protocol.Format, message []byte) (*protocol.Reply, error) {
	return ReplyDecoder{Format: f}.Decode(message)
}

// A ReplyDecoder decodes replies.
type ReplyDecoder struct {
	Format protocol.Format
	// Kind returns the kind of the command with this id. Replies of V1 do not hold
	// it. V2 does not use it, so it may be nil.
	Kind func(id uint32) protocol.MessageKind
	// Scratch, if not nil, holds the decoded reply until the next Decode.
	Scratch *ReplyScratch
}

// Decode decodes one message without framing. Payloads and strings are slices of
// message, as those of [protocol.Decoder.Next] are. The error wraps [protocol.ErrMalformed], or is
// [protocol.ErrNoForm] when a V1 result answers a command that Kind does not know.
func (d ReplyDecoder) Decode(message []byte) (*protocol.Reply, error) {
	reply := d.Scratch.begin()
	var err error
	if d.Format.Protobuf() {
		r := protoReader{v1: d.Format.V1(), scratch: d.Scratch}
		r.Init(message, protocol.MaxDepth, math.MaxInt)
		r.anyReply(reply, d)
		err = r.Err()
	} else {
		r := jsonReader{jsonscan.NewReader(message, protocol.MaxDepth, math.MaxInt), d.Format.V1(), d.Scratch}
		r.anyReply(reply, d)
		err = r.Err()
	}
	if err != nil {
		return nil, err
	}
	return reply, nil
}

// kindOfAnswer returns the kind of the result of a V1 reply.
func (d ReplyDecoder) kindOfAnswer(r *protocol.Reply) protocol.MessageKind {
	if d.Kind == nil || r.ID == 0 {
		return protocol.KindUnknown
	}
	return d.Kind(r.ID)
}

// setPing completes the answer to a V1 ping, which has no result.
func setPing(r *protocol.Reply, kind protocol.MessageKind) {
	if kind == protocol.KindPing && r.Error == nil {
		r.Ping = new(protocol.PingResult)
	}
}
