package server

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"centrifugo/protocol"
	"centrifugo/server/internal/app/apptest"
)

// hello is the connect command that precedes others.
const hello = `{"id":1,"connect":{}}`

// malformed lists the cases of protocol.md 5.9, and those of sections 2, 5 and 6.
var malformed = []struct {
	name    string
	new     bool // the connection has not connected
	message string
	want    string // of the next message, or how the connection ends
}{
	{"empty frame", false, "", "closed 3501"},
	{"empty frame, not connected", true, "", "closed 3501"},
	{"invalid JSON", false, "{", "closed 3501"},
	{"no JSON", false, "hello", "closed 3501"},
	{"invalid JSON, not connected", true, `{"id":1,"connect":`, "closed 3501"},
	{"a number", false, "5", "closed 3501"},
	{"an array", false, "[]", "closed 3501"},
	{"a string", false, `"{}"`, "closed 3501"},
	{"an invalid payload", false, `{"id":2,"publish":{"channel":"x","data":{"a":}}}`, "closed 3501"},
	{"a control character in a string", false, "{\"id\":2,\"rpc\":{\"method\":\"a\x01\"}}", "closed 3501"},
	{"a bad escape", false, `{"id":2,"rpc":{"method":"\x"}}`, "closed 3501"},
	{"deep nesting", false, `{"id":2,"publish":{"channel":"x","data":` + strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000) + `}}`, "closed 3501"},
	{"deep filter", false, `{"id":2,"subscribe":{"channel":"full:deep","tf":` + strings.Repeat(`{"op":"not","nodes":[`, 2000) + strings.Repeat(`]}`, 2000) + `}}`, "closed 3501"},
	{"good, then bad", false, "{\"id\":2,\"rpc\":{}}\n{", `{"id":2,"error":{"code":108,"message":"not available"}}`},
	{"blank line between", false, "{\"id\":2,\"rpc\":{}}\n\n{\"id\":3,\"rpc\":{}}", `{"id":2,"error":{"code":108,"message":"not available"}}`},
	{"blank line first", false, "\n{\"id\":2,\"rpc\":{}}", "closed 3501"},
	{"trailing newline", false, "{\"id\":2,\"unsubscribe\":{\"channel\":\"x\"}}\n", `{"id":2,"unsubscribe":{}}`},
	{"two trailing newlines", false, "\n\n", "closed 3501"},
	{"two values on a line", false, `{"id":2,"unsubscribe":{"channel":"x"}} {"id":3,"rpc":{}}`, `{"id":2,"unsubscribe":{}}`},
	{"unknown keys", false, `{"id":2,"x":{"y":[1,{"z":null}]},"unsubscribe":{"channel":"x","w":1e400}}`, `{"id":2,"unsubscribe":{}}`},
	{"wrong type of id", false, `{"id":"2","rpc":{}}`, "closed 3501"},
	{"id overflow", false, `{"id":4294967296,"rpc":{}}`, "closed 3501"},
	{"negative id", false, `{"id":-1,"rpc":{}}`, "closed 3501"},
	{"fractional id", false, `{"id":1.5,"rpc":{}}`, "closed 3501"},
	{"largest id", false, `{"id":4294967295,"unsubscribe":{"channel":"x"}}`, `{"id":4294967295,"unsubscribe":{}}`},
	{"id alone", false, `{"id":5}`, "closed 3501"},
	{"V1 on a V2 connection", false, `{"id":5,"method":1,"params":{}}`, "closed 3501"},
	{"null connect", true, `{"id":1,"connect":null}`, "closed 3501"},
	{"no id", false, `{"rpc":{}}`, "closed 3501"},
	{"unsolicited pong", false, `{}`, "closed 3501"},
	{"null as a pong", false, `null`, "closed 3501"},
	{"pong, not connected", true, `{}`, "closed 3501"},
	{"connect without id", true, `{"connect":{}}`, "closed 3501"},
	{"connect twice", false, hello, "closed 3501"},
	{"before connect", true, `{"id":1,"subscribe":{"channel":"x"}}`, "closed 3501"},
	{"send before connect", true, `{"send":{"data":1}}`, "closed 3501"},
	{"ping command", false, `{"id":2,"ping":{}}`, "closed 3501"},
	{"empty channel: subscribe", false, `{"id":2,"subscribe":{}}`, "closed 3501"},
	{"empty channel: unsubscribe", false, `{"id":2,"unsubscribe":{}}`, "closed 3501"},
	{"empty channel: publish", false, `{"id":2,"publish":{"data":1}}`, "closed 3501"},
	{"empty channel: presence", false, `{"id":2,"presence":{}}`, "closed 3501"},
	{"empty channel: presence_stats", false, `{"id":2,"presence_stats":{}}`, "closed 3501"},
	{"empty channel: history", false, `{"id":2,"history":{}}`, "closed 3501"},
	{"empty channel: sub_refresh", false, `{"id":2,"sub_refresh":{"token":"x"}}`, "closed 3501"},
	{"channel too long", false, `{"id":2,"subscribe":{"channel":"` + strings.Repeat("x", 256) + `"}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
	{"channel of 255", false, `{"id":2,"subscribe":{"channel":"` + strings.Repeat("x", 255) + `"}}`, `{"id":2,"subscribe":{}}`},
	{"channel not ASCII", false, `{"id":2,"subscribe":{"channel":"канал"}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
	{"unknown namespace", false, `{"id":2,"subscribe":{"channel":"none:x"}}`, `{"id":2,"error":{"code":102,"message":"unknown channel"}}`},
	{"unknown namespace: publish", false, `{"id":2,"publish":{"channel":"none:x","data":1}}`, `{"id":2,"error":{"code":102,"message":"unknown channel"}}`},
	{"unknown namespace: subs of connect", true, `{"id":1,"connect":{"subs":{"none:x":{}}}}`, "closed 3501"},
	{"unknown delta", false, `{"id":2,"subscribe":{"channel":"full:x","delta":"zip"}}`, "closed 3501"},
	{"publish without data", false, `{"id":2,"publish":{"channel":"x"}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
	{"publish null", false, `{"id":2,"publish":{"channel":"x","data":null}}`, `{"id":2,"publish":{}}`},
	{"reverse history from 0", false, `{"id":2,"history":{"channel":"full:x","limit":1,"reverse":true,"since":{"offset":0,"epoch":""}}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
	{"rpc without support", false, `{"id":2,"rpc":{"method":"x"}}`, `{"id":2,"error":{"code":108,"message":"not available"}}`},
	{"send without handler", false, `{"send":{"data":1}}`, "closed 3508"},
	{"no history here", false, `{"id":2,"history":{"channel":"x"}}`, `{"id":2,"error":{"code":108,"message":"not available"}}`},
	{"no presence here", false, `{"id":2,"presence":{"channel":"x"}}`, `{"id":2,"error":{"code":108,"message":"not available"}}`},
	{"no presence stats here", false, `{"id":2,"presence_stats":{"channel":"x"}}`, `{"id":2,"error":{"code":108,"message":"not available"}}`},
	{"refresh of an anonymous connection", false, `{"id":2,"refresh":{"token":"x"}}`, "closed 3501"},
	{"refresh without token", false, `{"id":2,"refresh":{}}`, "closed 3501"},
	{"sub_refresh, not subscribed", false, `{"id":2,"sub_refresh":{"channel":"x","token":"x"}}`, `{"id":2,"error":{"code":103,"message":"permission denied"}}`},
	{"forged token", true, `{"id":1,"connect":{"token":"eyJhbGciOiJub25lIn0.e30."}}`, "closed 3500"},
	{"rubbish token", true, `{"id":1,"connect":{"token":"` + strings.Repeat(".", 60_000) + `"}}`, "closed 3500"},
	{"bad filter", false, `{"id":2,"subscribe":{"channel":"full:x","tf":{"op":"maybe"}}}`, `{"id":2,"error":{"code":107,"message":"bad request"}}`},
	{"V1 empty object", true, `{"method":0}`, "closed 3501"},
	{"V1 unparsable method", true, "{\"id\":1,\"method\":{}}", "closed 3501"},
	{"V1 wrong params", true, `{"id":1,"params":5}`, "closed 3501"},
}

func malformedCommands(t *testing.T, p *process) {
	for _, test := range malformed {
		t.Run(test.name, func(t *testing.T) {
			c := p.dial(t, apptest.Dialer{})
			if !test.new {
				ask(t, c, hello)
			}
			got := outcome(c, test.message)
			if got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
			_ = c.Close()
		})
	}
	// The commands before the malformed part of a frame are executed.
	c := p.connect(t)
	if got := outcome(c, "{\"id\":2,\"unsubscribe\":{\"channel\":\"x\"}}\n{"); got != `{"id":2,"unsubscribe":{}}` {
		t.Errorf("a good command before a bad one: %s; want %q", got, `{"id":2,"unsubscribe":{}}`)
	}
	if got := describe(next(c)); got != "closed 3501" {
		t.Errorf("a bad command after a good one: %s; want \"closed 3501\"", got)
	}
}

func malformedProtobuf(t *testing.T, p *process) {
	connect := []byte{0x04, 0x08, 0x01, 0x22, 0x00} // id 1, connect {}
	tests := map[string]struct {
		new     bool
		message []byte
		want    string
	}{
		"empty frame":                 {false, nil, "closed 3501"},
		"length beyond the end":       {false, []byte{0x10, 0x08, 0x02}, "closed 3501"},
		"length without end":          {false, []byte{0xFF, 0xFF}, "closed 3501"},
		"length above 64 bits":        {false, []byte(strings.Repeat("\xFF", 11) + "\x01"), "closed 3501"},
		"length of 2^63":              {false, []byte("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01"), "closed 3501"},
		"truncated varint":            {false, []byte{0x02, 0x08, 0xFF}, "closed 3501"},
		"truncated submessage":        {false, []byte{0x04, 0x08, 0x02, 0x2A, 0x10}, "closed 3501"},
		"field number 0":              {false, []byte{0x04, 0x08, 0x02, 0x00, 0x00}, "closed 3501"},
		"end of a group":              {false, []byte{0x03, 0x08, 0x02, 0x24}, "closed 3501"},
		"id alone":                    {false, []byte{0x02, 0x08, 0x05}, "closed 3501"},
		"unsolicited pong":            {false, []byte{0x00}, "closed 3501"},
		"connect twice":               {false, connect, "closed 3501"},
		"before connect":              {true, []byte{0x07, 0x08, 0x01, 0x2A, 0x03, 0x0A, 0x01, 'x'}, "closed 3501"},
		"channel is no UTF-8":         {false, []byte{0x07, 0x08, 0x02, 0x32, 0x03, 0x0A, 0x01, 0xFF}, "closed 3501"},
		"JSON":                        {true, []byte(hello), "closed 3501"},
		"unknown fields":              {false, []byte("\x0A\x08\x02\x32\x03\x0A\x01x\xA8\x1F\x01"), "\x04\x08\x02\x3A\x00"},
		"unknown fields, malformed":   {false, []byte("\x0B\x08\x02\x32\x03\x0A\x01x\xA8\x1F\x80"), "closed 3501"},
		"unsubscribe as text message": {false, []byte("\x07\x08\x02\x32\x03\x0A\x01x"), "\x04\x08\x02\x3A\x00"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			c := p.dial(t, apptest.Dialer{Path: apptest.Path + "?cf_protocol=protobuf&cf_protocol_version=v2"})
			if !test.new {
				if err := c.Binary(connect); err != nil {
					t.Fatal(err)
				}
				if reply, err := c.Message(); err != nil || !strings.Contains(reply, "\x2A") {
					t.Fatalf("connecting: %q, %v; want \"\\x2A\" in it", reply, err)
				}
			}
			if err := c.Binary(test.message); err != nil {
				t.Fatal(err)
			}
			if got := describe(c.Message()); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			_ = c.Close()
		})
	}
}

// command is a command whose request has the given members beside a channel.
func command(name, members string) string {
	if strings.Contains(members, `"channel"`) || !hasChannel(name) {
		return fmt.Sprintf(`{"id":2,%q:{%s}}`, name, members)
	}
	return fmt.Sprintf(`{"id":2,%q:{"channel":"full:types",%s}}`, name, members)
}

func hasChannel(name string) bool {
	_, ok := requests()[name].FieldByName("Channel")
	return ok
}

// A wrong type in any field of any command is a malformed command.
func wrongTypes(t *testing.T, p *process) {
	count := 0
	for name, request := range requests() {
		members := wrongMembers(request, 1)
		for _, value := range wrong(reflect.PointerTo(request), 0) {
			members = append(members, member{"", value})
		}
		for _, m := range members {
			message := command(name, fmt.Sprintf("%q:%s", m.name, m.value))
			if m.name == "" {
				message = fmt.Sprintf(`{"id":2,%q:%s}`, name, m.value)
			}
			c := p.dial(t, apptest.Dialer{})
			if name != "connect" {
				ask(t, c, hello)
			}
			if got := outcome(c, message); got != "closed 3501" {
				t.Errorf("%s: %s; want \"closed 3501\"", message, got)
			}
			_ = c.Close()
			count++
		}
	}
	t.Logf("%d commands", count)
	if count < 200 {
		t.Errorf("only %d commands: the schema was not seen; want at least 200", count)
	}
}

// A null in a field that is not a payload means that the field is absent.
func nulls(t *testing.T, p *process) {
	for name, request := range requests() {
		for f := range fieldsOf(request) {
			if f.Type == reflect.TypeFor[protocol.Raw]() || keyOf(f) == "channel" {
				continue
			}
			results := [2]string{}
			for i, members := range []string{fmt.Sprintf("%q:null", keyOf(f)), `"unknown":null`} {
				c := p.dial(t, apptest.Dialer{})
				if name != "connect" {
					ask(t, c, hello)
				}
				results[i] = outcome(c, command(name, members))
				if name == "connect" && strings.HasPrefix(results[i], `{"id":2,"connect":{"client":`) {
					results[i] = "connected" // as a new user each time
				}
				_ = c.Close()
			}
			if results[0] != results[1] {
				t.Errorf("%s.%s: null gives %s; want %s, as without it", name, keyOf(f), results[0], results[1])
			}
		}
		c := p.connect(t)
		if got := outcome(c, fmt.Sprintf(`{"id":2,%q:null}`, name)); got != "closed 3501" {
			t.Errorf("%s: null gives %s; want \"closed 3501\"", name, got)
		}
		_ = c.Close()
	}
	c := p.connect(t)
	if got := outcome(c, `{"id":2,"presence":{"channel":null}}`); got != "closed 3501" {
		t.Errorf("a null channel: %s; want \"closed 3501\"", got)
	}
}

// A thousand channels of namespaces that are not configured.
func unknownChannels(t *testing.T, p *process) {
	c := p.connect(t)
	var frame strings.Builder
	const channels = 1000
	for i := range channels {
		fmt.Fprintf(&frame, "{\"id\":%d,\"subscribe\":{\"channel\":\"none%d:x\"}}\n", i+2, i)
	}
	if err := c.Text(frame.String()); err != nil {
		t.Fatal(err)
	}
	for refused := 0; refused < channels; {
		reply, err := next(c)
		if err != nil {
			t.Fatalf("after %d replies: %v", refused, err)
		}
		n := strings.Count(reply, `"error":{"code":102,"message":"unknown channel"}`)
		if n != strings.Count(reply, "\n")+1 {
			t.Fatalf("%s; want every reply with code 102", reply)
		}
		refused += n
	}
	if reply := ask(t, c, `{"id":5000,"subscribe":{"channel":"known"}}`); reply != `{"id":5000,"subscribe":{}}` {
		t.Errorf("a known channel: %s; want %q", reply, `{"id":5000,"subscribe":{}}`)
	}
	for i := range 50 {
		if answer := p.call("publish", fmt.Sprintf(`{"channel":"none%d:x","data":1}`, i)); !strings.Contains(answer, `"code":102`) {
			t.Errorf("publishing: %s; want %q in it", answer, `"code":102`)
		}
	}
}
