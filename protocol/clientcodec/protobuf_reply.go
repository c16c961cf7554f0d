package clientcodec

import (
	"centrifugo/protocol"
	"centrifugo/protocol/internal/protoscan"
)

// anyReply reads a reply in the generation and direction of d.
func (r *protoReader) anyReply(to *protocol.Reply, d ReplyDecoder) {
	switch {
	case d.Format.Uni():
		if p := r.push(); *p != (protocol.Push{}) {
			to.Push = p
		}
	case r.v1:
		r.replyV1(to, d)
	default:
		r.reply(to)
	}
}

func (r *protoReader) reply(to *protocol.Reply) {
	outer := r.Enter()
	for r.Field() {
		switch r.Num {
		case 1:
			to.ID = r.Uint32()
		case 2:
			to.Error = r.error()
		case 4:
			to.Push = r.push()
		default:
			r.result(to, kindOfNumber(&resultKinds, r.Num))
		}
	}
	r.Exit(outer)
}

func (r *protoReader) replyV1(to *protocol.Reply, d ReplyDecoder) {
	var result protoscan.Span
	found := false
	outer := r.Enter()
	for r.Field() {
		switch r.Num {
		case 1:
			to.ID = r.Uint32()
		case 2:
			to.Error = r.error()
		case 3:
			result, found = r.Place(), true
		}
	}
	r.Exit(outer)
	if r.Err() != nil {
		return
	}
	kind := d.kindOfAnswer(to)
	if !found {
		setPing(to, kind)
		return
	}
	r.Revisit(result)
	switch {
	case to.ID == 0:
		to.Push = r.push()
	case kind == protocol.KindUnknown:
		r.Fail(protocol.ErrNoForm)
	default:
		r.result(to, kind)
	}
}

func (r *protoReader) push() *protocol.Push {
	p := r.scratch.push()
	outer := r.Enter()
	if r.v1 {
		r.pushV1(p)
		r.Exit(outer)
		return p
	}
	for r.Field() {
		switch r.Num {
		case 1:
			p.ID = int64(r.Uint64())
		case 2:
			p.Channel = r.Str()
		default:
			r.pushed(p, kindOfNumber(&pushKinds, r.Num))
		}
	}
	r.Exit(outer)
	return p
}

// pushV1 reads the fields of a push of V1. The caller has entered the message.
func (r *protoReader) pushV1(p *protocol.Push) {
	var typ int64
	var data protoscan.Span
	for r.Field() {
		switch r.Num {
		case 1:
			typ = int64(r.Uint64())
		case 2:
			p.Channel = r.Str()
		case 3:
			data = r.Place()
		}
	}
	if r.Err() == nil {
		r.Revisit(data)
		r.pushed(p, protocol.KindOfPushType(typ))
	}
}
