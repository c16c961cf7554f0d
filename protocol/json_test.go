package protocol_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"centrifugo/internal/jsonscan"
	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

var jsonValues = []string{
	``, ` `, `{}`, `[]`, `null`, ` true `, `false`, `tru`, `nul`, `nulll`, `0`, `-0`, `-`, `01`, `1.`, `.1`, `1.5e`, `1.5e+`, `1.5E-10`, `1e5x`,
	`""`, `"`, `"a`, `"\"`, `"\\"`, `"\u00e9"`, `"\u00g9"`, `"\u00e"`, `"é"`, "\"\xff\"", "\"\x1f\"", "\"\x7f\"", `"12345678"`, `"1234567\"8"`,
	`[1,2]`, `[1,]`, `[,]`, `[1 2]`, `[`, `]`, `{"a":1}`, `{"a":1,}`, `{"a"}`, `{"a":}`, `{a:1}`, `{"a":1]`, `[1}`, `{"a":{"b":[{},[],"c"]}}`,
	` { "a" : [ 1 , { "b" : null } ] } `, "{\n\t\"a\":\r1}", `{} {}`, `{}]`, "\xef\xbb\xbf{}", "\x00", `{"a":"` + strings.Repeat("é", 20) + `"}`,
	`[[[[[[[[[[[[[]]]]]]]]]]]]]`, `{"a":1}}`, `[1]]`,
}

// stdValid is ValidJSON as documented, but for the depth.
func stdValid(b []byte) bool { return json.Valid(b) && utf8.Valid(b) }

func TestValidJSON(t *testing.T) {
	for _, value := range jsonValues {
		if got, want := ValidJSON([]byte(value)), stdValid([]byte(value)); got != want {
			t.Errorf("ValidJSON(%q) = %t; want %v", value, got, want)
		}
	}
	for _, bracket := range []string{"[]", `{"a":1}`} {
		open := strings.TrimSuffix(bracket[:len(bracket)-1], "1")
		closing := bracket[len(bracket)-1:]
		for depth, want := range map[int]bool{63: true, 64: true, 65: true, 128: true, MaxDepth: true, MaxDepth + 1: false, 100000: false} {
			value := strings.Repeat(open, depth) + "0" + strings.Repeat(closing, depth)
			if got := ValidJSON([]byte(value)); got != want {
				t.Errorf("%s %d deep: %t; want %v", bracket, depth, got, want)
			}
			// Brackets that do not match must be found at any depth.
			if depth <= MaxDepth && ValidJSON([]byte(strings.Repeat(open, depth)+"0"+strings.Repeat(closing, depth-1)+"]}"[1-strings.Index("]}", closing):][:1])) {
				t.Errorf("%s %d deep with another last bracket is valid; want it invalid", bracket, depth)
			}
		}
	}
}

// TestEmbeddedPayloads checks that an embedded payload is valid and stays on a line.
func TestEmbeddedPayloads(t *testing.T) {
	for _, value := range jsonValues {
		for name, reply := range map[string]*Reply{
			"push":     {Push: &Push{Pub: &Publication{Data: Raw(value)}}},
			"info":     {Push: &Push{Join: &Join{Info: &ClientInfo{ConnInfo: Raw(value)}}}},
			"connect":  {ID: 1, Connect: &ConnectResult{Data: Raw(value)}},
			"history":  {ID: 1, History: &HistoryResult{Publications: []*Publication{{Data: Raw("1")}, {Data: Raw(value)}}}},
			"presence": {ID: 1, Presence: &PresenceResult{Presence: map[string]*ClientInfo{"c": {ChanInfo: Raw(value)}}}},
		} {
			prefix := []byte("before")
			got, err := AppendReply(prefix, 0, reply)
			if valid := value == "" || stdValid([]byte(value)); valid != (err == nil) {
				t.Errorf("%s %q: error %v; want %v", name, value, err, err == nil)
			}
			if err != nil {
				if !errors.Is(err, ErrNotJSON) || string(got) != "before" {
					t.Errorf("%s %q: %q, %v; want %v and \"before\"", name, value, got, err, ErrNotJSON)
				}
				if _, err := Encode(0, reply); !errors.Is(err, ErrNotJSON) {
					t.Errorf("%s %q: Encode: %v; want %v", name, value, err, ErrNotJSON)
				}
				continue
			}
			if line := got[len(prefix):]; !json.Valid(line) || strings.ContainsRune(string(line), '\n') {
				t.Errorf("%s %q: got %q; want one line of JSON", name, value, line)
			}
			if _, err := AppendReply(nil, FormatProtobuf, reply); err != nil {
				t.Errorf("%s %q: Protobuf: %v", name, value, err)
			}
		}
	}
}

var texts = []string{
	"", "a", "1234567", "12345678", "123456789", "1234567\"", "12345678\"", "\"12345678", "1234\\5678", "<script>&", "tab\tnewline\ncr\r",
	"\x00\x01\x1f\x7f\b\f", "é日本語😀", "\u2028\u2029", "bad\xff\xfeutf8", "\xe2\x80", "\xed\xa0\x80", strings.Repeat("x", 100) + "<", "a\u00a0bcdefgh\u2028",
}

