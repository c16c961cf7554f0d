package protocol_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"reflect"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/internal/jsonscan"
	. "centrifugo/protocol"
	. "centrifugo/protocol/clientcodec"
)

// decodeAll returns the commands of a transport message and the error that
// ended it, io.EOF on success.
func decodeAll(f Format, message []byte, l Limits, draft bool) (list []Command, err error) {
	d := NewDecoder(f, message, l)
	if draft {
		d.UseDraftMethods()
	}
	for {
		var c Command
		if err := d.Next(&c); err != nil {
			return list, err
		}
		list = append(list, c)
	}
}

func TestDecoderJSON(t *testing.T) {
	connect := Command{ID: 1, Connect: &ConnectRequest{}}
	bad := []Command(nil)
	subs := func(m map[string]*SubscribeRequest) []Command { return []Command{{Connect: &ConnectRequest{Subs: m}}} }
	tests := []struct {
		name, message string
		want          []Command
		err           error
	}{
		{"one", `{"id":1,"connect":{}}`, []Command{connect}, io.EOF},
		{"trailing newline", `{"id":1,"connect":{}}` + "\n", []Command{connect}, io.EOF},
		{"carriage return", `{"id":1,"connect":{}}` + "\r\n{}\r\n", []Command{connect, {}}, io.EOF},
		{"null is the empty command", `null`, []Command{{}}, io.EOF},
		{"empty message", ``, bad, ErrMalformed},
		{"only a newline", "\n", bad, ErrMalformed},
		{"two newlines at the end", "{}\n\n", []Command{{}}, ErrMalformed},
		{"blank line between", "{}\n\n{}", []Command{{}}, ErrMalformed},
		{"line of spaces", "{}\n  \n{}", []Command{{}}, ErrMalformed},
		{"commands before an error", `{"id":1,"connect":{}}` + "\n{", []Command{connect}, ErrMalformed},
		{"two values on a line", `{"id":1,"connect":{}}{"id":2,"connect":{}}`, []Command{connect}, io.EOF},
		{"garbage behind a value", `{"id":1,"connect":{}} garbage`, []Command{connect}, io.EOF},
		{"raw newline in a command", "{\"id\":1,\n\"connect\":{}}", bad, ErrMalformed},
		{"white space", "\t{ \"id\" : 1 , \"connect\" : { } } ", []Command{connect}, io.EOF},
		{"unknown keys", `{"x":[{"a":[1,{}]},null,"\u00e9"],"id":1,"y":-1.5e+3,"connect":{"z":{}}}`, []Command{connect}, io.EOF},
		{"escaped key", `{"\u0069d":1,"c\u006fnnect":{}}`, []Command{connect}, io.EOF},
		{"duplicate keys", `{"id":5,"id":1,"connect":{"token":"a"},"connect":{}}`, []Command{connect}, io.EOF},
		{"null request", `{"id":1,"connect":null}`, []Command{{ID: 1}}, io.EOF},
		{"null resets", `{"id":1,"connect":{},"connect":null}`, []Command{{ID: 1}}, io.EOF},
		{"null scalars", `{"id":null,"subscribe":{"channel":null,"recover":null,"offset":null,"flag":null,"tf":null}}`,
			[]Command{{Subscribe: &SubscribeRequest{}}}, io.EOF},
		{"null payload", `{"send":{"data":null}}`, []Command{{Send: &SendRequest{Data: Raw("null")}}}, io.EOF},
		{"null entry is an empty message", `{"connect":{"subs":{"a":null}}}`,
			subs(map[string]*SubscribeRequest{"a": {}}), io.EOF},
		{"null list", `{"connect":{"subs":null,"headers":null}}`, []Command{{Connect: &ConnectRequest{}}}, io.EOF},
		{"null in a list", `{"subscribe":{"tf":{"vals":[null,"a"],"nodes":[null]}}}`,
			[]Command{{Subscribe: &SubscribeRequest{Tf: &FilterNode{Vals: []string{"", "a"}, Nodes: []*FilterNode{{}}}}}}, io.EOF},
		{"payload byte for byte", `{"send":{"data": {"a" : [ 1,"\u00e9<" ] } }}`,
			[]Command{{Send: &SendRequest{Data: Raw(`{"a" : [ 1,"\u00e9<" ] }`)}}}, io.EOF},
		{"payload kinds", `{"rpc":{"data":"text"}}` + "\n" + `{"rpc":{"data":-0.5e-7}}` + "\n" + `{"rpc":{"data":false}}`,
			[]Command{{RPC: &RPCRequest{Data: Raw(`"text"`)}}, {RPC: &RPCRequest{Data: Raw(`-0.5e-7`)}}, {RPC: &RPCRequest{Data: Raw(`false`)}}}, io.EOF},
		{"largest numbers", `{"id":4294967295,"subscribe":{"offset":18446744073709551615,"flag":-9223372036854775808,"limit":-2147483648}}`,
			[]Command{{ID: 1<<32 - 1, Subscribe: &SubscribeRequest{Offset: 1<<64 - 1, Flag: -1 << 63, Limit: -1 << 31}}}, io.EOF},
		{"surrogates and invalid UTF-8", `{"rpc":{"method":"\ud83d\ude00\ud800x` + "\xff" + `é"}}`,
			[]Command{{RPC: &RPCRequest{Method: "😀\uFFFDx\uFFFDé"}}}, io.EOF},
		{"all escapes", `{"rpc":{"method":"\"\\\/\b\f\n\r\t\u0000"}}`,
			[]Command{{RPC: &RPCRequest{Method: "\"\\/\b\f\n\r\t\x00"}}}, io.EOF},
		{"several requests", `{"id":1,"rpc":{},"publish":{}}`,
			[]Command{{ID: 1, RPC: &RPCRequest{}, Publish: &PublishRequest{}}}, io.EOF},
		{"no id is not our business", `{"connect":{}}`, []Command{{Connect: &ConnectRequest{}}}, io.EOF},
		{"V1 command in V2", `{"id":5,"method":1,"params":{}}`, []Command{{ID: 5}}, io.EOF},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeAll(0, []byte(test.message), Limits{}, false)
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %s\nwant %s", dump(got), dump(test.want))
			}
		})
	}
}

