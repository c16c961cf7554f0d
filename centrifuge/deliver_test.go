package centrifuge_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// emulated connects a client whose commands are delivered.
func (s *site) emulated(format protocol.Format, user string) (p *peer, session string) {
	s.t.Helper()
	info := transport(format)
	info.Emulation = true
	p = s.dial(format, info, user)
	p.commands(`{"id":1,"connect":{}}`)
	synctest.Wait()
	result := p.Read().Connect
	if result.Session == "" || result.Node != s.ID() {
		s.t.Fatalf("connect result = %+v; want a session and node %s", result, s.ID())
	}
	return p, result.Session
}

// encoded returns commands, written as V2 JSON, in a format.
func encoded(t *testing.T, format protocol.Format, lines ...string) []byte {
	t.Helper()
	if !format.Protobuf() {
		return []byte(strings.Join(lines, "\n"))
	}
	var commands []*protocol.Encoded
	decoder := protocol.NewDecoder(jsonV2, []byte(strings.Join(lines, "\n")), protocol.Limits{})
	for range lines {
		command := new(protocol.Command)
		must(t, decoder.Next(command))
		b, err := protocol.AppendCommand(nil, format, command)
		must(t, err)
		commands = append(commands, &protocol.Encoded{Bytes: b})
	}
	return protocol.AppendBatch(nil, format, commands)
}

// TestDeliver checks that commands reach a session on any node, that their order is
// kept, and that the replies are sent on the connection.
func TestDeliver(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		sites := newCluster(t, 2, allow(centrifuge.SubscribeOptions{}))
		home := sites[1]
		for _, from := range sites {
			p, session := home.emulated(format, "u")
			must(t, from.Deliver(t.Context(), home.ID(), session, encoded(t, format, subscribeA, `{"id":3,"rpc":{"data":1}}`)))
			p.expect(`{"id":2,"subscribe":{}}`, `{"id":3,"rpc":{"data":1}}`)
			var want []string
			for i := range 100 {
				must(t, from.Deliver(t.Context(), home.ID(), session, encoded(t, format, fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, i+4, i))))
				want = append(want, fmt.Sprintf(`{"id":%d,"rpc":{"data":%d}}`, i+4, i))
			}
			p.expect(want...)
			quoted, err := json.Marshal(`{"id":200,"rpc":{"data":2}}` + "\n" + `{"id":201,"rpc":{"data":3}}`)
			must(t, err)
			if !format.Protobuf() {
				must(t, from.Deliver(t.Context(), home.ID(), session, quoted))
				p.expect(`{"id":200,"rpc":{"data":2}}`, `{"id":201,"rpc":{"data":3}}`)
			}
			must(t, from.Deliver(t.Context(), home.ID(), session, []byte(`"{`)))
			p.expect("close 3501 bad request")
		}
	})
}

// TestDeliverNowhere checks the errors for a session or a node that there is not.
func TestDeliverNowhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sites := newCluster(t, 2, centrifuge.Handlers{})
		p, session := sites[1].emulated(jsonV2, "u")
		uni := sites[1].dial(protocol.FormatUni, transport(protocol.FormatUni), "u")
		uni.commands(`{"id":1,"connect":{}}`)
		synctest.Wait()
		unidirectional := uni.Push().Connect.Session
		expect := func(node, session string, want error) {
			t.Helper()
			for _, from := range sites[:2] {
				if err := from.Deliver(t.Context(), node, session, []byte(`{}`)); !errors.Is(err, want) {
					t.Errorf("Deliver(%q, %q) = %v; want %v", node, session, err, want)
				}
			}
		}
		home := sites[1].ID()
		expect(home, "unknown", centrifuge.ErrUnknownSession)
		expect(home, "", centrifuge.ErrUnknownSession)
		expect(home, p.Client.Client().ID(), centrifuge.ErrUnknownSession) // the id is no secret
		expect(home, unidirectional, centrifuge.ErrUnknownSession)
		expect(sites[0].ID(), session, centrifuge.ErrUnknownSession)
		expect("unknown", session, centrifuge.ErrUnknownNode)
		if err := sites[0].Deliver(t.Context(), home, session, make([]byte, centrifuge.MaxControlData+1)); !errors.Is(err, centrifuge.ErrControlDataTooLarge) {
			t.Errorf("Deliver(too much) = %v; want ErrControlDataTooLarge", err)
		}
		p.Client.Client().Disconnect(centrifuge.DisconnectForceNoReconnect)
		synctest.Wait()
		expect(home, session, centrifuge.ErrUnknownSession)
		must(t, sites[1].Shutdown(t.Context()))
		synctest.Wait()
		if err := sites[0].Deliver(t.Context(), home, session, nil); !errors.Is(err, centrifuge.ErrUnknownNode) {
			t.Errorf("Deliver() to a node that has shut down = %v; want ErrUnknownNode", err)
		}
	})
}

