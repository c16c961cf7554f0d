package app

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/internal/memtest"
	"centrifugo/protocol"
	"centrifugo/server/internal/app/apptest"
)

// scenario is what all transports must do.
type scenario struct {
	name     string
	settings wireSections
	run      func(t *testing.T, s *wireServer)
}

var scenarios = []scenario{
	{"connect", nil, scenarioConnect},
	{"publish", nil, scenarioPublish},
	{"recover", nil, scenarioRecover},
	{"server-side subscription", nil, scenarioServerSide},
	{"disconnect", nil, scenarioDisconnect},
	{"malformed", nil, scenarioMalformed},
	{"oversize", nil, scenarioOversize},
	{"slow reader", wireSections{"client": {"queue_max_size": 1 << 20}}, scenarioSlow},
	{"shutdown", nil, scenarioShutdown},
	{"churn", nil, scenarioChurn},
}

// TestScenarios runs every scenario over every transport and encoding of a whole server, with
// and without TLS, and over HTTP/2 where it can be.
func TestScenarios(t *testing.T) {
	for _, w := range wires {
		for _, sec := range secures {
			if !w.over(sec) {
				continue
			}
			t.Run(w.String()+"/"+sec.name, func(t *testing.T) {
				t.Parallel()
				for _, c := range scenarios {
					t.Run(c.name, func(t *testing.T) {
						c.run(t, serveWire(t, w, sec, c.settings))
					})
				}
			})
		}
	}
}

// TestPings is a scenario that takes seconds of waiting, so it runs over everything at once.
func TestPings(t *testing.T) {
	var running sync.WaitGroup
	defer running.Wait()
	for _, w := range wires {
		for _, sec := range secures {
			if w.over(sec) {
				running.Go(func() {
					t.Run(w.String()+"/"+sec.name, func(t *testing.T) { scenarioPing(t, serveWire(t, w, sec, pinging)) })
				})
			}
		}
	}
}

// pinging is a configuration in which pings come often, and may be answered late.
var pinging = wireSections{"client": {"ping_interval": "3s", "pong_timeout": "2500ms"}}

// scenarioConnect: what the answer to connect has depends on the kind of transport
// (protocol.md 5.7).
func scenarioConnect(t *testing.T, s *wireServer) {
	c := s.dial(t).connect(new(protocol.ConnectRequest))
	uni := s.format.Uni()
	if c.Ping == 0 || c.Pong == uni || (c.Session != "") != (uni || s.emulated) || (c.Node != "") != s.emulated {
		t.Errorf("the answer to connect is %+v; want a ping, pongs: %v, a session: %v, a node: %v", c, !uni, uni || s.emulated, s.emulated)
	}
	if got := s.app.node.Stats().Transports[s.name].Accepted; got != 1 {
		t.Errorf("%d connections of %s are counted; want 1", got, s.name)
	}
}

func scenarioPublish(t *testing.T, s *wireServer) {
	a, b := s.dial(t), s.dial(t)
	a.join("news", nil)
	b.join("news", nil)
	const data = `{"text":"höllo\n"}`
	s.publish("news", data)
	a.wantPub("news", data)
	b.wantPub("news", data)
	if s.format.Uni() {
		return
	}
	a.command(protocol.Command{ID: 3, Publish: &protocol.PublishRequest{Channel: "news", Data: []byte(`1`)}},
		protocol.Command{ID: 4, RPC: &protocol.RPCRequest{Method: "none"}})
	published, failed := false, false
	for range 3 { // the publication may come before the replies
		switch reply := a.next(); {
		case reply.ID == 3 && reply.Publish != nil:
			published = true
		case reply.ID == 4 && reply.Error != nil && published:
			failed = true
		case reply.Push == nil || string(reply.Push.Pub.Data) != `1`:
			t.Fatalf("received %+v; want the publication and two replies in their order", reply)
		}
	}
	if !published || !failed {
		t.Errorf("a reply to the publication: %v, to the one that fails: %v; want both", published, failed)
	}
	b.wantPub("news", `1`)
}

// scenarioRecover: a connection that was cut gets what it missed.
func scenarioRecover(t *testing.T, s *wireServer) {
	p := s.dial(t)
	begin := p.join("news", nil)
	s.publish("news", `1`)
	if got := p.wantPub("news", `1`).Offset; got != 1 {
		t.Fatalf("the offset is %d; want 1", got)
	}
	_ = p.Close() // as a network does
	s.publish("news", `2`)
	s.publish("news", `3`)
	for _, test := range []struct {
		epoch     string
		recovered bool
		missed    []string
	}{{begin.Epoch, true, []string{`2`, `3`}}, {"other", false, nil}} {
		p := s.dial(t)
		got := p.join("news", &protocol.SubscribeRequest{Recover: true, Offset: 1, Epoch: test.epoch})
		var missed []string
		for _, pub := range got.Publications {
			missed = append(missed, string(pub.Data))
		}
		if !got.WasRecovering || got.Recovered != test.recovered || !slices.Equal(missed, test.missed) {
			t.Errorf("from epoch %s: recovered %v, publications %v; want %v, %v", test.epoch, got.Recovered, missed, test.recovered, test.missed)
		}
	}
}

