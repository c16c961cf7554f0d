package websocket

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// uniServer runs a node behind a Handler of unidirectional connections. The user of a
// connection is its token; the token "wrong" is refused with an error.
func uniServer(t *testing.T, config Config, wire wire) (*server, *centrifuge.Node) {
	t.Helper()
	config.Unidirectional = true
	node, err := centrifuge.New(centrifuge.Config{LogLevel: centrifuge.LogNone, PingInterval: time.Second, PongTimeout: time.Second / 2, Version: "1", Handlers: centrifuge.Handlers{
		Connecting: func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			if e.Token == "wrong" {
				return centrifuge.ConnectingReply{}, centrifuge.ErrorTokenExpired
			}
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: e.Token},
				Subscriptions: map[string]centrifuge.SubscribeOptions{"news": {}}}, nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	s := &server{errors: make(chan error, 100)}
	s.serveOn(t, NewHandler(node, config).accept, config, wire)
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return s, node
}

// expectText expects a text message that begins with prefix, and returns it.
func (p *peer) expectText(prefix string) string {
	p.t.Helper()
	p.renew()
	for {
		first, payload, err := p.message()
		switch {
		case err == nil && first == bitFin|opPing:
			continue // beside the pings of the protocol
		case err == nil && first == finText && string(payload) == "{}" && prefix != "{}":
			continue
		case err != nil || first != finText || !strings.HasPrefix(string(payload), prefix):
			p.t.Fatalf("got %x %q, %v; want %q", first, payload, err, prefix)
		}
		return string(payload)
	}
}

const uniHello = `{"connect":{"client":"`

// TestUnidirectional connects by the URL and by the first message, and gets publications, pings and the end.
func TestUnidirectional(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		for _, byURL := range []bool{true, false} {
			s, node := uniServer(t, Config{}, wire)
			var p *peer
			if byURL {
				p = s.dialRaw(t, handshake("/?cf_connect="+url.QueryEscape(`{"token":"u"}`)))
				p.send(frame(finText, "anything"))
			} else {
				p = s.dialRaw(t, handshake("/"))
				p.send(frame(finText, `{"token":"u"}`))
			}
			hello := p.expectText(uniHello)
			for want, has := range map[string]bool{`"session":"`: true, `"subs":{"news":{}}`: true, `"node"`: false, `"pong"`: false} {
				if strings.Contains(hello, want) != has {
					t.Errorf("the connect push is %s; contains %s: want %v", hello, want, has)
				}
			}
			p.send(frame(finText, `{"id":2,"rpc":{}}`)) // ignored
			for _, data := range []string{"1", "2"} {
				if _, err := node.Publish(context.Background(), "news", []byte(data), centrifuge.PublishOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			p.expectText(`{"channel":"news","pub":{"data":1}}`)
			p.expectText(`{"channel":"news","pub":{"data":2}}`)
			p.expectText(`{}`)
			p.renew()
			if first, _, err := p.message(); err != nil || first != bitFin|opPing {
				t.Errorf("behind a ping: got %x, %v; want a ping of WebSocket", first, err)
			}
			if err := node.Disconnect(context.Background(), centrifuge.Target{User: "u"}, centrifuge.Disconnect{Code: 4000, Reason: "bye"}); err != nil {
				t.Fatal(err)
			}
			p.expectText(`{"disconnect":{"code":4000,"reason":"bye"}}`)
			p.expectClose(4000)
		}
	})
}

// TestUnidirectionalRefused: what is wrong with the connect request.
func TestUnidirectionalRefused(t *testing.T) {
	s, _ := uniServer(t, Config{MessageSizeLimit: 100}, wireTCP)
	for query, want := range map[string]int{
		"{": http.StatusBadRequest, "[]": http.StatusBadRequest, "{}{}": http.StatusBadRequest, strings.Repeat("x", 101): http.StatusRequestURITooLong,
	} {
		if got := s.dialRaw(t, handshake("/?cf_connect="+url.QueryEscape(query))).answer.StatusCode; got != want {
			t.Errorf("cf_connect %.10s: got %d; want %d", query, got, want)
		}
	}
	for message, want := range map[string]string{
		`{`:                 `{"disconnect":{"code":3501,"reason":"bad request"}}`,
		``:                  `{"disconnect":{"code":3501,"reason":"bad request"}}`,
		`{"token":"wrong"}`: `{"disconnect":{"code":3005,"reason":"connection expired"}}`,
	} {
		p := s.dialRaw(t, handshake("/"))
		p.send(frame(finText, message))
		p.expectText(want)
		code := uint16(3501)
		if strings.Contains(message, "wrong") {
			code = 3005
		}
		p.expectClose(code)
	}
}

// TestUnidirectionalOptions: without a push, and without a handshake.
func TestUnidirectionalOptions(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		for name, config := range map[string]Config{
			"no push": {NoDisconnectPush: true}, "no handshake": {NoClosingHandshake: true}, "joined": {JoinPushes: true},
		} {
			s, node := uniServer(t, config, wire)
			p := s.dialRaw(t, handshake("/?cf_connect="+url.QueryEscape(`{"token":"u"}`)))
			p.expectText(uniHello)
			if err := node.Disconnect(context.Background(), centrifuge.Target{User: "u"}, centrifuge.Disconnect{Code: 4000, Reason: "bye"}); err != nil {
				t.Fatal(err)
			}
			if name != "no push" {
				p.expectText(`{"disconnect":{"code":4000,"reason":"bye"}}`)
			}
			if name == "no handshake" {
				p.expectEnd()
				continue
			}
			p.expectClose(4000)
		}
	})
}

// TestJoinedPushes: pushes that are ready together are one message, or several.
func TestJoinedPushes(t *testing.T) {
	for _, joined := range []bool{true, false} {
		s := newServer(t, Config{Unidirectional: true, JoinPushes: joined}, false)
		p := s.dial(t, "/")
		batch := []*protocol.Encoded{{Bytes: []byte("{1}")}, {Bytes: []byte("{}"), Kind: protocol.KindPing}, {Bytes: []byte("{2}")}}
		if _, err := p.session.transport.Write(context.Background(), batch); err != nil {
			t.Fatal(err)
		}
		if joined {
			p.expect(finText, "{1}\n{}\n{2}")
		} else {
			p.expect(finText, "{1}")
			p.expect(finText, "{}")
			p.expect(finText, "{2}")
		}
		p.expect(bitFin|opPing, "")
	}
}
