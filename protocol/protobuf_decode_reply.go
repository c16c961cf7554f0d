package protocol

// anyReply reads a reply in the generation and direction of d.
func (r *protoReader) anyReply(to *Reply, d ReplyDecoder) {
	switch {
	case d.Format.Uni():
		if p := r.push(); *p != (Push{}) {
			to.Push = p
		}
	case r.v1:
		r.replyV1(to, d)
	default:
		r.reply(to)
	}
}

func (r *protoReader) reply(to *Reply) {
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			to.ID = r.uint32()
		case 2:
			to.Error = r.error()
		case 4:
			to.Push = r.push()
		default:
			r.result(to, kindOfNumber(&resultKinds, r.num))
		}
	}
	r.exit(outer)
}

func (r *protoReader) replyV1(to *Reply, d ReplyDecoder) {
	var result span
	found := false
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			to.ID = r.uint32()
		case 2:
			to.Error = r.error()
		case 3:
			result, found = r.place(), true
		}
	}
	r.exit(outer)
	if r.err != nil {
		return
	}
	kind := d.kindOfResult(to)
	if !found {
		to.setPing(kind)
		return
	}
	r.revisit(result)
	switch {
	case to.ID == 0:
		to.Push = r.push()
	case kind == KindUnknown:
		r.fail(ErrNoForm)
	default:
		r.result(to, kind)
	}
}

func (r *protoReader) push() *Push {
	p := r.replyScratch.push()
	outer := r.enter()
	if r.v1 {
		r.pushV1(p)
		r.exit(outer)
		return p
	}
	for r.field() {
		switch r.num {
		case 1:
			p.ID = int64(r.uint64())
		case 2:
			p.Channel = r.str()
		default:
			r.pushed(p, kindOfNumber(&pushKinds, r.num))
		}
	}
	r.exit(outer)
	return p
}

// pushV1 reads the fields of a push of V1. The caller has entered the message.
func (r *protoReader) pushV1(p *Push) {
	var typ int64
	var data span
	for r.field() {
		switch r.num {
		case 1:
			typ = int64(r.uint64())
		case 2:
			p.Channel = r.str()
		case 3:
			data = r.place()
		}
	}
	if r.err == nil {
		r.revisit(data)
		r.pushed(p, kindOfPushType(typ))
	}
}
