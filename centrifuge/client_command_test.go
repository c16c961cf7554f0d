package centrifuge_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

const badRequest = "close 3501 bad request"

// TestMalformedInput has the rows of protocol.md 5.9 that need no application.
func TestMalformedInput(t *testing.T) {
	long := strings.Repeat("x", 256)
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, test := range []struct {
		name string
		send string
		want []string
		// fresh connections have not connected.
		fresh bool
	}{
		{name: "empty message", send: "", want: []string{badRequest}},
		{name: "no JSON", send: `{"id":`, want: []string{badRequest}},
		{name: "first is answered", send: "{\"id\":2,\"rpc\":{\"data\":1}}\n{x", want: []string{`{"id":2,"rpc":{"data":1}}`, badRequest}},
		{name: "blank line", send: "{\"id\":2,\"rpc\":{}}\n\n{\"id\":3,\"rpc\":{}}", want: []string{`{"id":2,"rpc":{}}`, badRequest}},
		{name: "trailing newline", send: "{\"id\":2,\"rpc\":{}}\n", want: []string{`{"id":2,"rpc":{}}`}},
		{name: "two on a line", send: `{"id":2,"rpc":{}}{"id":3,"rpc":{}}`, want: []string{`{"id":2,"rpc":{}}`}},
		{name: "unknown keys", send: `{"id":2,"more":[{}],"rpc":{"x":1}}`, want: []string{`{"id":2,"rpc":{}}`}},
		{name: "id is text", send: `{"id":"2","rpc":{}}`, want: []string{badRequest}},
		{name: "id too large", send: `{"id":4294967296,"rpc":{}}`, want: []string{badRequest}},
		{name: "largest id", send: `{"id":4294967295,"rpc":{}}`, want: []string{`{"id":4294967295,"rpc":{}}`}},
		{name: "channel is a number", send: `{"id":2,"subscribe":{"channel":5}}`, want: []string{badRequest}},
		{name: "only an id", send: `{"id":5}`, want: []string{badRequest}},
		{name: "V1 command", send: `{"id":5,"method":1,"params":{}}`, want: []string{badRequest}},
		{name: "null connect", send: `{"id":1,"connect":null}`, want: []string{badRequest}, fresh: true},
		{name: "no id", send: `{"publish":{"channel":"a","data":1}}`, want: []string{badRequest}},
		{name: "no id on connect", send: `{"connect":{}}`, want: []string{badRequest}, fresh: true},
		{name: "unsolicited pong", send: `{}`, want: []string{badRequest}},
		{name: "null is a pong", send: `null`, want: []string{badRequest}},
		{name: "early pong", send: `{}`, want: []string{badRequest}, fresh: true},
		{name: "ping command", send: `{"id":2,"ping":{}}`, want: []string{badRequest}},
		{name: "large command", send: `{"id":2,"rpc":{"data":"` + strings.Repeat("x", 100_000) + `"}}`, want: []string{`{"id":2,"rpc":{"data":"` + strings.Repeat("x", 100_000) + `"}}`}},
		{name: "other letter case", send: `{"ID":2,"Rpc":{"Data":1}}`, want: []string{`{"id":2,"rpc":{"data":1}}`}},
		{name: "deepest payload", send: `{"id":2,"rpc":{"data":` + deep(protocol.MaxDepth) + `}}`, want: []string{`{"id":2,"rpc":{"data":` + deep(protocol.MaxDepth) + `}}`}},
		{name: "payload too deep", send: `{"id":2,"rpc":{"data":` + deep(protocol.MaxDepth+1) + `}}`, want: []string{badRequest}},
		{name: "deep unknown member", send: `{"id":2,"x":` + deep(protocol.MaxDepth) + `,"rpc":{"y":` + deep(600) + `}}`, want: []string{`{"id":2,"rpc":{}}`}},
		{name: "command first", send: `{"id":2,"rpc":{}}`, want: []string{badRequest}, fresh: true},
		{name: "connect twice", send: `{"id":2,"connect":{}}`, want: []string{badRequest}},
		{name: "subscribe, no channel", send: `{"id":2,"subscribe":{}}`, want: []string{badRequest}},
		{name: "unsubscribe, no channel", send: `{"id":2,"unsubscribe":{}}`, want: []string{badRequest}},
		{name: "publish, no channel", send: `{"id":2,"publish":{"data":1}}`, want: []string{badRequest}},
		{name: "presence, no channel", send: `{"id":2,"presence":{}}`, want: []string{badRequest}},
		{name: "presence_stats, no channel", send: `{"id":2,"presence_stats":{}}`, want: []string{badRequest}},
		{name: "history, no channel", send: `{"id":2,"history":{}}`, want: []string{badRequest}},
		{name: "sub_refresh, no channel", send: `{"id":2,"sub_refresh":{}}`, want: []string{badRequest}},
		{name: "unknown delta", send: `{"id":2,"subscribe":{"channel":"a","delta":"x"}}`, want: []string{badRequest}},
		{name: "subscribe, long channel", send: `{"id":2,"subscribe":{"channel":"` + long + `"}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "publish, long channel", send: `{"id":2,"publish":{"channel":"` + long + `","data":1}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "history, long channel", send: `{"id":2,"history":{"channel":"` + long + `"}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "presence, long channel", send: `{"id":2,"presence":{"channel":"` + long + `"}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "presence_stats, long channel", send: `{"id":2,"presence_stats":{"channel":"` + long + `"}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "longest channel", send: `{"id":2,"unsubscribe":{"channel":"` + long[:255] + `"}}`, want: []string{`{"id":2,"unsubscribe":{}}`}},
		{name: "publish, no data", send: `{"id":2,"publish":{"channel":"a"}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "publish, null data", send: `{"id":2,"publish":{"channel":"a","data":null}}`, want: []string{`{"id":2,"publish":{}}`}},
		{name: "publish to a map", send: `{"id":2,"publish":{"channel":"a","data":1,"type":1,"key":"k"}}`, want: []string{refused(2, centrifuge.ErrorNotAvailable)}},
		{name: "subscribe to a map", send: `{"id":2,"subscribe":{"channel":"a","type":1}}`, want: []string{refused(2, centrifuge.ErrorPermissionDenied)}},
		{name: "subscribe to a poll", send: `{"id":2,"subscribe":{"channel":"a","type":4}}`, want: []string{refused(2, centrifuge.ErrorNotAvailable)}},
		{name: "subscribe to nothing known", send: `{"id":2,"subscribe":{"channel":"a","type":9}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "reverse from zero", send: `{"id":2,"history":{"channel":"a","reverse":true,"since":{"epoch":""}}}`, want: []string{refused(2, centrifuge.ErrorBadRequest)}},
		{name: "refresh of a connection that need not", send: `{"id":2,"refresh":{"token":"t"}}`, want: []string{badRequest}},
		{name: "refresh, no token", send: `{"id":2,"refresh":{}}`, want: []string{badRequest}},
		{name: "sub_refresh, not subscribed", send: `{"id":2,"sub_refresh":{"channel":"a","token":"t"}}`, want: []string{refused(2, centrifuge.ErrorPermissionDenied)}},
		{name: "send without id", send: `{"send":{"data":1}}`, want: []string{}},
		{name: "send with id", send: `{"id":2,"send":{"data":1}}`, want: []string{}},
		{name: "unsubscribe from nothing", send: `{"id":2,"unsubscribe":{"channel":"a"}}`, want: []string{`{"id":2,"unsubscribe":{}}`}},
		{name: "ids repeat", send: "{\"id\":9,\"rpc\":{}}\n{\"id\":9,\"rpc\":{}}", want: []string{`{"id":9,"rpc":{}}`, `{"id":9,"rpc":{}}`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
				p := s.dial(jsonV2, centrifuge.TransportInfo{}, "u")
				if !test.fresh {
					p.commands(`{"id":1,"connect":{}}`)
					p.received()
				}
				p.SendRaw([]byte(test.send))
				p.expect(test.want...)
			})
		})
	}
}

// refused is the answer to a command with an error.
func refused(id uint32, err *centrifuge.Error) string {
	encoded, _ := protocol.AppendReply(nil, jsonV2, &protocol.Reply{ID: id, Error: &protocol.Error{
		Code: err.Code, Message: err.Message, Temporary: err.Temporary,
	}})
	return string(encoded)
}

// TestMalformedProtobuf: the same in the other encoding.
func TestMalformedProtobuf(t *testing.T) {
	for _, test := range []struct {
		name string
		send []byte
		want []string
	}{
		{"truncated", []byte{5, 8}, []string{badRequest}},
		{"bad length", []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, []string{badRequest}},
		{"unsolicited pong", []byte{0}, []string{badRequest}},
		{"first is answered", []byte{4, 8, 2, 13<<3 | 2, 0, 9}, []string{`{"id":2,"rpc":{}}`, badRequest}},
		{"unknown field", []byte{8, 8, 2, 13<<3 | 2, 0, 0xf8, 0x7f, 1, 0}[:8], []string{badRequest}},
		{"unknown field skipped", []byte{7, 8, 2, 13<<3 | 2, 0, 0xf8, 0x7f, 1}, []string{`{"id":2,"rpc":{}}`}},
		{"wrong wire type", []byte{3, 8, 2, 13 << 3}, []string{badRequest}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
				p := s.connect(protobufV2, "u")
				p.SendRaw(test.send)
				p.expect(test.want...)
			})
		})
	}
}

// TestNoHandlers: every feature that the application does not serve.
func TestNoHandlers(t *testing.T) {
	notAvailable := func(id uint32) string { return refused(id, centrifuge.ErrorNotAvailable) }
	for command, want := range map[string]string{
		`{"id":2,"subscribe":{"channel":"a"}}`:        notAvailable(2),
		`{"id":2,"publish":{"channel":"a","data":1}}`: notAvailable(2),
		`{"id":2,"presence":{"channel":"a"}}`:         notAvailable(2),
		`{"id":2,"presence_stats":{"channel":"a"}}`:   notAvailable(2),
		`{"id":2,"history":{"channel":"a"}}`:          notAvailable(2),
		`{"id":2,"rpc":{"method":"m"}}`:               notAvailable(2),
		`{"id":2,"send":{"data":1}}`:                  "close 3508 not available",
	} {
		inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
			s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{})
			p := s.connect(format, "u")
			p.commands(command)
			if strings.Contains(command, "send") && format.V1() {
				p.expect() // protocol.md 8.5
				return
			}
			p.expect(want)
		})
	}
}

// TestErrorsOfHandlers: an *Error answers, a Disconnect closes, the rest is
// logged and answered as internal.
func TestErrorsOfHandlers(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		want   string
		logged int
	}{
		{"error", &centrifuge.Error{Code: 404, Message: "no", Temporary: true}, `{"id":2,"error":{"code":404,"message":"no","temporary":true}}`, 0},
		{"wrapped error", errors.Join(errors.New("x"), centrifuge.ErrorMethodNotFound), refused(2, centrifuge.ErrorMethodNotFound), 0},
		{"no history", centrifuge.ErrNoHistory, refused(2, centrifuge.ErrorNotAvailable), 0},
		{"other", errors.New("the secret cause"), refused(2, centrifuge.ErrorInternal), 1},
		{"disconnect", centrifuge.Disconnect{Code: 4501, Reason: "banned"}, "", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{
					RPC: func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
						return centrifuge.RPCReply{}, test.err
					},
				})
				p := s.connect(format, "u")
				p.commands(`{"id":2,"rpc":{}}`)
				want := test.want
				if want == "" {
					want = p.closes(centrifuge.Disconnect{Code: 4501, Reason: "banned"})
				}
				p.expect(want)
				if logged := s.logged(); len(logged) != test.logged {
					t.Errorf("logged %q; want length %v", logged, test.logged)
				}
			})
		})
	}
}

// TestDisconnectEndsTheMessage: no command behind it is handled.
func TestDisconnectEndsTheMessage(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.commands(`{"id":2,"rpc":{"data":1}}`, `{"id":3,"publish":{}}`, `{"id":4,"rpc":{"data":2}}`)
		p.expect(`{"id":2,"rpc":{"data":1}}`, badRequest)
	})
}

// TestSeveralRequestsInOneCommand: the order of protocol.md 4.1 decides.
func TestSeveralRequestsInOneCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.SendRaw([]byte(`{"id":2,"rpc":{"data":1},"unsubscribe":{"channel":"a"}}`))
		p.expect(`{"id":2,"unsubscribe":{}}`)
	})
}

// TestSendHasNoReply, not even when its handler fails.
func TestSendHasNoReply(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		var got []string
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{
			Message: func(_ context.Context, e centrifuge.MessageEvent) error {
				got = append(got, string(e.Data))
				return centrifuge.ErrorPermissionDenied
			},
		})
		p := s.connect(format, "u")
		p.commands(`{"send":{"data":{"a":1}}}`, `{"id":7,"send":{"data":2}}`)
		p.expect()
		if strings.Join(got, " ") != `{"a":1} 2` {
			t.Errorf("the handler got %q; want %q", got, `{"a":1} 2`)
		}
	})
}

// TestConcurrency: commands of one connection may overtake each other when the
// node is told so.
func TestConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.RPC = func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			if e.Method == "slow" {
				<-release
			}
			return centrifuge.RPCReply{}, nil
		}
		s := newSite(t, centrifuge.Config{Concurrency: 2}, handlers)
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"rpc":{"method":"slow"}}`, `{"id":3,"rpc":{}}`, `{"id":4,"rpc":{}}`)
		p.expectAnyOrder(`{"id":3,"rpc":{}}`, `{"id":4,"rpc":{}}`)
		close(release)
		p.expect(`{"id":2,"rpc":{}}`)
	})
}

// TestBackpressure: a connection that sends commands faster than they
// are handled is not read until its queue is shorter.
func TestBackpressure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newSite(t, centrifuge.Config{}, centrifuge.Handlers{
			RPC: func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
				<-release
				return centrifuge.RPCReply{}, nil
			},
		})
		p := s.connect(jsonV2, "u")
		message := []byte(`{"id":2,"rpc":{"data":"` + strings.Repeat("x", 32<<10) + `"}}`)
		sent := 0
		for p.Client.Conn().Receive(message) {
			if sent++; sent > 10 {
				t.Fatalf("the mailbox takes whatever comes: got %v; want at most 10", sent)
			}
			synctest.Wait() // the first is being handled
		}
		close(release)
		if got := p.received(); len(got) != sent+1 {
			t.Errorf("%d replies; want %d, one to each command", len(got), sent+1)
		}
		if p.Resumed() != 1 {
			t.Errorf("resumed %d times; want 1", p.Resumed())
		}
	})
}

