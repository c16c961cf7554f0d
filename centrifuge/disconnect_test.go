package centrifuge_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestCodes: only codes that a WebSocket close frame may have are valid, and nothing
// else reaches a client, wherever it comes from (RFC 6455, 7.4).
func TestCodes(t *testing.T) {
	for _, test := range []struct {
		from, to uint32
		valid    bool
	}{
		{0, 999, false},
		{1000, 1003, true},
		{1004, 1006, false},
		{1007, 1014, true},
		{1015, 2999, false},
		{3000, 4999, true},
		{5000, 5001, false},
		{65534, 65537, false},
		{66536, 66536, false}, // 1000 in 16 bits
		{70000, 70000, false},
		{1<<32 - 1, 1<<32 - 1, false},
	} {
		for _, code := range []uint32{test.from, test.to} {
			d := centrifuge.Disconnect{Code: code, Reason: "why"}
			if err := d.Validate(); (err == nil) != test.valid {
				t.Errorf("Validate of code %d = %v; want valid %v", code, err, test.valid)
			}
			t.Run(fmt.Sprint(code), func(t *testing.T) { testCode(t, d, test.valid) })
		}
	}
}

func testCode(t *testing.T, d centrifuge.Disconnect, valid bool) {
	want := d
	if !valid {
		want = centrifuge.DisconnectServerError
	}
	inBubble(t, []protocol.Format{jsonV2, protobufV1}, func(t *testing.T, format protocol.Format) {
		var told []centrifuge.Disconnect
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.RPC = func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{}, d
		}
		handlers.Disconnected = func(_ context.Context, e centrifuge.DisconnectedEvent) { told = append(told, e.Disconnect) }
		s := newSite(t, noPings, handlers)
		returned, closed := s.connect(format, "u"), s.connect(format, "u")
		returned.commands(`{"id":2,"rpc":{}}`)
		returned.expect(returned.closes(want))
		closed.Client.Client().Disconnect(d)
		closed.expect(closed.closes(want))
		if len(told) != 2 || told[0] != want || told[1] != want {
			t.Errorf("the application was told %v; want length 2, [0] %v and [1] %v", told, want, want)
		}
		if logged := s.logged(); len(logged) != map[bool]int{false: 2}[valid] {
			t.Errorf("logged %q; want 2 lines if the code is not valid, otherwise none", logged)
		}
		p := s.connect(format, "u")
		if err := s.Disconnect(t.Context(), centrifuge.Target{User: "u"}, d); (err == nil) != valid {
			t.Errorf("Disconnect = %v; want valid %v", err, valid)
		}
		if valid {
			p.expect(p.closes(d))
		} else {
			p.expect()
		}
	})
}

// TestReasons: a reason that a close frame cannot take is cut; what V1 clients read
// stays JSON.
func TestReasons(t *testing.T) {
	for _, test := range []struct {
		name, reason, want string
		valid              bool
	}{
		{"longest", strings.Repeat("x", 123), strings.Repeat("x", 123), true},
		{"one more", strings.Repeat("x", 124), strings.Repeat("x", 123), false},
		{"between runes", strings.Repeat("x", 122) + "é", strings.Repeat("x", 122), false},
		{"a megabyte", strings.Repeat("€", 350_000), strings.Repeat("€", 41), false},
		{"not UTF-8", "a\xffb", "a\uFFFDb", false},
		{"needs escapes", strings.Repeat("\"", 123), strings.Repeat("\"", 123), true},
		{"none", "", "", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := centrifuge.Disconnect{Code: 4500, Reason: test.reason}
			if err := d.Validate(); (err == nil) != test.valid {
				t.Errorf("Validate = %v; want valid %v", err, test.valid)
			}
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, noPings, centrifuge.Handlers{})
				p, old := s.connect(jsonV2, "u"), s.connect(jsonV1, "u")
				p.Client.Client().Disconnect(d)
				old.Client.Client().Disconnect(d)
				synctest.Wait()
				s.logged()
				if got := p.Closed(); got.Reason != test.want {
					t.Errorf("reason %q, want %q", got.Reason, test.want)
				}
				got := old.Closed().Reason
				var told struct {
					Reason    string
					Reconnect bool
				}
				if err := json.Unmarshal([]byte(got), &told); err != nil || len(got) > 123 ||
					!strings.HasPrefix(test.want, told.Reason) || !utf8.ValidString(told.Reason) || told.Reconnect {
					t.Errorf("V1 is told %q, %v; want a beginning of %q without a reconnect", got, err, test.want)
				}
			})
		})
	}
}
