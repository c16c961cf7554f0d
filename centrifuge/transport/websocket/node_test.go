package websocket

import (
	"context"
	"encoding/json"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"

	"centrifugo/centrifuge"
)

type userKey struct{}

// newNodeServer runs a node behind a Handler, and puts a value into the context
// as middleware does.
func newNodeServer(t *testing.T, config Config, secure bool) (*server, *centrifuge.Node) {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		t.Fatal(err)
	}
	node.Handle(centrifuge.Handlers{
		Connecting: func(ctx context.Context, _ centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			user, _ := ctx.Value(userKey{}).(string)
			if ctx.Err() != nil {
				return centrifuge.ConnectingReply{}, errors.New("context ended with the request")
			}
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: user}}, nil
		},
	})
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	accept := NewHandler(node, config).accept
	s := &server{}
	s.serve(t, func(ctx context.Context, transport centrifuge.Transport) (session, error) {
		return accept(context.WithValue(ctx, userKey{}, "42"), transport)
	}, config, secure)
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return s, node
}

// A node and a connection understand each other: commands, an error of the
// client, a message that is too big, shutdown.
func TestNode(t *testing.T) {
	wires(t, func(t *testing.T, secure bool) {
		s, node := newNodeServer(t, Config{Compression: true}, secure)
		connect := func() *peer {
			p := s.dialRaw(t, handshake("/", deflateOfferLine))
			p.send(frame(finText, `{"id":1,"connect":{}}`))
			first, payload, err := p.message()
			if err != nil {
				t.Fatal(err)
			}
			text := string(payload)
			if first&bitRSV1 != 0 {
				text = inflated(t, payload)
			}
			var reply struct {
				ID      int
				Connect struct{ Client string }
			}
			if err := json.Unmarshal([]byte(text), &reply); err != nil || reply.ID != 1 || reply.Connect.Client == "" {
				t.Fatalf("%q: %v", text, err)
			}
			return p
		}
		connect().expectNothingAfter(frame(finText, `{"id":2,"connect":{}}`), 3501)
		connect().expectNothingAfter(frame(finText, ""), 3501)
		connect().expectNothingAfter(frame(finText, strings.Repeat("x", 65537)), 1009)
		last := connect()
		if err := node.Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		if reason := last.expectClose(3001); reason != "shutdown" {
			t.Fatal(reason)
		}
		s.dialRaw(t, handshake("/")).expectClose(3001)
	})
}

// expectNothingAfter sends in and expects nothing but a close frame.
func (p *peer) expectNothingAfter(in []byte, code uint16) {
	p.t.Helper()
	p.send(in)
	p.expectClose(code)
	p.send(frame(finClose, ""))
	p.expectEnd()
}

func ExampleNewHandler() {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		panic(err)
	}
	if err := node.Run(); err != nil {
		panic(err)
	}
	handler := NewHandler(node, Config{Compression: true, CompressionMinSize: 512})
	server := httptest.NewServer(handler) // or http.ListenAndServe, behind the middleware that says who connects
	server.Close()
	_ = node.Shutdown(context.Background())
	handler.Close()
	// Output:
}
