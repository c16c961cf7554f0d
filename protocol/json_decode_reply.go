package protocol

import "math"

// anyReply reads a reply in the generation and direction of d.
func (r *jsonReader) anyReply(to *Reply, d ReplyDecoder) {
	switch {
	case d.Format.Uni():
		if p := r.push(); p != nil && *p != (Push{}) {
			to.Push = p
		}
	case r.v1:
		r.replyV1(to, d)
	default:
		r.reply(to)
	}
}

func (r *jsonReader) reply(to *Reply) {
	for ok := r.object(); ok && r.field(); {
		switch string(r.key) {
		case "id":
			to.ID = uint32(r.uint(math.MaxUint32))
		case "error":
			to.Error = r.error()
		case "push":
			to.Push = r.push()
		default:
			if kind := kindOfRequest(r.key); kind != KindUnknown && kind != KindSend {
				r.result(to, kind)
			} else {
				r.unknown()
			}
		}
	}
}

func (r *jsonReader) replyV1(to *Reply, d ReplyDecoder) {
	result := -1
	for ok := r.object(); ok && r.field(); {
		switch string(r.key) {
		case "id":
			to.ID = uint32(r.uint(math.MaxUint32))
		case "error":
			to.Error = r.error()
		case "result":
			r.peek()
			result = r.i
			r.skip()
		default:
			r.unknown()
		}
	}
	if r.err != nil {
		return
	}
	kind := d.kindOfResult(to)
	if result < 0 {
		to.setPing(kind)
		return
	}
	r.i = result
	switch {
	case to.ID == 0:
		to.Push = r.push()
	case kind == KindUnknown:
		r.fail(ErrNoForm)
	default:
		r.result(to, kind)
	}
}

func (r *jsonReader) push() *Push {
	if !r.object() {
		return nil
	}
	p := r.replyScratch.push()
	if r.v1 {
		r.pushV1(p)
		return p
	}
	for r.field() {
		switch string(r.key) {
		case "id":
			p.ID = r.int(math.MaxInt64)
		case "channel":
			p.Channel = r.str()
		default:
			if kind := kindOfPush(r.key); kind != KindUnknown {
				r.pushed(p, kind)
			} else {
				r.unknown()
			}
		}
	}
	return p
}

// pushV1 reads the fields of a push of V1; its object has been entered.
func (r *jsonReader) pushV1(p *Push) {
	typ, data := int64(0), -1
	for r.field() {
		switch string(r.key) {
		case "type":
			typ = r.int(math.MaxInt64)
		case "channel":
			p.Channel = r.str()
		case "data":
			r.peek()
			data = r.i
			r.skip()
		default:
			r.unknown()
		}
	}
	if end := r.i; r.err == nil && data >= 0 {
		r.i = data
		r.pushed(p, kindOfPushType(typ))
		r.i = end
	}
}