// TestMalformedJSON decodes malformed commands, one a line.
func TestMalformedJSON(t *testing.T) {
	lines := []string{
		`[]`, `"x"`, `5`, `true`, `nul`, `nullx{`[:3], `{`, `{"`, `{"id"`, `{"id":`, `{"id":1`, `{"id":1,`, `{"id":1,}`, `{,}`, `{"id" 1}`,
		`{id:1}`, `{'id':1}`, `{"id":1 "connect":{}}`, `{"id":"2"}`, `{"id":1.0}`, `{"id":1e3}`, `{"id":01}`, `{"id":-1}`, `{"id":-0}`,
		`{"id":4294967296}`, `{"id":18446744073709551616}`, `{"id":true}`, `{"id":{}}`, `{"id":+1}`, `{"connect":[]}`, `{"connect":5}`,
		`{"connect":"x"}`, `{"connect":{"token":5}}`, `{"connect":{"token":{}}}`, `{"connect":{"subs":[]}}`, `{"connect":{"subs":{"a":5}}}`,
		`{"connect":{"headers":{"a":1}}}`, `{"connect":{"data":}}`, `{"connect":{"data":{"a":}}}`, `{"subscribe":{"recover":1}}`,
		`{"subscribe":{"recover":"true"}}`, `{"subscribe":{"recover":tru}}`, `{"subscribe":{"offset":-1}}`, `{"subscribe":{"offset":1.5}}`,
		`{"subscribe":{"flag":9223372036854775808}}`, `{"subscribe":{"flag":-9223372036854775809}}`, `{"subscribe":{"flag":-}}`,
		`{"subscribe":{"flag":- 1}}`, `{"subscribe":{"flag":-null}}`, `{"subscribe":{"type":2147483648}}`, `{"subscribe":{"tf":{"vals":{}}}}`,
		`{"subscribe":{"tf":{"vals":["a",]}}}`, `{"subscribe":{"tf":{"vals":[,"a"]}}}`, `{"subscribe":{"tf":{"vals":["a" "b"]}}}`,
		`{"subscribe":{"tf":{"vals":["a"}}}`, `{"x":[1,]}`, `{"x":[1}`, `{"x":{"a":1,}}`, `{"x":{"a"}}`, `{"x":{1:2}}`, `{"x":.5}`, `{"x":5.}`,
		`{"x":1e}`, `{"x":--1}`, `{"x":00}`, `{"x":NaN}`, `{"x":undefined}`, `{"x":tru}`, `{"x":"\x"}`, `{"x":"\u12g4"}`, `{"x":"\u12`, `{"x":"`,
		"{\"x\":\"\x01\"}", "{\"x\":\"\t\"}", "{\"rpc\":{\"method\":\"\x1f\"}}", "{\"\x01\":1}", "{\"rpc\":{\"data\":\"\xff\"}}", "\xef\xbb\xbf{}", "{}"[:1],
		"\x00", "{\x00}",
	}
	for _, line := range lines {
		d := NewDecoder(0, []byte(line), Limits{})
		var c Command
		err := d.Next(&c)
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: error %v, command %s; want %v", line, err, dump(c), ErrMalformed)
		}
		if !reflect.DeepEqual(c, Command{}) {
			t.Errorf("%s: decoded %s beside the error; want an empty command", line, dump(c))
		}
		if again := d.Next(&c); again != err {
			t.Errorf("%s: error %v the second time; want %v", line, again, err)
		}
	}
}

