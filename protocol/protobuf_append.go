package protocol

import "google.golang.org/protobuf/encoding/protowire"

func (w *protoWriter) command(c *Command) {
	w.uint(1, uint64(c.ID))
	kind := c.Kind()
	num := requestNumbers[kind]
	if w.v1 {
		method, _ := methodOf(kind)
		w.uint(2, method)
		num = 3
		if kind == KindPing {
			return
		}
	}
	if num == 0 {
		return
	}
	at := w.open(num)
	w.request(c, kind)
	w.close(at)
}

func (w *protoWriter) reply(r *Reply) {
	w.uint(1, uint64(r.ID))
	if r.Error != nil {
		at := w.open(2)
		w.error(r.Error)
		w.close(at)
	}
	if r.Push != nil {
		num := protowire.Number(4)
		if w.v1 {
			num = 3
		}
		at := w.openSized(num, pushSize(r.Push))
		w.push(r.Push)
		w.close(at)
		return
	}
	kind := r.Kind()
	num := resultNumbers[kind]
	if num == 0 || kind == KindPing && (r.Ping == nil || w.v1) {
		return
	}
	if w.v1 {
		num = 3
	}
	at := w.open(num)
	w.result(r, kind)
	w.close(at)
}

// pushSize estimates the encoded size of a push.
func pushSize(p *Push) int {
	if p.Pub == nil {
		return 0
	}
	return publicationSize(p.Pub) + len(p.Channel) + 4
}

func (w *protoWriter) push(p *Push) {
	kind := p.Kind()
	num := pushNumbers[kind]
	if w.v1 {
		w.uint(1, pushTypeOf(kind))
		num = 3
	}
	if p.ID > 0 {
		w.uint(1, uint64(p.ID))
	} else {
		w.str(2, p.Channel)
	}
	if num == 0 {
		return
	}
	guess := 0
	if p.Pub != nil {
		guess = publicationSize(p.Pub)
	}
	at := w.openSized(num, guess)
	w.pushed(p, kind)
	w.close(at)
}

// subscribeResultPublications is the number of the field that an EncodedRange holds.
const subscribeResultPublications = 7
