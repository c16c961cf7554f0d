package websocket

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
)

// newStreamServer runs a node with the default limits, whose channels have
// history and recovery. It subscribes the user to the channels that its connect
// request names in data.
func newStreamServer(t *testing.T, config centrifuge.Config, wire wire) (*server, *centrifuge.Node) {
	t.Helper()
	node, err := centrifuge.New(config)
	if err != nil {
		t.Fatal(err)
	}
	recoverable := centrifuge.SubscribeOptions{Recovery: true}
	node.Handle(centrifuge.Handlers{
		Connecting: func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			reply := centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}}
			reply.Subscriptions = make(map[string]centrifuge.SubscribeOptions)
			for _, channel := range e.Channels {
				reply.Subscriptions[channel] = recoverable
			}
			return reply, nil
		},
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: recoverable}, nil
		},
		History: func(context.Context, centrifuge.HistoryEvent) (centrifuge.HistoryReply, error) {
			return centrifuge.HistoryReply{}, nil
		},
	})
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	accept := NewHandler(node, Config{}).accept
	s := &server{}
	// Sockets that block have a timeout of their own, which a slow machine must not meet.
	limits := Config{WriteTimeout: time.Minute}
	s.serveOn(t, func(ctx context.Context, transport centrifuge.Transport) (session, error) {
		return accept(ctx, transport)
	}, limits, wire)
	t.Cleanup(func() { _ = node.Shutdown(context.Background()) })
	return s, node
}

func publishMany(t *testing.T, node *centrifuge.Node, channel string, n, size int) {
	t.Helper()
	data := []byte(`"` + strings.Repeat("x", size-2) + `"`)
	for range n {
		if _, err := node.Publish(t.Context(), channel, data, centrifuge.PublishOptions{HistorySize: n, HistoryTTL: time.Hour}); err != nil {
			t.Fatal(err)
		}
	}
}

// A largeReply is what the tests look at in a reply or push.
type largeReply struct {
	ID    int
	Error *struct{ Code int }

	Connect   *struct{ Subs map[string]*largeRecovery }
	Subscribe *largeRecovery
	History   *largeRecovery
	Push      struct {
		Pub *struct{ Data string }
	}
}

type largeRecovery struct {
	Recovered    bool
	Publications []struct{ Offset int }
}

func (r *largeRecovery) String() string {
	return fmt.Sprintf("%d publications, recovered %v", len(r.Publications), r.Recovered)
}

// replies reads n replies or pushes, whatever messages they come in.
func (p *peer) replies(n int) []largeReply {
	p.t.Helper()
	var replies []largeReply
	for len(replies) < n {
		first, payload, err := p.message()
		if err != nil || first != finText {
			p.t.Fatalf("after %d replies: %x %.80q, %v; want %d replies", len(replies), first, payload, err, n)
		}
		decoder := json.NewDecoder(bytes.NewReader(payload))
		for {
			var r largeReply
			if err := decoder.Decode(&r); err == io.EOF { //nolint:errorlint // as its doc says
				break
			} else if err != nil {
				p.t.Fatal(err)
			}
			replies = append(replies, r)
		}
	}
	return replies
}

