package loadtest

import (
	"bytes"
	"encoding/json"

	"centrifugo/internal/fossil"
	"centrifugo/protocol"
)

// deltaFossil is the only kind of deltas (protocol.md 6.7).
const deltaFossil = "fossil"

// deltaPublication takes a publication of a subscription with deltas. It keeps the
// payload, because the next one may be a difference to it.
func (f *fleet) deltaPublication(c *client, pub *protocol.Publication) {
	data := []byte(pub.Data)
	if !f.format.Protobuf() {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			f.fail(c, Cause{Kind: causeDelta, Reason: "the payload is no JSON string"})
			return
		}
		data = []byte(text)
	}
	if pub.Delta {
		var err error
		if data, err = fossil.Apply(c.base, data, MaxPayload); err != nil {
			f.fail(c, Cause{Kind: causeDelta, Reason: err.Error()})
			return
		}
	}
	c.base = append(c.base[:0], data...)
	if i := bytes.Index(data, f.marker); i >= 0 {
		f.publication(c, data[i+len(f.marker):])
		return
	}
	f.tally.Foreign++
}