func TestDecoderProtobuf(t *testing.T) {
	tests := []struct {
		name, message string
		want          []Command
		err           error
	}{
		{"empty", "", nil, ErrMalformed},
		{"pongs", "\x00\x00", []Command{{}, {}}, io.EOF},
		{"length beyond the end", "\x05\x08\x01", nil, ErrMalformed},
		{"length cut", "\x80", nil, ErrMalformed},
		{"length of 2^63", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", nil, ErrMalformed},
		{"length too long", strings.Repeat("\x80", 11) + "\x01", nil, ErrMalformed},
		{"unknown fields", "\x11\x08\x01" + "\xa0\x06\x05" + "\xa5\x06abcd" + "\xaa\x06\x01x" + "\x22\x00", []Command{{ID: 1, Connect: &ConnectRequest{}}}, io.EOF},
		{"unknown fixed64", "\x0c" + "\xa1\x06abcdefgh" + "\x08\x01", []Command{{ID: 1}}, io.EOF},
		{"field 0", "\x02\x00\x01", nil, ErrMalformed},
		{"group", "\x02\x0b\x0c", nil, ErrMalformed},
		{"unknown group", "\x04\xa3\x06\xa4\x06", nil, ErrMalformed},
		{"wire type 6", "\x01\x0e", nil, ErrMalformed},
		{"id of wrong type", "\x02\x0a\x00", nil, ErrMalformed},
		{"id too large", "\x06\x08\x80\x80\x80\x80\x10", nil, ErrMalformed},
		{"connect of wrong type", "\x02\x20\x01", nil, ErrMalformed},
		{"message cut", "\x03\x22\x05\x0a", nil, ErrMalformed},
		{"fixed32 cut", "\x03\xa5\x06a", nil, ErrMalformed},
		{"string not UTF-8", "\x05\x22\x03\x0a\x01\xff", nil, ErrMalformed},
		{"payload not UTF-8", "\x05\x62\x03\x0a\x01\xff", []Command{{Send: &SendRequest{Data: Raw("\xff")}}}, io.EOF},
		{"map entry without value", "\x07\x22\x05\x1a\x03\x0a\x01a",
			[]Command{{Connect: &ConnectRequest{Subs: map[string]*SubscribeRequest{"a": {}}}}}, io.EOF},
		{"map entry value first", "\x0b\x22\x09\x1a\x07\x12\x02\x18\x01\x0a\x01a",
			[]Command{{Connect: &ConnectRequest{Subs: map[string]*SubscribeRequest{"a": {Recover: true}}}}}, io.EOF},
		{"map entry of wrong type", "\x04\x22\x02\x18\x01", nil, ErrMalformed},
		{"last message wins", "\x0a\x22\x03\x0a\x01a\x22\x03\x22\x01n", []Command{{Connect: &ConnectRequest{Name: "n"}}}, io.EOF},
		{"negative int32", "\x0d\x2a\x0b\x78\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", []Command{{Subscribe: &SubscribeRequest{Type: -1}}}, io.EOF},
		{"int32 too large", "\x08\x2a\x06\x78\x80\x80\x80\x80\x08", nil, ErrMalformed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := decodeAll(FormatProtobuf, []byte(test.message), Limits{}, false)
			if !errors.Is(err, test.err) {
				t.Errorf("error %v, want %v", err, test.err)
			}
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("got %s\nwant %s", dump(got), dump(test.want))
			}
		})
	}
}

