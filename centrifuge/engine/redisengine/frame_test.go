package redisengine

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// The fixtures are written out byte by byte: they are the layout of other programs
// (server.md 10.3).
func TestDecodeMessage(t *testing.T) {
	pub := &centrifuge.Publication{Data: []byte(`{"a":1}`)}
	const encoded = "\x22\x07{\"a\":1}"
	at := func(offset uint64) *centrifuge.Publication {
		p := *pub
		p.Offset = offset
		return &p
	}
	info := &centrifuge.ClientInfo{User: "42", Client: "c1", ConnInfo: []byte(`{}`)}
	const encodedInfo = "\x0a\x0242\x12\x02c1\x1a\x02{}"
	for _, c := range []struct {
		name, message string
		want          message
	}{
		{"no position", encoded, message{pub: pub}},
		{"position", "__p1:16:abcdEFGH__" + encoded, message{pub: at(16), epoch: "abcdEFGH"}},
		{"largest offset", "__p1:18446744073709551615:e__" + encoded, message{pub: at(1<<64 - 1), epoch: "e"}},
		{"delta", "__d1:3:xyz:5:\x22\x03old:9:" + encoded, message{pub: at(3), epoch: "xyz", prev: []byte("old")}},
		{"first delta", "__d1:1:xyz:0::9:" + encoded, message{pub: at(1), epoch: "xyz"}},
		{"colons in payloads", "__d1:2:e:6:\x22\x04:5::" + ":6:\x22\x04__:_", message{pub: &centrifuge.Publication{Data: []byte("__:_"), Offset: 2}, epoch: "e", prev: []byte(":5::")}},
		{"join", "__j__" + encodedInfo, message{join: info}},
		{"leave", "__l__" + encodedInfo, message{leave: info}},
		{"with info and tags", "\x22\x01x\x2a\x06\x0a\x01u\x12\x01c\x3a\x06\x0a\x01k\x12\x01v", message{pub: &centrifuge.Publication{
			Data: []byte("x"), Info: &centrifuge.ClientInfo{User: "u", Client: "c"}, Tags: map[string]string{"k": "v"},
		}}},
	} {
		got, err := decodeMessage([]byte(c.message))
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v; want %+v", c.name, got, err, c.want)
		}
	}
	if got := hex.EncodeToString(joinMessage(info)); got != hex.EncodeToString([]byte("__j__"+encodedInfo)) {
		t.Errorf("join is %s; want %x", got, "__j__"+encodedInfo)
	}
	if got := hex.EncodeToString(leaveMessage(info)); got != hex.EncodeToString([]byte("__l__"+encodedInfo)) {
		t.Errorf("leave is %s; want %x", got, "__l__"+encodedInfo)
	}
	if got := string(protocol.EncodePublication(pub)); got != encoded {
		t.Errorf("publication is %q, want %q", got, encoded)
	}
}

func TestDecodeMalformed(t *testing.T) {
	for _, m := range []string{
		"__p1:", "__p1:1", "__p1:1:", "__p1:1:e", "__p1:1:e_", "__p1:x:e__", "__p1:-1:e__", "__p1::e__",
		"__p1:18446744073709551616:e__", "__p1:1:" + strings.Repeat("e", 65) + "__", "__p1:1:e__\x22\x05x",
		"__d1:1:e:5:abc", "__d1:1:e:3:abc", "__d1:1:e:3:abc:", "__d1:1:e:0::1:", "__d1:1:e:0::0:x", "__d1:1:e:0:0:",
		"__d1:1:e:99999999999999999999:x", "__d1:1:e:18446744073709551615:x", "__d1:1:e:3:\xff\xff\xff:0:",
		"__j__\x0a\x05x", "__l__\xff", "__x__", "\x22\xff\xff\xff\xff\x0f",
	} {
		if got, err := decodeMessage([]byte(m)); err == nil {
			t.Errorf("decodeMessage(%q) = %+v, want an error", m, got)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	for _, seed := range []string{
		"", "\x22\x07{\"a\":1}", "__p1:16:abcdEFGH__\x22\x01x", "__d1:3:xyz:5:\x22\x03old:3:\x22\x01x", "__j__\x0a\x0242", "__l__\x0a\x0242",
		"__d1:1:e:18446744073709551615:x", "__p1:1:__", "__d1:1::0::0:",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeMessage(b)
		if err != nil {
			return
		}
		n := 0
		for _, set := range []bool{m.pub != nil, m.join != nil, m.leave != nil} {
			if set {
				n++
			}
		}
		if n != 1 || len(m.epoch) > maxEpoch {
			t.Fatalf("decodeMessage(%q) = %+v; want n 1 and len(epoch) at most %v", b, m, maxEpoch)
		}
		if m.pub != nil && len(m.prev)+len(m.pub.Data) > len(b) {
			t.Fatalf("decodeMessage(%q) has %d bytes; want at most %d", b, len(m.prev)+len(m.pub.Data), len(b))
		}
	})
}
