package protocol

func (r *protoReader) command(c *Command) {
	outer := r.enter()
	for r.field() {
		if r.num == 1 {
			c.ID = r.uint32()
		} else if kind := kindOfNumber(&requestKinds, r.num); kind != KindUnknown {
			r.request(c, kind)
		}
	}
	r.exit(outer)
}

func (r *protoReader) commandV1(to *Command, draft bool) {
	c := v1Command{kind: KindConnect}
	var params span
	outer := r.enter()
	for r.field() {
		switch r.num {
		case 1:
			c.id = r.uint32()
		case 2:
			c.kind = kindOfMethod(int64(r.uint64()), draft)
		case 3:
			params, c.params = r.place(), true
		}
	}
	r.exit(outer)
	if r.err != nil {
		return
	}
	if err := c.check(); err != nil {
		r.fail(err)
		return
	}
	if c.params {
		r.revisit(params)
		r.request(to, c.kind)
	}
	c.fill(to)
}

// envelope records which fields a command has.
func (r *protoReader) envelope(seen *envelope) {
	outer := r.enter()
	for r.field() {
		switch {
		case r.num == 1:
			seen.id = true
		case r.num == 2 || r.num == 3:
			seen.v1 = true
		case kindOfNumber(&requestKinds, r.num) != KindUnknown:
			seen.v2 = true
		default:
			seen.other = true
		}
	}
	r.exit(outer)
}

// uint32V1 reads a field that only V1 has. In V2 the field is unknown.
func (r *protoReader) uint32V1() uint32 {
	if !r.v1 {
		return 0
	}
	return r.uint32()
}
