package loadtest

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestPayload(t *testing.T) {
	r := newRun(0xdeadbeef)
	for _, size := range []int{MinPayload, MinPayload + 1, 128, 5000} {
		p := newPayloads(r, size, nil)
		want := stamp{0xffffffff, 1<<48 - 1, 1<<62 + 12345}
		b := p.append(nil, want)
		if len(b) != size || !json.Valid(b) {
			t.Errorf("payload of %d bytes, want %d: %s", len(b), size, b)
		}
		i := bytes.Index(b, r.marker())
		got, ok := parseStamp(b[i+len(r.marker()):], true)
		if !ok || got != want {
			t.Errorf("read %+v, %v; want %+v", got, ok, want)
		}
		if bytes.Contains(b, newRun(1).marker()) {
			t.Error("the marker of another run is found; want it unknown")
		}
	}
}

func TestPayloadLines(t *testing.T) {
	p := newPayloads(newRun(1), 0, [][]byte{[]byte(`{"a":1}`), []byte(`"two"`)})
	for number, want := range map[uint64]string{2: `{"a":1}`, 3: `"two"`, 4: `{"a":1}`} {
		var got struct {
			Payload json.RawMessage `json:"payload"`
		}
		if err := json.Unmarshal(p.append(nil, stamp{number: number}), &got); err != nil || string(got.Payload) != want {
			t.Errorf("number %d carries %s, %v; want %s", number, got.Payload, err, want)
		}
	}
}

func TestParseStampMalformed(t *testing.T) {
	good := string(appendHex(nil, 0, stampDigits))
	for _, text := range []string{"", good[:stampDigits-1], "G" + good[1:], good[:10] + "A" + good[11:], good[:stampDigits-1] + `"`} {
		if s, ok := parseStamp([]byte(text), true); ok {
			t.Errorf("%q was read as %+v; want no stamp", text, s)
		}
	}
	if _, ok := parseStamp([]byte(good), true); !ok {
		t.Errorf("parseStamp(%q) = false; want true", good)
	}
}