// ExampleNode_Deliver is the core of an endpoint to which clients send commands that their
// connection cannot carry.
func ExampleNode_Deliver() {
	node, stop := exampleNode(centrifuge.Handlers{})
	defer stop()
	post := func(w http.ResponseWriter, r *http.Request) {
		var request struct{ Node, Session, Data string }
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10)).Decode(&request); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		switch err := node.Deliver(r.Context(), request.Node, request.Session, []byte(request.Data)); {
		case err == nil, errors.Is(err, centrifuge.ErrUnknownSession):
			w.WriteHeader(http.StatusNoContent)
		case errors.Is(err, centrifuge.ErrUnknownNode):
			w.WriteHeader(http.StatusNotFound)
		default:
			w.WriteHeader(http.StatusInternalServerError)
		}
	}
	for _, body := range []string{`{"node":"` + node.ID() + `","session":"unknown","data":"{}"}`, `{"node":"unknown","session":"unknown"}`} {
		w := httptest.NewRecorder()
		post(w, httptest.NewRequest(http.MethodPost, "/emulation", strings.NewReader(body)))
		fmt.Println(w.Code)
	}
	// Output:
	// 204
	// 404
}

// BenchmarkDeliver measures a command and its reply, with a delivery by the session's own
// node, and by another over a controller in memory.
func BenchmarkDeliver(b *testing.B) {
	bus := centrifugetest.NewBus()
	var nodes []*centrifuge.Node
	for range 2 {
		node, err := centrifuge.New(centrifuge.Config{Controller: bus.Controller(), PingInterval: -1})
		if err != nil {
			b.Fatal(err)
		}
		node.Handle(allow(centrifuge.SubscribeOptions{}))
		if err := node.Run(); err != nil {
			b.Fatal(err)
		}
		defer func() { _ = node.Shutdown(context.Background()) }()
		nodes = append(nodes, node)
	}
	ctx := centrifuge.SetCredentials(b.Context(), &centrifuge.Credentials{})
	client := centrifugetest.DialTransport(ctx, b, nodes[0], centrifuge.TransportInfo{Emulation: true, Generation: centrifuge.GenerationV2}, jsonV2)
	session := client.Do(&protocol.Command{Connect: &protocol.ConnectRequest{}}).Connect.Session
	for { // until the other node knows this one
		if infos, err := nodes[1].Info(ctx); err != nil || len(infos) == 2 {
			break
		}
		runtime.Gosched()
	}
	for name, from := range map[string]*centrifuge.Node{"same node": nodes[0], "other node": nodes[1]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := from.Deliver(ctx, nodes[0].ID(), session, []byte(`{"id":2,"rpc":{"data":1}}`)); err != nil {
					b.Fatal(err)
				}
				if reply := client.Read(); reply == nil || reply.ID != 2 {
					b.Fatalf("the client got %+v; want the reply 2", reply)
				}
			}
		})
	}
}

// TestDeliverTooFast checks that the commands that wait are bounded.
func TestDeliverTooFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newSite(t, noPings, centrifuge.Handlers{RPC: func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			<-release
			return centrifuge.RPCReply{}, nil
		}})
		p, session := s.emulated(jsonV2, "u")
		command := []byte(`{"id":2,"rpc":{"data":"` + strings.Repeat("x", 60<<10) + `"}}`)
		delivered := 0
		for {
			if _, ended := p.Ended(); ended || delivered > 100 {
				break
			}
			must(t, s.Deliver(t.Context(), s.ID(), session, command))
			delivered++
			synctest.Wait()
		}
		if why, _ := p.Ended(); why.Code != centrifuge.DisconnectTooManyRequests.Code || delivered < 10 || delivered > 20 {
			t.Errorf("the connection ended with %v after %d deliveries; want %v after 10 to 20", why, delivered, centrifuge.DisconnectTooManyRequests)
		}
		close(release)
	})
}