// TestLargeReplies: what a client asked for comes whatever its size, and however
// full the socket is before the client reads.
func TestLargeReplies(t *testing.T) {
	const count, size = 300, 3600
	recovering := func(id int, channel string) string {
		return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q,"recover":true}}`, id, channel)
	}
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	for _, test := range []struct {
		name     string
		channels int
		connect  string // data of the connect command
		commands func() []string
		want     int // recovered or read subscriptions
	}{
		{name: "one recovery", channels: 1, connect: `{}`, want: 1, commands: func() []string { return []string{recovering(2, "a")} }},
		{name: "history", channels: 1, connect: `{}`, want: 1, commands: func() []string {
			return []string{`{"id":2,"history":{"channel":"a","limit":300}}`}
		}},
		{name: "recoveries in one message", channels: 8, connect: `{}`, want: 8, commands: func() (commands []string) {
			for i, name := range names {
				commands = append(commands, recovering(2+i, name))
			}
			return commands
		}},
		{name: "history again and again", channels: 1, connect: `{}`, want: 12, commands: func() (commands []string) {
			for i := range 12 {
				commands = append(commands, fmt.Sprintf(`{"id":%d,"history":{"channel":"a","limit":-1}}`, 2+i))
			}
			return commands
		}},
		{name: "server-side subscriptions", channels: 3, want: 3,
			connect: `{"subs":{"a":{"recover":true},"b":{"recover":true},"c":{"recover":true}}}`, commands: func() []string { return nil }},
	} {
		t.Run(test.name, func(t *testing.T) {
			allWires(t, func(t *testing.T, wire wire) {
				s, node := newStreamServer(t, centrifuge.Config{WriteTimeout: time.Minute}, wire)
				for _, name := range names[:test.channels] {
					publishMany(t, node, name, count, size)
				}
				p := s.dialRaw(t, handshake("/"))
				_ = p.SetDeadline(time.Now().Add(6 * waitLimit))
				in := [][]byte{frame(finText, `{"id":1,"connect":`+test.connect+`}`)}
				if commands := test.commands(); commands != nil {
					in = append(in, frame(finText, strings.Join(commands, "\n")))
				}
				p.send(in...)
				whole := 0
				check := func(r *largeRecovery, asked bool) {
					if r == nil || len(r.Publications) != count || asked && !r.Recovered {
						t.Errorf("%v; want %d publications, recovered if asked for (%v)", r, count, asked)
						return
					}
					whole++
				}
				for _, r := range p.replies(1 + len(test.commands())) {
					switch {
					case r.Connect != nil:
						for _, sub := range r.Connect.Subs {
							check(sub, true)
						}
					case r.Subscribe != nil:
						check(r.Subscribe, true)
					default:
						check(r.History, false)
					}
				}
				if whole != test.want {
					t.Errorf("%d were complete, want %d", whole, test.want)
				}
				// It is open, and receives what comes.
				if test.channels > 0 && test.name != "history" && test.name != "history again and again" {
					publishMany(t, node, "a", 1, 10)
					if r := p.replies(1)[0]; r.Push.Pub == nil || len(r.Push.Pub.Data) != 8 {
						t.Errorf("%+v; want len(Push.Pub.Data) 8", r)
					}
				}
			})
		})
	}
}

// TestLargePublication: one publication may be larger than the queue, and the
// bound is left behind it.
func TestLargePublication(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s, node := newStreamServer(t, centrifuge.Config{WriteTimeout: time.Minute}, wire)
		p := s.dialRaw(t, handshake("/"))
		_ = p.SetDeadline(time.Now().Add(6 * waitLimit))
		p.send(frame(finText, `{"id":1,"connect":{}}`+"\n"+`{"id":2,"subscribe":{"channel":"a"}}`))
		p.replies(2)
		for i, size := range []int{1 << 20, 3 << 20, 10, 1<<20 + 1} {
			publishMany(t, node, "a", 1, size)
			if r := p.replies(1)[0]; r.Push.Pub == nil || len(r.Push.Pub.Data) != size-2 {
				t.Fatalf("publication %d did not come; want len(r.Push.Pub.Data) %v", i, size-2)
			}
		}
		publishMany(t, node, "a", 1, 2<<20)
		publishMany(t, node, "a", 1, 500_000) // behind one that is on its way
		replies := p.replies(2)               // in one message or in two
		for i, size := range []int{2 << 20, 500_000} {
			if r := replies[i]; r.Push.Pub == nil || len(r.Push.Pub.Data) != size-2 {
				t.Fatalf("publication %d of two did not come; want len(r.Push.Pub.Data) %v", i, size-2)
			}
		}
	})
}