// TestDocumentedAnswers has the answers that docs/compatibility.md names.
func TestDocumentedAnswers(t *testing.T) {
	const tooLong, position = 256, `"since":{"offset":1,"epoch":"x"}`
	for _, test := range []struct{ name, command, want string }{
		{"subscribe", `"subscribe":{"channel":"NAME"}`, ""},
		{"publish", `"publish":{"channel":"NAME","data":1}`, ""},
		{"presence", `"presence":{"channel":"NAME"}`, ""},
		{"presence_stats", `"presence_stats":{"channel":"NAME"}`, ""},
		{"history", `"history":{"channel":"NAME","limit":1}`, ""},
		{"history since", `"history":{"channel":"NAME",` + position + `}`, ""},
		{"publish without data", `"publish":{"channel":"nowhere:x"}`, ""},
		{"ping", `"ping":{}`, badRequest},
		{"ping with a body", `"ping":{"x":1}`, badRequest},
		{"ping that is no object", `"ping":5`, badRequest},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
				p := s.connect(jsonV2, "u")
				if test.want == "" {
					test.want = refused(2, centrifuge.ErrorBadRequest)
				}
				p.SendRaw([]byte(`{"id":2,` + strings.ReplaceAll(test.command, "NAME", strings.Repeat("x", tooLong)) + `}`))
				p.expect(test.want)
			})
		})
	}
}