// scenarioServerSide: subscriptions that the API makes and ends.
func scenarioServerSide(t *testing.T, s *wireServer) {
	p := s.dial(t)
	p.connect(new(protocol.ConnectRequest))
	s.call("subscribe", fmt.Sprintf(`{"user":"","client":%q,"channel":"side","data":{"a":1}}`, p.id))
	if reply := p.next(); reply.Push == nil || reply.Push.Subscribe == nil || reply.Push.Channel != "side" || string(reply.Push.Subscribe.Data) != `{"a":1}` {
		t.Fatalf("received %+v; want a subscribe push", reply)
	}
	s.publish("side", `1`)
	p.wantPub("side", `1`)
	s.call("unsubscribe", fmt.Sprintf(`{"user":"","client":%q,"channel":"side"}`, p.id))
	if reply := p.next(); reply.Push == nil || reply.Push.Unsubscribe == nil || reply.Push.Unsubscribe.Code != centrifuge.UnsubscribeServer.Code {
		t.Fatalf("received %+v; want an unsubscribe push", reply)
	}
}

func scenarioDisconnect(t *testing.T, s *wireServer) {
	p := s.dial(t)
	p.join("news", nil)
	s.publish("news", `1`)
	p.wantPub("news", `1`)
	s.call("disconnect", fmt.Sprintf(`{"user":"","client":%q,"disconnect":{"code":4321,"reason":"come back"}}`, p.id))
	p.wantEnd(apptest.Ended{Code: 4321, Reason: "come back"})
	await.Until(t, "the connection is gone", func() bool { return s.app.node.NumClients() == 0 })
}

// scenarioPing: pings come, a connection that answers them lives on, and one that does not is
// disconnected. A unidirectional one cannot answer.
func scenarioPing(t *testing.T, s *wireServer) {
	p := s.dial(t)
	p.join("news", nil)
	for range 2 {
		reply, err := p.Reply()
		if err != nil || reply.Kind() != protocol.KindPing {
			t.Fatalf("received %+v, %v; want a ping", reply, err)
		}
		if !p.Format.Uni() {
			p.command()
		}
	}
	s.publish("news", `1`)
	p.wantPub("news", `1`)
	if p.Format.Uni() {
		return
	}
	for {
		reply, err := p.Reply()
		if err != nil {
			p.checkEnd(err, apptest.Ended{Code: centrifuge.DisconnectNoPong.Code, Reason: centrifuge.DisconnectNoPong.Reason})
			return
		}
		if reply.Kind() != protocol.KindPing {
			t.Fatalf("received %+v; want a ping", reply)
		}
	}
}

func scenarioMalformed(t *testing.T, s *wireServer) {
	message := "{"
	if s.format.Protobuf() {
		message = strings.Repeat("\xff", 11) // a length without an end
	}
	p := s.dial(t)
	err := p.Send([]byte(message))
	if err == nil {
		err = p.End()
	}
	p.checkEnd(err, s.malformed)
	if s.format.Uni() {
		return
	}
	p = s.dial(t)
	p.connect(new(protocol.ConnectRequest))
	if err := p.Send([]byte(message)); err != nil {
		t.Fatalf("sending: %v", err)
	}
	p.wantEnd(badRequest)
}

// scenarioOversize: a message above the limit is refused by what the transport has for that.
func scenarioOversize(t *testing.T, s *wireServer) {
	large := []byte(`{"name":"` + strings.Repeat("x", 70_000) + `"}`)
	if s.format == protocol.FormatProtobuf {
		large = protowire.AppendBytes(nil, large)
	}
	p := s.dial(t)
	err := p.Send(large)
	if err == nil {
		err = p.End()
	}
	want := s.oversize
	if s.secure.http3 && want.Status == "414" {
		want.Status = "431" // the parameter is part of the header, which has a limit of its own over HTTP/3
	}
	p.checkEnd(err, want)
	if !s.emulated {
		return
	}
	p = s.dial(t)
	p.join("news", nil)
	p.checkEnd(p.Send(large), httpStatus("413"))
	s.publish("news", `1`)
	p.wantPub("news", `1`) // the connection lives on
}

// scenarioSlow: a client that does not read is disconnected, and the server keeps a bounded
// number of bytes for it.
func scenarioSlow(t *testing.T, s *wireServer) {
	p, other := s.dial(t), s.dial(t)
	p.join("news", nil)
	other.join("other", nil)
	data := `"` + strings.Repeat("x", 60_000) + `"`
	s.clog(t, "news", func(int) string { return data }, func() bool { return s.app.node.NumSubscribers("news") == 0 })
	// A loaded machine may take longer to fill the queue than a write may be stuck.
	slow := []uint32{centrifuge.DisconnectSlow.Code, centrifuge.DisconnectWriteError.Code}
	await.Until(t, "a connection is counted as slow", func() bool {
		closed := s.app.node.Stats().Disconnects
		return closed[slow[0]]+closed[slow[1]] == 1
	})
	err := p.End()
	var ended *apptest.Ended
	if err == nil || errors.As(err, &ended) && !slices.Contains(slow, ended.Code) && ended.Status == "" {
		t.Errorf("the connection ended with %v; want code %d or the end of the bytes", err, centrifuge.DisconnectSlow.Code)
	}
	s.publish("other", `1`)
	other.wantPub("other", `1`)
}

