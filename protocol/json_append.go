package protocol

func (w *jsonWriter) command(c *Command) {
	at := len(w.b)
	w.uint(`,"id":`, uint64(c.ID))
	kind := c.Kind()
	switch {
	case w.v1:
		method, _ := methodOf(kind)
		w.uint(`,"method":`, method)
		if kind != KindPing {
			w.key(`,"params":`)
			w.request(c, kind)
		}
	case requestNumbers[kind] != 0:
		w.key(memberKeys[kind])
		w.request(c, kind)
	}
	w.end(at)
}

func (w *jsonWriter) reply(r *Reply) {
	if r.Push != nil && r.ID == 0 && r.Error == nil {
		if w.v1 {
			w.key(`{"result":`)
		} else {
			w.key(`{"push":`)
		}
		w.push(r.Push)
		w.b = append(w.b, '}')
		return
	}
	at := len(w.b)
	w.uint(`,"id":`, uint64(r.ID))
	if r.Error != nil {
		w.key(`,"error":`)
		w.error(r.Error)
	}
	switch kind := r.Kind(); {
	case resultNumbers[kind] == 0 || kind == KindPing && (r.Ping == nil || w.v1):
	case w.v1:
		w.key(`,"result":`)
		w.result(r, kind)
	default:
		w.key(memberKeys[kind])
		w.result(r, kind)
	}
	w.end(at)
}

func (w *jsonWriter) push(p *Push) {
	at := len(w.b)
	kind := p.Kind()
	if w.v1 {
		w.uint(`,"type":`, pushTypeOf(kind))
	}
	if p.ID > 0 {
		w.int(`,"id":`, p.ID)
	} else {
		w.str(`,"channel":`, p.Channel)
	}
	switch {
	case kind == KindUnknown:
	case w.v1:
		w.key(`,"data":`)
		w.pushed(p, kind)
	default:
		w.key(memberKeys[kind])
		w.pushed(p, kind)
	}
	w.end(at)
}
