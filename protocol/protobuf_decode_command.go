package protocol

import "centrifugo/protocol/internal/protoscan"

func (r *protoReader) command(c *Command) {
	outer := r.Enter()
	for r.Field() {
		if r.Num == 1 {
			c.ID = r.Uint32()
		} else if kind := kindOfNumber(&requestKinds, r.Num); kind != KindUnknown {
			r.request(c, kind)
		}
	}
	r.Exit(outer)
}

func (r *protoReader) commandV1(to *Command, draft bool) {
	c := v1Command{kind: KindConnect}
	var params protoscan.Span
	outer := r.Enter()
	for r.Field() {
		switch r.Num {
		case 1:
			c.id = r.Uint32()
		case 2:
			c.kind = kindOfMethod(int64(r.Uint64()), draft)
		case 3:
			params, c.params = r.Place(), true
		}
	}
	r.Exit(outer)
	if r.Err() != nil {
		return
	}
	if err := c.check(); err != nil {
		r.Fail(err)
		return
	}
	if c.params {
		r.Revisit(params)
		r.request(to, c.kind)
	}
	c.fill(to)
}

// envelope records which fields a command has.
func (r *protoReader) envelope(seen *envelope) {
	outer := r.Enter()
	for r.Field() {
		switch {
		case r.Num == 1:
			seen.id = true
		case r.Num == 2 || r.Num == 3:
			seen.v1 = true
		case kindOfNumber(&requestKinds, r.Num) != KindUnknown:
			seen.v2 = true
		default:
			seen.other = true
		}
	}
	r.Exit(outer)
}

// uint32V1 reads a field that only V1 has. In V2 the field is unknown.
func (r *protoReader) uint32V1() uint32 {
	if !r.v1 {
		return 0
	}
	return r.Uint32()
}
