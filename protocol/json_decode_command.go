package protocol

import "math"

func (r *jsonReader) command(c *Command) {
	for ok := r.Object(); ok && r.Field(); {
		if string(r.Key) == "id" {
			c.ID = uint32(r.Uint(math.MaxUint32))
		} else if kind := kindOfRequest(r.Key); kind != KindUnknown {
			r.request(c, kind)
		} else {
			r.Unknown()
		}
	}
}

// commandV1 reads the whole envelope before params, because the method, which
// determines their type, may follow them.
func (r *jsonReader) commandV1(to *Command, draft bool) {
	c := v1Command{kind: KindConnect}
	params := 0
	for ok := r.Object(); ok && r.Field(); {
		switch string(r.Key) {
		case "id":
			c.id = uint32(r.Uint(math.MaxUint32))
		case "method":
			c.kind, c.badName = r.method(draft)
		case "params":
			if c.params = !r.Null(); c.params {
				params = r.Pos()
				r.Skip()
			}
		default:
			r.Unknown()
		}
	}
	if r.Err() != nil {
		return
	}
	if err := c.check(); err != nil {
		r.Fail(err)
		return
	}
	if c.params {
		r.Seek(params)
		r.request(to, c.kind)
	}
	c.fill(to)
}

// method reads a method as a number or a name. It reports an unknown name as bad,
// but not an unknown number (protocol.md 8.2).
func (r *jsonReader) method(draft bool) (kind MessageKind, badName bool) {
	if r.Peek() != '"' {
		return kindOfMethod(r.Int(math.MaxInt64), draft), false
	}
	kind = kindOfMethodName(r.Str(), draft)
	return kind, kind == KindUnknown
}

// envelope records which members a command has.
func (r *jsonReader) envelope(seen *envelope) {
	for ok := r.Object(); ok && r.Field(); {
		r.LowerKey()
		switch {
		case string(r.Key) == "id":
			seen.id = true
		case string(r.Key) == "params", string(r.Key) == "method":
			seen.v1 = true
		case kindOfRequest(r.Key) != KindUnknown:
			seen.v2 = true
		default:
			seen.other = true
		}
		r.Skip()
	}
}

// uint32V1 reads a field that only V1 has. In V2 the field is unknown.
func (r *jsonReader) uint32V1() uint32 {
	if !r.v1 {
		r.Skip()
		return 0
	}
	return uint32(r.Uint(math.MaxUint32))
}