// clog publishes payloads into a channel whose subscriber does not read, until done. It returns
// the number of publications.
func (s *wireServer) clog(t *testing.T, channel string, payload func(i int) string, done func() bool) (published int) {
	t.Helper()
	for !done() {
		if published++; published > 2000 {
			t.Fatalf("a client that does not read has taken %d publications; want at most 2000", published)
		}
		s.publish(channel, payload(published))
	}
	return published
}

func scenarioShutdown(t *testing.T, s *wireServer) {
	p := s.dial(t)
	p.join("news", nil)
	s.publish("news", `1`)
	p.wantPub("news", `1`)
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	p.wantEnd(apptest.Ended{Code: centrifuge.DisconnectShutdown.Code, Reason: centrifuge.DisconnectShutdown.Reason})
	_ = p.Close() // the server waits for its clients to close
	if err := await.Receive(t, stopped, "the server's end"); err != nil {
		t.Errorf("stopping = %v; want no error", err)
	}
}

// scenarioChurn: nothing is left of connections that are opened and closed at any moment.
func scenarioChurn(t *testing.T, s *wireServer) { s.churn(t, 300) }

// churn opens and closes connections, some of them at once.
func (s *wireServer) churn(t *testing.T, total int) {
	t.Helper()
	const together = 32
	before := s.app.node.Stats().Transports[s.name].Accepted
	turns := make(chan int)
	var working sync.WaitGroup
	for range together {
		working.Go(func() {
			for turn := range turns {
				if err := s.visit(turn); err != nil {
					t.Errorf("connection %d: %v", turn, err)
				}
			}
		})
	}
	for turn := range total {
		if t.Failed() {
			break
		}
		turns <- turn
	}
	close(turns)
	working.Wait()
	await.Until(t, "every connection is gone", func() bool { return s.app.node.NumClients() == 0 })
	stats := s.app.node.Stats()
	// A third of the connections leaves before it can know that it has connected.
	accepted := stats.Transports[s.name].Accepted - before
	if stats.Subscriptions != 0 || accepted < uint64(total*2/3-1) { //nolint:gosec // positive
		t.Errorf("%d subscriptions are left of %d connections; want none of %d", stats.Subscriptions, accepted, total)
	}
}

// TestMemoryOfChurn opens and closes ten thousand connections of each transport and encoding, over
// TLS two thousand, and expects that neither memory nor goroutines are left of them.
func TestMemoryOfChurn(t *testing.T) {
	if memtest.Race {
		t.Skip("the race detector takes memory of its own; make unit runs this test without it")
	}
	const leak = 4 << 20 // bytes, for everything: 400 for a connection
	total := 10_000
	if testing.Short() {
		total = 500
	}
	for _, w := range wires {
		for _, sec := range secures {
			if !w.over(sec) {
				continue
			}
			t.Run(w.String()+"/"+sec.name, func(t *testing.T) {
				total := total
				if sec.tls && !sec.http2 && !w.grpc && (!sec.http3 || w.quic) {
					total = min(total, 2000) // each makes a handshake of its own
				}
				s := serveWire(t, w, sec, nil)
				s.churn(t, 200) // fills pools
				heap := func() int {
					var m runtime.MemStats
					runtime.GC()
					runtime.GC() // of what the first one put into the victims of pools
					runtime.ReadMemStats(&m)
					return int(m.HeapAlloc + m.StackInuse) //nolint:gosec // far below
				}
				goroutines, before := runtime.NumGoroutine(), heap()
				s.churn(t, total)
				await.Until(t, "goroutines have ended", func() bool { return runtime.NumGoroutine() <= goroutines+50 })
				await.Until(t, "memory is free", func() bool { return heap() < before+leak })
			})
		}
	}
}

// visit opens a connection, subscribes, and leaves in one of several ways.
func (s *wireServer) visit(turn int) error {
	p := &apptest.Peer{Link: s.link(s), Format: s.format}
	defer func() { _ = p.Close() }()
	const channel = "churn"
	var err error
	if s.format.Uni() {
		err = p.Connect(&protocol.ConnectRequest{Subs: map[string]*protocol.SubscribeRequest{channel: {}}})
	} else {
		err = p.Connect(new(protocol.ConnectRequest), protocol.Command{ID: 2, Subscribe: &protocol.SubscribeRequest{Channel: channel}})
	}
	if err != nil || turn%3 == 0 {
		return err
	}
	if reply, err := p.Next(); err != nil || reply.Connect == nil && (reply.Push == nil || reply.Push.Connect == nil) {
		return fmt.Errorf("received %+v, %w; want the answer to connect", reply, err)
	}
	if turn%3 == 1 {
		return nil
	}
	if !s.format.Uni() {
		if reply, err := p.Next(); err != nil || reply.Subscribe == nil {
			return fmt.Errorf("received %+v, %w; want the answer to subscribe", reply, err)
		}
	}
	return nil
}