func TestLimits(t *testing.T) {
	nested := func(open, close string, n int) string { return strings.Repeat(open, n) + strings.Repeat(close, n) }
	tf := func(n int) string { // n filter nodes in each other
		return `{"subscribe":{"tf":` + strings.Repeat(`{"nodes":[`, n-1) + `{}` + strings.Repeat(`]}`, n-1) + `}}`
	}
	deepProto := func(n int) string {
		var b []byte
		for range n {
			b = append(append([]byte{0x32}, byte(len(b))), b...)
		}
		inner := protowire.AppendBytes(protowire.AppendTag(nil, 13, protowire.BytesType), b)
		request := protowire.AppendBytes(protowire.AppendTag(nil, 5, protowire.BytesType), inner)
		return string(AppendBatch(nil, FormatProtobuf, []*Encoded{{Bytes: request}}))
	}
	tests := []struct {
		name    string
		f       Format
		message string
		l       Limits
		want    error
	}{
		{"size", 0, `{"id":1}`, Limits{CommandSize: 8}, io.EOF},
		{"too large", 0, `{"id":12}`, Limits{CommandSize: 8}, ErrCommandSize},
		{"protobuf size", FormatProtobuf, "\x02\x08\x01", Limits{CommandSize: 2}, io.EOF},
		{"protobuf too large", FormatProtobuf, "\x02\x08\x01", Limits{CommandSize: 1}, ErrCommandSize},
		{"default size", 0, `{"send":{"data":"` + strings.Repeat("x", DefaultCommandSize-20) + `"}}`, Limits{}, io.EOF},
		{"above default size", 0, `{"send":{"data":"` + strings.Repeat("x", DefaultCommandSize-19) + `"}}`, Limits{}, ErrCommandSize},
		{"count", 0, "{}\n{}\n{}", Limits{Commands: 3}, io.EOF},
		{"too many", 0, "{}\n{}\n{}", Limits{Commands: 2}, ErrCommands},
		{"protobuf too many", FormatProtobuf, "\x00\x00\x00", Limits{Commands: 2}, ErrCommands},
		{"depth of a payload", 0, `{"send":{"data":` + nested("[", "]", 5) + `}}`, Limits{Depth: 5}, io.EOF},
		{"payload too deep", 0, `{"send":{"data":` + nested("[", "]", 6) + `}}`, Limits{Depth: 5}, ErrDepth},
		{"default depth", 0, `{"send":{"data":` + nested(`{"a":[`, `]}`, MaxDepth/2) + `}}`, Limits{}, io.EOF},
		{"above default depth", 0, `{"send":{"data":` + nested(`[`, `]`, MaxDepth+1) + `}}`, Limits{}, ErrDepth},
		{"default depth in V1", FormatV1, `{"method":8,"params":{"data":` + nested(`[`, `]`, MaxDepth) + `}}`, Limits{}, io.EOF},
		{"above default depth in V1", FormatV1, `{"method":8,"params":{"data":` + nested(`[`, `]`, MaxDepth+1) + `}}`, Limits{}, ErrDepth},
		{"default depth of an unknown member", 0, `{"x":` + nested(`{"a":[`, `]}`, MaxDepth/2) + `}`, Limits{}, io.EOF},
		{"above default depth of an unknown member", 0, `{"x":` + nested(`[`, `]`, MaxDepth+jsonscan.EnvelopeDepth+1) + `}`, Limits{}, ErrDepth},
		{"depth of an unknown member of a request", 0, `{"send":{"x":` + nested(`[`, `]`, MaxDepth) + `}}`, Limits{}, io.EOF},
		{"no depth above the maximum", 0, `{"send":{"data":` + nested(`[`, `]`, MaxDepth+1) + `}}`, Limits{Depth: math.MaxInt}, ErrDepth},
		{"size above the default", 0, `{"send":{"data":"` + strings.Repeat("x", 20<<20) + `"}}`, Limits{CommandSize: 21 << 20}, io.EOF},
		{"no size", 0, `{"send":{"data":"` + strings.Repeat("x", 1<<20) + `"}}`, Limits{CommandSize: math.MaxInt}, io.EOF},
		{"negative is the default", 0, `{"send":{"data":"` + strings.Repeat("x", DefaultCommandSize) + `"}}`, Limits{CommandSize: math.MinInt}, ErrCommandSize},
		{"depth of messages", 0, tf(2), Limits{Depth: 5}, io.EOF},
		{"messages too deep", 0, tf(3), Limits{Depth: 5}, ErrDepth},
		{"protobuf depth", FormatProtobuf, deepProto(2), Limits{Depth: 5}, io.EOF},
		{"protobuf too deep", FormatProtobuf, deepProto(3), Limits{Depth: 5}, ErrDepth},
		{"elements", 0, `{"connect":{"subs":{"a":{},"b":{}},"headers":{"c":"d"}}}`, Limits{Elements: 3}, io.EOF},
		{"too many elements", 0, `{"connect":{"subs":{"a":{},"b":{}},"headers":{"c":"d"}}}`, Limits{Elements: 2}, ErrElements},
		{"too many in a list", 0, `{"sub_refresh":{"untrack":["a","b","c"]}}`, Limits{Elements: 2}, ErrElements},
		{"elements of a payload are free", 0, `{"send":{"data":[1,2,3,4]}}`, Limits{Elements: 2}, io.EOF},
		{"protobuf too many elements", FormatProtobuf, "\x0b\x7a\x09\x2a\x01a\x2a\x01b\x2a\x01c", Limits{Elements: 2}, ErrElements},
		{"protobuf elements", FormatProtobuf, "\x0b\x7a\x09\x2a\x01a\x2a\x01b\x2a\x01c", Limits{Elements: 3}, io.EOF},
		{"protobuf too many entries", FormatProtobuf, "\x06\x22\x04\x1a\x00\x32\x00", Limits{Elements: 1}, ErrElements},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := decodeAll(test.f, []byte(test.message), test.l, false)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
			if test.want != io.EOF && !errors.Is(err, ErrMalformed) {
				t.Errorf("Next = %v; want an error that wraps ErrMalformed", err)
			}
		})
	}
}

