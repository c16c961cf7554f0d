package clientcodec

import (
	"math"

	"centrifugo/protocol"
)

// anyReply reads a reply in the generation and direction of d.
func (r *jsonReader) anyReply(to *protocol.Reply, d ReplyDecoder) {
	switch {
	case d.Format.Uni():
		if p := r.push(); p != nil && *p != (protocol.Push{}) {
			to.Push = p
		}
	case r.v1:
		r.replyV1(to, d)
	default:
		r.reply(to)
	}
}

func (r *jsonReader) reply(to *protocol.Reply) {
	for ok := r.Object(); ok && r.Field(); {
		switch string(r.Key) {
		case "id":
			to.ID = uint32(r.Uint(math.MaxUint32))
		case "error":
			to.Error = r.error()
		case "push":
			to.Push = r.push()
		default:
			if kind := kindOfResult(r.Key); kind != protocol.KindUnknown {
				r.result(to, kind)
			} else {
				r.Unknown()
			}
		}
	}
}

func (r *jsonReader) replyV1(to *protocol.Reply, d ReplyDecoder) {
	result := -1
	for ok := r.Object(); ok && r.Field(); {
		switch string(r.Key) {
		case "id":
			to.ID = uint32(r.Uint(math.MaxUint32))
		case "error":
			to.Error = r.error()
		case "result":
			r.Peek()
			result = r.Pos()
			r.Skip()
		default:
			r.Unknown()
		}
	}
	if r.Err() != nil {
		return
	}
	kind := d.kindOfAnswer(to)
	if result < 0 {
		setPing(to, kind)
		return
	}
	r.Seek(result)
	switch {
	case to.ID == 0:
		to.Push = r.push()
	case kind == protocol.KindUnknown:
		r.Fail(protocol.ErrNoForm)
	default:
		r.result(to, kind)
	}
}

func (r *jsonReader) push() *protocol.Push {
	if !r.Object() {
		return nil
	}
	p := r.scratch.push()
	if r.v1 {
		r.pushV1(p)
		return p
	}
	for r.Field() {
		switch string(r.Key) {
		case "id":
			p.ID = r.Int(math.MaxInt64)
		case "channel":
			p.Channel = r.Str()
		default:
			if kind := kindOfPush(r.Key); kind != protocol.KindUnknown {
				r.pushed(p, kind)
			} else {
				r.Unknown()
			}
		}
	}
	return p
}

// pushV1 reads the fields of a push of V1. The caller has entered the object.
func (r *jsonReader) pushV1(p *protocol.Push) {
	typ, data := int64(0), -1
	for r.Field() {
		switch string(r.Key) {
		case "type":
			typ = r.Int(math.MaxInt64)
		case "channel":
			p.Channel = r.Str()
		case "data":
			r.Peek()
			data = r.Pos()
			r.Skip()
		default:
			r.Unknown()
		}
	}
	if end := r.Pos(); r.Err() == nil && data >= 0 {
		r.Seek(data)
		r.pushed(p, protocol.KindOfPushType(typ))
		r.Seek(end)
	}
}
