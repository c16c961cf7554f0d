package websocket

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
)

// mergeNode is a node behind a Handler, for clients that subscribe to anything
// and get back what they call with.
func mergeNode(tb testing.TB, config centrifuge.Config, secure bool) (*server, *centrifuge.Node, chan *centrifuge.Client) {
	tb.Helper()
	node, err := centrifuge.New(config)
	if err != nil {
		tb.Fatal(err)
	}
	clients := make(chan *centrifuge.Client, 1)
	node.Handle(centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{}}, nil
		},
		Connected: func(_ context.Context, e centrifuge.ConnectedEvent) { clients <- e.Client },
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, nil
		},
		RPC: func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: e.Data}, nil
		},
	})
	if err := node.Run(); err != nil {
		tb.Fatal(err)
	}
	s := &server{errors: make(chan error, 100)}
	s.serve(tb, NewHandler(node, Config{}).accept, Config{}, secure)
	tb.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return s, node, clients
}

// dialMerged connects a client.
func dialMerged(tb testing.TB, s *server, clients chan *centrifuge.Client) (*peer, *centrifuge.Client) {
	tb.Helper()
	p := s.dialRaw(tb, handshake("/"))
	p.send(frame(finText, `{"id":1,"connect":{}}`))
	if _, _, err := p.message(); err != nil {
		tb.Fatal(err)
	}
	return p, await.Receive(tb, clients, "client")
}

// TestMerged: a hundred replies come in order, in as few messages as the
// configuration allows. A reply that takes its time may send those before it
// ahead, which on a busy machine happens: so one round of several has to show it.
func TestMerged(t *testing.T) {
	const rounds, each = 20, 100
	for _, c := range []struct{ most, messages int }{{1, 100}, {2, 50}, {64, 2}, {-1, 1}} {
		t.Run(fmt.Sprint(c.most), func(t *testing.T) {
			wires(t, func(t *testing.T, secure bool) {
				s, _, clients := mergeNode(t, centrifuge.Config{MaxBatch: c.most}, secure)
				p, _ := dialMerged(t, s, clients)
				fewest := each + 1
				for round := 0; round < rounds && fewest > c.messages; round++ {
					fewest = min(fewest, p.askMany(each, c.most))
				}
				if fewest != c.messages {
					t.Errorf("%d replies came in %d messages, want %d", each, fewest, c.messages)
				}
			})
		})
	}
}

// askMany sends n commands in one message, reads the replies and returns in how
// many messages they came, none with more than most.
func (p *peer) askMany(n, most int) (messages int) {
	p.t.Helper()
	commands := make([]string, n)
	for i := range commands {
		commands[i] = fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, i+2, i)
	}
	p.send(frame(finText, strings.Join(commands, "\n")))
	for came := 0; came < n; messages++ {
		first, payload, err := p.message()
		if err != nil || first != finText {
			p.t.Fatalf("message %d: %x, %v; want a whole text message", messages, first, err)
		}
		replies := strings.Split(string(payload), "\n")
		if most > 0 && len(replies) > most {
			p.t.Fatalf("%d replies in one message; want at most %d", len(replies), most)
		}
		for _, reply := range replies {
			if want := fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, came+2, came); reply != want {
				p.t.Fatalf("got %s, want %s", reply, want)
			}
			came++
		}
	}
	return messages
}
