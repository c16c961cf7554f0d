package protocol

import "math"

func (r *jsonReader) command(c *Command) {
	for ok := r.object(); ok && r.field(); {
		if string(r.key) == "id" {
			c.ID = uint32(r.uint(math.MaxUint32))
		} else if kind := kindOfRequest(r.key); kind != KindUnknown {
			r.request(c, kind)
		} else {
			r.unknown()
		}
	}
}

// commandV1 checks the envelope first: only its method says what params are,
// and it may stand behind them.
func (r *jsonReader) commandV1(to *Command, draft bool) {
	c := v1Command{kind: KindConnect}
	params := 0
	for ok := r.object(); ok && r.field(); {
		switch string(r.key) {
		case "id":
			c.id = uint32(r.uint(math.MaxUint32))
		case "method":
			c.kind, c.badName = r.method(draft)
		case "params":
			if c.params = !r.null(); c.params {
				params = r.i
				r.skip()
			}
		default:
			r.unknown()
		}
	}
	if r.err != nil {
		return
	}
	if err := c.check(); err != nil {
		r.fail(err)
		return
	}
	if c.params {
		r.i = params
		r.request(to, c.kind)
	}
	c.fill(to)
}

// method reads a method as number or as name. An unknown name is bad, an
// unknown number only unknown (client-protocol 2.2).
func (r *jsonReader) method(draft bool) (kind MessageKind, badName bool) {
	if r.peek() != '"' {
		return kindOfMethod(r.int(math.MaxInt64), draft), false
	}
	kind = kindOfMethodName(r.str(), draft)
	return kind, kind == KindUnknown
}

// envelope notes which members a command has.
func (r *jsonReader) envelope(seen *envelope) {
	for ok := r.object(); ok && r.field(); {
		r.lowerKey()
		switch {
		case string(r.key) == "id":
			seen.id = true
		case string(r.key) == "params", string(r.key) == "method":
			seen.v1 = true
		case kindOfRequest(r.key) != KindUnknown:
			seen.v2 = true
		default:
			seen.other = true
		}
		r.skip()
	}
}

// finish checks that nothing but white space is left, and returns the error.
func (r *jsonReader) finish() error {
	if r.err == nil && skipSpace(r.b, r.i) != len(r.b) {
		r.fail(ErrMalformed)
	}
	return r.err
}

// uint32V1 reads a field that only V1 has; in V2 it is an unknown one.
func (r *jsonReader) uint32V1() uint32 {
	if !r.v1 {
		r.skip()
		return 0
	}
	return uint32(r.uint(math.MaxUint32))
}