// TestOwnership checks that payloads and strings are slices of the message, and that
// appending to a payload does not write into the message.
func TestOwnership(t *testing.T) {
	for _, f := range []Format{0, FormatProtobuf, FormatV1, FormatProtobuf | FormatV1} {
		message, err := AppendCommand(nil, f, &Command{ID: 1, Publish: &PublishRequest{Channel: "chat:index", Data: Raw(`{"a":1}`)}})
		if err != nil {
			t.Fatal(err)
		}
		message = AppendBatch(nil, f, []*Encoded{{Bytes: message}})
		before := bytes.Clone(message)
		got, err := decodeAll(f, message, Limits{}, false)
		if !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		_ = append(got[0].Publish.Data, "overwritten"...)
		if !bytes.Equal(message, before) {
			t.Errorf("%s: appending to a payload changed the message to %q; want %q", formatName(f), message, before)
		}
		// Neither strings nor payloads are copied, as documented.
		clear(message)
		if got[0].Publish.Channel == "chat:index" || bytes.Equal(got[0].Publish.Data, []byte(`{"a":1}`)) {
			t.Errorf("%s: the command does not follow its message; want no copy", formatName(f))
		}
	}
}

func TestDetectVersion(t *testing.T) {
	tests := []struct {
		protobuf bool
		message  string
		v1       bool
		err      error
	}{
		{false, `{"id":1,"connect":{}}`, false, nil},
		{false, `{"id":1,"connect":null}`, false, nil},
		{false, `{"id":1,"connect":{},"params":{}}`, false, nil},
		{false, `{"id":1,"params":{}}` + "\n" + `{"id":2,"connect":{}}`, true, nil},
		{false, `{"params":{}}`, true, nil},
		{false, `{"id":1,"method":0}`, true, nil},
		{false, `{"id":1}`, true, nil},
		{false, `{"id":1,"x":1}`, false, nil},
		{false, `{}`, false, nil},
		{false, `null`, false, nil},
		{false, ``, false, ErrMalformed},
		{false, "\n", false, ErrMalformed},
		{false, `{"id":1`, false, ErrMalformed},
		{false, `[]`, false, ErrMalformed},
		{true, "\x04\x08\x01\x22\x00", false, nil},
		{true, "\x02\x08\x01", true, nil},
		{true, "\x04\x08\x01\x1a\x00", true, nil},
		{true, "\x04\x08\x01\x10\x01", true, nil},
		{true, "\x04\x08\x01\x2a\x00", false, nil},
		{true, "\x00", false, nil},
		{true, "\x05\x08\x01", false, ErrMalformed},
		{true, "\x01\x08", false, ErrMalformed},
		{true, "", false, ErrMalformed},
	}
	for _, test := range tests {
		v1, err := DetectVersion(test.protobuf, []byte(test.message))
		if v1 != test.v1 || !errors.Is(err, test.err) {
			t.Errorf("%q: v1 %t, %v; want %v and %v", test.message, v1, err, test.v1, test.err)
		}
	}
}

