package websocket

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
)

type userKey struct{}

// newNodeServer runs a node behind a Handler, and puts a value into the context
// as middleware does.
func newNodeServer(t *testing.T, config Config, wire wire) (*server, *centrifuge.Node, chan *centrifuge.Client) {
	t.Helper()
	node, err := centrifuge.New(centrifuge.Config{QueueSize: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	clients := make(chan *centrifuge.Client, 8)
	node.Handle(centrifuge.Handlers{
		Connected: func(_ context.Context, e centrifuge.ConnectedEvent) { clients <- e.Client },
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
	s.serveOn(t, func(ctx context.Context, transport centrifuge.Transport) (session, error) {
		return accept(context.WithValue(ctx, userKey{}, "42"), transport)
	}, config, wire)
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return s, node, clients
}

// A node and a connection understand each other: commands, an error of the
// client, a message that is too big, shutdown.
func TestNode(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s, node, _ := newNodeServer(t, Config{Compression: true}, wire)
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
				t.Fatalf("%q: %v; want reply.ID 1", text, err)
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
			t.Fatalf("reason %q; want shutdown", reason)
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

// A client that reads nothing is given up when its queue is full, and not
// before: what had been accepted comes, without a gap, and then why it ended.
func TestSlowClientOfANode(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s, _, clients := newNodeServer(t, Config{}, wire)
		p := s.dialRaw(t, handshake("/"))
		p.send(frame(finText, `{"id":1,"connect":{}}`))
		if _, _, err := p.message(); err != nil {
			t.Fatal(err)
		}
		client := await.Receive(t, clients, "client")
		padding := strings.Repeat("x", 10_000)
		message := func(i int) string { return fmt.Sprintf(`{"n":%d,"p":%q}`, i, padding) }
		sent := 0
		for ; client.Context().Err() == nil; sent++ {
			if err := client.Send([]byte(message(sent))); err != nil || sent > 10_000 {
				t.Fatalf("%d messages, %v; want at most 10,000", sent, err)
			}
		}
		for i := 0; ; {
			first, payload, err := p.message()
			if err != nil {
				t.Fatalf("after %d of %d: %v", i, sent, err)
			}
			if first == finClose {
				if code := binary.BigEndian.Uint16(payload); code != 3008 || i == 0 || i > sent {
					t.Fatalf("closed with %d after %d of %d; want 3008 after some", code, i, sent)
				}
				break
			}
			for push := range strings.Lines(string(payload)) {
				if want := `{"push":{"message":{"data":` + message(i) + `}}}`; strings.TrimSuffix(push, "\n") != want {
					t.Fatalf("got %.60q, want %.60q", push, want)
				}
				i++
			}
		}
		p.send(frame(finClose, ""))
		p.expectEnd()
	})
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
	answer, err := http.Get(server.URL)
	if err != nil {
		panic(err)
	}
	_ = answer.Body.Close()
	fmt.Println(answer.Status, answer.Header.Get("Upgrade"))
	server.Close()
	_ = node.Shutdown(context.Background())
	handler.Close()
	// Output:
	// 426 Upgrade Required websocket
}

func ExampleListener() {
	server := httptest.NewUnstartedServer(http.NotFoundHandler()) // in place of a Handler
	server.Listener = Listener(server.Listener)
	server.StartTLS() // http.Server.ServeTLS and tls.NewListener do as well
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		panic(err)
	}
	_ = answer.Body.Close()
	fmt.Println(answer.Status)
	server.Close()
	// Output: 404 Not Found
}
