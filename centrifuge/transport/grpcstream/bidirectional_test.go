package grpcstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
	"centrifugo/protocol"
)

// serveBoth runs a node and its bidirectional services.
func serveBoth(t *testing.T, config Config, options ...grpc.ServerOption) (*centrifuge.Node, *endpoint) {
	t.Helper()
	n := transporttest.RunNode(t, centrifuge.Config{Version: "1"})
	e := listen(t, n, config, false, options...)
	t.Cleanup(func() { transporttest.Shutdown(t, n) })
	return n, e
}

// TestGenerations: every service has its generation, and V1 the numbers of its draft if the
// metadata asks for them.
func TestGenerations(t *testing.T) {
	n, e := serveBoth(t, Config{})
	for _, test := range []struct {
		name, method, version string
		result                string // of a connect command, in Protobuf
	}{
		{"v2", communicateV2, "", "\x08\x01\x2a"},
		{"v2 asked for", communicateV2, "v2", "\x08\x01\x2a"},
		{"v1", communicateV1, "", "\x08\x01\x1a"},
		{"v1 asked for", communicateV1, "v1", "\x08\x01\x1a"},
		{"v1 by its first name", communicateOld, "", "\x08\x01\x1a"},
		{"draft", communicateV1, "v1-draft", "\x08\x01\x1a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var pairs []string
			if test.version != "" {
				pairs = []string{"cf_protocol_version", test.version}
			}
			p := e.dial(t, test.method, pairs...)
			p.send(`{"id":1,"connect":{}}`)
			var message []byte
			if err := p.stream.RecvMsg(&message); err != nil || !strings.HasPrefix(string(message), test.result) {
				t.Fatalf("received %q, %v; want a connect result that begins with %q", message, err, test.result)
			}
			if test.version != "v1-draft" {
				p.send(`{"id":2,"subscribe":{"channel":"a"}}`)
				p.expect(`{"id":2,"subscribe":{}}`)
			} else { // subscribe was 2, which is unsubscribe in V1
				p.kinds[2] = protocol.KindSubscribe
				if err := p.stream.SendMsg([]byte("\x08\x02\x10\x02\x1a\x03\x0a\x01a")); err != nil {
					t.Fatal(err)
				}
				p.expect(`{"id":2,"subscribe":{}}`)
			}
			if _, err := n.Publish(t.Context(), "a", []byte(`"hello"`), centrifuge.PublishOptions{}); err != nil {
				t.Fatal(err)
			}
			p.expect(`{"push":{"channel":"a","pub":{"data":"hello"}}}`)
			_ = p.Close()
		})
	}
	for _, test := range []struct{ method, version string }{{communicateV2, "v1"}, {communicateV1, "v2"}, {communicateV1, "v3"}} {
		p := e.dial(t, test.method, "cf_protocol_version", test.version)
		if err := p.end(); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s with version %s: got %v; want %v", test.method, test.version, err, codes.InvalidArgument)
		}
	}
}

// TestAdvice: the trailer says why the server has ended a connection.
func TestAdvice(t *testing.T) {
	n, e := serveBoth(t, Config{})
	away := centrifuge.Disconnect{Code: 4900, Reason: "stay \"away\" \U0001F600 \u00e9"}
	for _, test := range []struct {
		name, method string
		ends         func(p *clientEnd)
		want         advice
	}{
		{"v2", communicateV2, func(*clientEnd) { _ = n.Disconnect(t.Context(), centrifuge.Target{User: "u"}, away) }, advice{4900, away.Reason, false}},
		{"v1", communicateV1, func(*clientEnd) { _ = n.Disconnect(t.Context(), centrifuge.Target{User: "u"}, away) }, advice{0, away.Reason, false}},
		{"violation", communicateV2, func(p *clientEnd) { _ = p.stream.SendMsg([]byte("\xff")) }, advice{3501, "bad request", false}},
		{"no pong in v1", communicateV1, func(p *clientEnd) { _ = p.stream.SendMsg([]byte{}) }, advice{0, "bad request", false}},
		{"shutdown", communicateV2, func(*clientEnd) { transporttest.Shutdown(t, n) }, advice{3001, "shutdown", true}},
		{"after shutdown", communicateV2, nil, advice{3001, "shutdown", true}},
		{"after shutdown, v1", communicateV1, nil, advice{0, "shutdown", true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := e.dial(t, test.method)
			if test.ends != nil {
				p.send(`{"id":1,"connect":{}}`)
				p.expect(`{"id":1,"connect":{"client":"`)
				test.ends(p)
			}
			if err := p.end(); !errors.Is(err, io.EOF) {
				t.Errorf("the stream ended with %v; want status OK", err)
			}
			if got := p.advice(); got != test.want {
				t.Errorf("advice = %+v; want %+v", got, test.want)
			}
		})
	}
}