// TestIsPong compares IsPong with the decoder.
func TestIsPong(t *testing.T) {
	pongs := map[Format][]string{0: {"{}", "{}\n", "null", "null\n"}, FormatProtobuf: {"\x00"}, FormatV1: {}, FormatProtobuf | FormatV1: {}}
	for f, want := range pongs {
		for _, message := range []string{"", "{}", "{}\n", "{}\n\n", "{}\n{}", "null", "null\n", "nul", "{ }", "\x00", "\x00\x00", "\x01", "\n", "{}x"} {
			got := IsPong(f, []byte(message))
			listed := false
			for _, w := range want {
				listed = listed || w == message
			}
			if got != listed {
				t.Errorf("%s: IsPong(%q) = %t; want %v", formatName(f), message, got, listed)
			}
			if commands, err := decodeAll(f, []byte(message), Limits{}, false); got && (!errors.Is(err, io.EOF) || len(commands) != 1 || commands[0].Kind() != KindPong) {
				t.Errorf("%s: %q is a pong, but decodes to %s, %v; want one pong", formatName(f), message, dump(commands), err)
			}
		}
	}
}

func TestBodies(t *testing.T) {
	tests := []struct {
		protobuf bool
		body     string
		want     *EmulationRequest
	}{
		{false, " {\"session\":\"s\",\n\"node\":\"n\",\"data\":\"{}\\n{\\\"id\\\":1}\"}\n", &EmulationRequest{Session: "s", Node: "n", Data: Raw("{}\n{\"id\":1}")}},
		{false, `{}`, &EmulationRequest{}},
		{false, `{"data":{}}`, nil},
		{false, `{"session":5}`, nil},
		{false, `{} {}`, nil},
		{false, ``, nil},
		{true, "\x12\x01s\x0a\x01n\x1a\x02\xff\x00", &EmulationRequest{Session: "s", Node: "n", Data: Raw("\xff\x00")}},
		{true, "\x12\x05s", nil},
	}
	for _, test := range tests {
		got, err := DecodeEmulationRequest(test.protobuf, []byte(test.body))
		if !reflect.DeepEqual(got, test.want) || (err == nil) != (test.want != nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %s, %v; want %+v", test.body, dump(got), err, test.want)
		}
	}
	for body, ok := range map[string]bool{`{"token":"t"}`: true, "null": true, " {}\n": true, "": false, "{}x": false, "[]": false, `{"token":1}`: false} {
		got, err := DecodeConnectRequest(0, []byte(body))
		if ok != (err == nil) || ok != (got != nil) || err != nil && !errors.Is(err, ErrMalformed) {
			t.Errorf("%q: %v, %v; want success %v", body, got, err, ok)
		}
	}
	if got, err := DecodeConnectRequest(FormatProtobuf, nil); err != nil || !reflect.DeepEqual(got, &ConnectRequest{}) {
		t.Errorf("empty Protobuf: %v, %v; want an empty request", got, err)
	}
}

// TestCommandKind checks the order of dispatch (protocol.md 4.1).
func TestCommandKind(t *testing.T) {
	order := []string{
		"Connect", "Ping", "Subscribe", "Unsubscribe", "Publish", "Presence", "PresenceStats", "History", "RPC", "Send", "Refresh", "SubRefresh",
	}
	full := Command{}
	for _, s := range commandSamples() {
		v := reflect.ValueOf(s.message).Elem()
		for _, name := range order {
			if field := v.FieldByName(name); !field.IsNil() {
				reflect.ValueOf(&full).Elem().FieldByName(name).Set(field)
			}
		}
	}
	for _, name := range order {
		want := strings.ToLower(name)
		if got := strings.ReplaceAll(full.Kind().String(), "_", ""); got != want && !(want == "ping" && full.Kind() == KindPing) {
			t.Errorf("kind %s, want %s", got, want)
		}
		field := reflect.ValueOf(&full).Elem().FieldByName(name)
		field.Set(reflect.Zero(field.Type()))
	}
	for want, c := range map[MessageKind]Command{KindPong: {}, KindUnknown: {ID: 1}} {
		if got := c.Kind(); got != want {
			t.Errorf("kind %s, want %s", got, want)
		}
	}
	if got := (&Command{UnknownMethod: true}).Kind(); got != KindUnknown {
		t.Errorf("kind of unknown method %s; want %v", got, KindUnknown)
	}
}