// TestAppendJSONString compares with encoding/json.
func TestAppendJSONString(t *testing.T) {
	for _, text := range texts {
		checkJSONString(t, text)
	}
}

func checkJSONString(t *testing.T, text string) {
	t.Helper()
	want, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	got := AppendJSONString(make([]byte, 3, 4), text)
	if string(got[3:]) != string(want) {
		t.Errorf("%q: %s, want %s", text, got[3:], want)
	}
	r := jsonscan.NewReader(got[3:], MaxDepth, 0)
	if back, err := r.Str(), r.Finish(); err != nil || back != strings.ToValidUTF8(text, "\uFFFD") && utf8.ValidString(text) {
		t.Errorf("%q: decoded %q, %v; want the text", text, back, err)
	}
}

// TestTextOfProtobuf checks that strings stay valid UTF-8, as proto3 requires.
func TestTextOfProtobuf(t *testing.T) {
	for _, text := range texts {
		b := encoded(t, FormatProtobuf, &Reply{Push: &Push{Channel: text, Disconnect: &Disconnect{Reason: text}}})
		reply, err := DecodeReply(FormatProtobuf, b)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if want := strings.ToValidUTF8(text, "\uFFFD"); reply.Push.Channel != want || reply.Push.Disconnect.Reason != want {
			t.Errorf("%q: %q; want %v and reply.Push.Disconnect.Reason %v", text, reply.Push.Channel, want, want)
		}
	}
}

// TestLengths moves nested lengths across all boundaries of varints.
func TestLengths(t *testing.T) {
	for _, size := range []int{0, 1, 90, 100, 110, 120, 125, 126, 127, 128, 129, 16000, 16370, 16383, 16384, 16385, 2097100, 2097152, 2097200} {
		data := Raw(strings.Repeat("x", size))
		for _, reply := range []*Reply{
			{Push: &Push{Channel: "c", Pub: &Publication{Data: data, Tags: map[string]string{"k": string(data)}}}},
			{ID: 1, RPC: &RPCResult{Data: data}},
			{ID: 1, Subscribe: &SubscribeResult{Data: data, State: []*Publication{{Data: data, Key: "k"}, nil}}},
		} {
			for _, f := range []Format{FormatProtobuf, FormatProtobuf | FormatV1} {
				frame, err := Encode(f, reply)
				if err != nil {
					t.Fatal(err)
				}
				decoder := ReplyDecoder{Format: f, Kind: func(uint32) MessageKind { return reply.Kind() }}
				got, err := decoder.Decode(frame.Bytes)
				if err != nil {
					t.Fatalf("%d bytes: %v", size, err)
				}
				if again := encoded(t, f, got); string(again) != string(frame.Bytes) {
					t.Errorf("%d bytes: the second time encoded as %.200q; want %.200q, as the first time", size, again, frame.Bytes)
				}
				if pub := got.Push; pub != nil && string(pub.Pub.Data) != string(data) {
					t.Errorf("%d bytes: decoded data %.200q; want %.200q", size, pub.Pub.Data, data)
				}
			}
		}
	}
}

// TestEncodeAllocations checks that encoding into a large buffer does not allocate.
func TestEncodeAllocations(t *testing.T) {
	dst := make([]byte, 0, 64<<10)
	for _, f := range allFormats() {
		for _, s := range replySamples() {
			if s.message.HasForm(f) {
				n := testing.AllocsPerRun(20, func() { _, _ = AppendReply(dst, f, s.message) })
				if n != 0 {
					t.Errorf("%s %s: %v allocations; want 0", formatName(f), s.name, n)
				}
			}
		}
		if f.Uni() {
			continue
		}
		for _, s := range commandSamples() {
			if n := testing.AllocsPerRun(20, func() { _, _ = AppendCommand(dst, f, s.message) }); n != 0 {
				t.Errorf("%s %s: %v allocations; want 0", formatName(f), s.name, n)
			}
		}
	}
	frames := []*Encoded{{Bytes: []byte("{}")}, {Bytes: make([]byte, 300)}}
	for _, f := range []Format{0, FormatProtobuf} {
		if n := testing.AllocsPerRun(20, func() { _ = AppendBatch(dst, f, frames) }); n != 0 {
			t.Errorf("batch: %v allocations; want 0", n)
		}
	}
}

// TestDecodeAllocations bounds the allocations of the common commands.
func TestDecodeAllocations(t *testing.T) {
	tests := []struct {
		name    string
		command *Command
		want    float64
	}{
		{"pong", &Command{}, 0},
		{"publish", benchPublish, 2},
		{"subscribe", benchSubscribe, 3},
	}
	for _, f := range []Format{0, FormatProtobuf} {
		for _, test := range tests {
			message, err := AppendCommand(nil, f, test.command)
			if err != nil {
				t.Fatal(err)
			}
			message = AppendBatch(nil, f, []*Encoded{{Bytes: message}})
			n := testing.AllocsPerRun(100, func() {
				var c Command
				d := NewDecoder(f, message, Limits{})
				if err := d.Next(&c); err != nil {
					t.Error(err)
				}
			})
			if n > test.want {
				t.Errorf("%s %s: %v allocations, want %v", formatName(f), test.name, n, test.want)
			}
		}
	}
}