func TestASCII(t *testing.T) {
	for _, text := range []string{"", "plain", "\u00e9\u2028", "\U0001F600", "\x7f"} {
		quoted, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		escaped := ascii(string(quoted))
		var got string
		if err := json.Unmarshal([]byte(escaped), &got); err != nil || got != text || strings.ContainsFunc(escaped, func(r rune) bool { return r < ' ' || r > '~' }) {
			t.Errorf("ascii(%s) = %s, which is %q, %v; want %q in ASCII", quoted, escaped, got, err, text)
		}
	}
}

// TestHalfClose: a client that closes its side gets the replies to what it has sent, then
// the end with status OK.
func TestHalfClose(t *testing.T) {
	n, e := serveBoth(t, Config{})
	for _, method := range []string{communicateV2, communicateV1} {
		p := e.dial(t, method)
		p.send(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"rpc":{"data":"last"}}`)
		if err := p.stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		p.expect(`{"id":1,"connect":{"client":"`, `{"id":2,"rpc":{"data":"last"}}`)
		if err := p.end(); !errors.Is(err, io.EOF) || len(p.stream.Trailer().Get("disconnect")) > 0 {
			t.Errorf("%s: the stream ended with %v, trailer %v; want status OK and no advice", method, err, p.stream.Trailer())
		}
	}
	await.Until(t, "the connections are released", func() bool { return n.NumClients() == 0 })
	p := e.dial(t, communicateV2) // and sends nothing
	if err := p.stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := p.end(); !errors.Is(err, io.EOF) {
		t.Errorf("without a command: the stream ended with %v; want status OK", err)
	}
}

// TestOversize: a message above the bound of the server ends the connection with a status,
// and those before it are answered.
func TestOversize(t *testing.T) {
	refused := make(chan *status.Status, 10)
	_, e := serveBoth(t, Config{OnRefused: func(_ context.Context, client string, answer *status.Status) {
		if client == "" {
			t.Error("OnRefused got no address; want one")
		}
		refused <- answer
	}}, grpc.MaxRecvMsgSize(100))
	p := e.dial(t, communicateV2)
	p.send(`{"id":1,"connect":{}}`)
	p.expect(`{"id":1,"connect":{"client":"`)
	p.send(fmt.Sprintf(`{"id":2,"rpc":{"data":"%s"}}`, strings.Repeat("x", 100)))
	if err := p.end(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("the stream ended with %v; want %v", err, codes.ResourceExhausted)
	}
	if got := await.Receive(t, refused, "a refusal"); got.Code() != codes.ResourceExhausted {
		t.Errorf("refused with %v; want %v", got, codes.ResourceExhausted)
	}
}

// TestNotAdmitted: a call that Admit refuses has its status.
func TestNotAdmitted(t *testing.T) {
	n, e := serveBoth(t, Config{Admit: func(context.Context) error { return status.Error(codes.ResourceExhausted, "enough") }})
	if err := e.dial(t, communicateV2).end(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("got %v; want %v", err, codes.ResourceExhausted)
	}
	if n.NumClients() != 0 {
		t.Errorf("the node has %d clients; want none", n.NumClients())
	}
}

// TestSilentBidirectional: streams that have sent a command do not count as silent ones.
func TestSilentBidirectional(t *testing.T) {
	refused := make(chan *status.Status, 10)
	_, e := serveBoth(t, Config{MaxSilentStreams: 2, OnRefused: func(_ context.Context, _ string, answer *status.Status) { refused <- answer }})
	conn := e.dial(t, communicateV2).conn // with one silent stream
	for range 5 {
		p := open(t, conn, communicateV2)
		p.send(`{"id":1,"connect":{}}`)
		var answer []byte
		if err := p.stream.RecvMsg(&answer); err != nil {
			t.Fatalf("connecting: %v", err)
		}
	}
	open(t, conn, communicateV2)
	open(t, conn, communicateV2)
	if got := await.Receive(t, refused, "a refusal"); got.Code() != codes.ResourceExhausted {
		t.Errorf("refused with %v; want %v", got, codes.ResourceExhausted)
	}
}

// TestStale: a stream on which nothing is sent ends after StaleCloseDelay.
func TestStale(t *testing.T) {
	n := transporttest.RunNode(t, centrifuge.Config{StaleCloseDelay: 100 * time.Millisecond})
	e := listen(t, n, Config{}, false)
	t.Cleanup(func() { transporttest.Shutdown(t, n) })
	p := e.dial(t, communicateV2)
	if err := p.end(); !errors.Is(err, io.EOF) || p.Reason() != centrifuge.DisconnectStale {
		t.Errorf("the stream ended with %v and %v; want status OK and %v", err, p.Reason(), centrifuge.DisconnectStale)
	}
}

// TestCommandsWait: while a handler waits, the server reads no more than the mailbox and the
// window of the stream hold, so that a client which sends more is slowed down; nothing is lost.
func TestCommandsWait(t *testing.T) {
	release := make(chan struct{})
	n := transporttest.RunNode(t, centrifuge.Config{Handlers: centrifuge.Handlers{
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			if e.Method == "wait" {
				<-release
			}
			return centrifuge.RPCReply{Data: e.Data}, nil
		},
	}})
	e := listen(t, n, Config{}, false, grpc.InitialWindowSize(64<<10))
	t.Cleanup(func() { transporttest.Shutdown(t, n) })
	p := e.dial(t, communicateV2)
	p.send(`{"id":1,"connect":{}}` + "\n" + `{"id":2,"rpc":{"method":"wait"}}`)
	p.expect(`{"id":1,"connect":{"client":"`)
	const commands, size = 200, 10 << 10
	sent := make(chan error, 1)
	go func() {
		data := strings.Repeat("x", size)
		for id := range commands {
			if err := p.stream.SendMsg(fmt.Appendf(nil, "\x08%s\x6a%s", varint(id+3), field(1, `"`+data+`"`))); err != nil {
				sent <- err
				return
			}
		}
		sent <- nil
	}()
	select {
	case err := <-sent:
		t.Errorf("%d bytes were sent, %v, while nothing is handled; want the client to wait", commands*size, err)
	case <-time.After(100 * time.Millisecond): // a server that reads on takes them at once
	}
	close(release)
	p.expect(`{"id":2,"rpc":{}}`)
	for id := range commands {
		p.kinds[uint32(id+3)] = protocol.KindRPC //nolint:gosec // small
		p.expect(fmt.Sprintf(`{"id":%d,"rpc":{"data":"xxx`, id+3))
	}
	if err := await.Receive(t, sent, "the end of the sender"); err != nil {
		t.Errorf("sending: %v", err)
	}
}

// varint encodes a small number.
func varint(n int) string {
	if n < 0x80 {
		return string([]byte{byte(n)})
	}
	return string([]byte{byte(n) | 0x80, byte(n >> 7)}) //nolint:gosec // small
}

// field encodes a message whose only field is bytes, as a field's value: with its length.
func field(number int, bytes string) string {
	inner := string([]byte{byte(number<<3 | 2)}) + length(len(bytes)) + bytes //nolint:gosec // small
	return length(len(inner)) + inner
}

// length encodes a number below 2^21.
func length(n int) string {
	if n < 1<<14 {
		return varint(n)
	}
	return string([]byte{byte(n) | 0x80, byte(n>>7) | 0x80, byte(n >> 14)}) //nolint:gosec // truncation is meant
}

// FuzzPrefixed: a message of a client is one batch with that message, whatever it holds.
func FuzzPrefixed(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte("\x08\x01\x22\x00"))
	f.Add(make([]byte, 300))
	f.Fuzz(func(t *testing.T, b []byte) {
		encoded, err := raw{}.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		var p prefixed
		if err := Codec().Unmarshal(encoded, &p); err != nil {
			t.Fatal(err)
		}
		defer p.free()
		got, rest, err := protocol.Split(protocol.FormatProtobuf, p.bytes)
		if err != nil || string(got) != string(b) || len(rest) != 0 {
			t.Errorf("Split(%q) = %q, %q, %v; want %q alone", p.bytes, got, rest, err, b)
		}
	})
}