func TestReplyDecoderErrors(t *testing.T) {
	tests := []struct {
		f       Format
		message string
		want    error
	}{
		{0, `{"id":`, ErrMalformed}, {0, ``, ErrMalformed}, {0, `{"error":5}`, ErrMalformed}, {0, `{"push":{"pub":{"data":}}}`, ErrMalformed},
		{FormatProtobuf, "\x08", ErrMalformed}, {FormatUni, `{"pub":5}`, ErrMalformed}, {FormatV1, `{"id":1,"result":{}}`, ErrNoForm},
		{FormatV1, `{"result":5}`, ErrMalformed}, {FormatProtobuf | FormatV1, "\x08\x01\x1a\x00", ErrNoForm},
	}
	for _, test := range tests {
		if reply, err := DecodeReply(test.f, []byte(test.message)); reply != nil || !errors.Is(err, test.want) {
			t.Errorf("%s %q: %s, %v; want %v", formatName(test.f), test.message, dump(reply), err, test.want)
		}
	}
	for i := range 3 {
		frames := make([]*Encoded, i)
		for j := range frames {
			frames[j] = &Encoded{Bytes: fmt.Appendf(nil, `{"id":%s}`, strings.Repeat("9", j*200+1))}
		}
		for _, f := range []Format{0, FormatProtobuf} {
			batch := AppendBatch(nil, f, frames)
			if len(batch) != BatchSize(f, frames) {
				t.Errorf("%s: %d bytes; want %d, the BatchSize", formatName(f), len(batch), BatchSize(f, frames))
			}
			for _, frame := range frames {
				message, rest, err := Split(f, batch)
				if err != nil || !bytes.Equal(message, frame.Bytes) {
					t.Errorf("%s: split %q, %v; want %q", formatName(f), message, err, frame.Bytes)
				}
				batch = rest
			}
			if len(batch) != 0 {
				t.Errorf("%s: %q left; want none", formatName(f), batch)
			}
		}
	}
}

// TestReuse checks that decoding with scratch memory does not allocate, and that a
// request holds nothing of an earlier one or of another one in the same command.
func TestReuse(t *testing.T) {
	for _, f := range []Format{0, FormatProtobuf, FormatV1, FormatProtobuf | FormatV1} {
		var frames []*Encoded
		for _, c := range []*Command{
			{ID: 1, Subscribe: &SubscribeRequest{Channel: "a", Token: "secret", Recover: true}},
			{ID: 2, Subscribe: &SubscribeRequest{Channel: "b"}},
			{ID: 3, Publish: &PublishRequest{Channel: "a", Data: Raw(`{}`)}},
		} {
			b, err := AppendCommand(nil, f, c)
			if err != nil {
				t.Fatal(err)
			}
			frames = append(frames, &Encoded{Bytes: b})
		}
		batch := AppendBatch(nil, f, frames)
		var scratch RequestScratch
		var c Command
		decode := func() {
			d := NewDecoder(f, batch, Limits{})
			d.Reuse(&scratch)
			for range frames {
				if err := d.Next(&c); err != nil {
					t.Fatal(err)
				}
				if c.ID == 2 && (c.Subscribe.Channel != "b" || c.Subscribe.Token != "" || c.Subscribe.Recover) {
					t.Errorf("%s: decoded %+v; want nothing of the request before", formatName(f), c.Subscribe)
				}
			}
		}
		if n := testing.AllocsPerRun(100, decode); n != 0 {
			t.Errorf("%s: %v allocations; want 0", formatName(f), n)
		}
	}
	connect := &Command{ID: 1, Connect: &ConnectRequest{Subs: map[string]*SubscribeRequest{
		"a": {Channel: "a", Offset: 1}, "b": {Channel: "b", Offset: 2},
	}}}
	message, err := AppendCommand(nil, 0, connect)
	if err != nil {
		t.Fatal(err)
	}
	d := NewDecoder(0, message, Limits{})
	d.Reuse(new(RequestScratch))
	var c Command
	if err := d.Next(&c); err != nil || c.Connect.Subs["a"].Offset != 1 || c.Connect.Subs["b"].Offset != 2 {
		t.Errorf("subscriptions of a connect: %v, %+v; want the offsets 1 and 2", err, c.Connect)
	}
}

// TestLetterCase checks that keys match in any letter case, as with encoding/json.
func TestLetterCase(t *testing.T) {
	for _, test := range []struct {
		name    string
		f       Format
		message string
		want    Command
	}{
		{"member", 0, `{"ID":2,"Subscribe":{"channel":"x"}}`, Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "x"}}},
		{"field", 0, `{"id":2,"subscribe":{"Channel":"x","RECOVER":true,"oFFset":7}}`, Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "x", Recover: true, Offset: 7}}},
		{"underscore", 0, `{"id":2,"Presence_Stats":{"CHANNEL":"x"}}`, Command{ID: 2, PresenceStats: &PresenceStatsRequest{Channel: "x"}}},
		{"escaped", 0, `{"id":2,"\u0053ubscribe":{"channel":"x"}}`, Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "x"}}},
		{"the last one counts", 0, `{"id":2,"publish":{"channel":"x","Channel":"y"}}`, Command{ID: 2, Publish: &PublishRequest{Channel: "y"}}},
		{"unknown with capitals", 0, `{"id":2,"Other":{"Subscribe":1},"subscribe":{"channel":"x","What":[{}]}}`, Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "x"}}},
		{"long with capitals", 0, `{"id":2,"` + strings.Repeat("Subscribe", 10) + `":1,"subscribe":{"channel":"x"}}`, Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "x"}}},
		{"names in a map stay", 0, `{"id":2,"Connect":{"Headers":{"X-Key":"V"},"Subs":{"News":{"Recover":true}}}}`, Command{ID: 2, Connect: &ConnectRequest{
			Headers: map[string]string{"X-Key": "V"}, Subs: map[string]*SubscribeRequest{"News": {Recover: true}},
		}}},
		{"payloads stay", 0, `{"id":2,"Send":{"Data":{"Channel":"X"}}}`, Command{ID: 2, Send: &SendRequest{Data: Raw(`{"Channel":"X"}`)}}},
		{"envelope of V1", FormatV1, `{"Id":2,"Method":1,"Params":{"Channel":"x"}}`, Command{ID: 2, Subscribe: &SubscribeRequest{Channel: "x"}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			list, err := decodeAll(test.f, []byte(test.message), Limits{}, false)
			if !errors.Is(err, io.EOF) || len(list) != 1 {
				t.Fatalf("%d commands, %v; want %v and 1", len(list), err, io.EOF)
			}
			if got, want := dump(list[0]), dump(test.want); got != want {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
	for message, want := range map[string]bool{
		`{"Id":1,"Connect":{}}`: false, `{"ID":1}`: true, `{"id":1,"Params":{}}`: true, `{"id":1,"METHOD":0,"Subscribe":{}}`: false,
	} {
		if v1, err := DetectVersion(false, []byte(message)); err != nil || v1 != want {
			t.Errorf("%s: V1 %t, %v; want %v", message, v1, err, want)
		}
	}
}

// TestDeepestPayloadIsDeliverable checks that a payload of the maximum depth can be
// sent in every message and decoded by a client.
func TestDeepestPayloadIsDeliverable(t *testing.T) {
	deepest := Raw(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth))
	deeper := Raw("[" + string(deepest) + "]")
	info := func(data Raw) *ClientInfo { return &ClientInfo{ConnInfo: data, ChanInfo: data} }
	for name, reply := range map[string]func(Raw) *Reply{
		"push": func(data Raw) *Reply {
			return &Reply{Push: &Push{Channel: "x", Pub: &Publication{Data: data, Info: info(data)}}}
		},
		"join": func(data Raw) *Reply { return &Reply{Push: &Push{Channel: "x", Join: &Join{Info: info(data)}}} },
		"rpc":  func(data Raw) *Reply { return &Reply{ID: 1, RPC: &RPCResult{Data: data}} },
		"history": func(data Raw) *Reply {
			return &Reply{ID: 1, History: &HistoryResult{Publications: []*Publication{{Data: data}}}}
		},
		"presence": func(data Raw) *Reply {
			return &Reply{ID: 1, Presence: &PresenceResult{Presence: map[string]*ClientInfo{"a": info(data)}}}
		},
		"connect": func(data Raw) *Reply {
			return &Reply{ID: 1, Connect: &ConnectResult{Client: "c", Subs: map[string]*SubscribeResult{"x": {Publications: []*Publication{{Data: data, Info: info(data)}}}}}}
		},
	} {
		for _, f := range []Format{0, FormatV1} {
			frame, err := Encode(f, reply(deepest))
			if err != nil {
				t.Errorf("%s in %s: %v", name, formatName(f), err)
				continue
			}
			kind := func(uint32) MessageKind { return frame.Kind }
			if _, err := (ReplyDecoder{Format: f, Kind: kind}).Decode(frame.Bytes); err != nil {
				t.Errorf("%s in %s is not understood: %v", name, formatName(f), err)
			}
			if _, err := Encode(f, reply(deeper)); err == nil {
				t.Errorf("%s in %s: a payload that is too deep has a form; want an error", name, formatName(f))
			}
		}
	}
}
