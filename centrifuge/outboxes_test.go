package centrifuge_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

const writeDelay = 10 * time.Millisecond

// patientHello connects and returns what the site's clients get, which takes
// the delay of a write.
func (s *site) patientHello(format protocol.Format) *peer {
	s.t.Helper()
	p := s.dial(format, transport(format), "u")
	p.commands(`{"id":1,"connect":{}}`)
	p.expect()
	time.Sleep(writeDelay)
	if got := p.received(); len(got) != 1 || !strings.HasPrefix(got[0], `{"id":1,"connect":{"client":"<id>"`) {
		s.t.Fatalf("connecting: %q; want one connect reply", got)
	}
	return p
}

// TestWriteDelay: replies and publications come after the delay, in the order
// in which they were made; a disconnect does not wait, nor what is before it.
func TestWriteDelay(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{WriteDelay: writeDelay}, allow(centrifuge.SubscribeOptions{}))
		p := s.patientHello(format)
		p.commands(`{"id":2,"subscribe":{"channel":"a"}}`)
		synctest.Wait()
		s.publish("a", "1", centrifuge.PublishOptions{})
		time.Sleep(writeDelay / 2)
		s.publish("a", "2", centrifuge.PublishOptions{})
		synctest.Wait()
		p.commands(`{"id":3,"rpc":{"data":3}}`)
		time.Sleep(writeDelay/2 - 1)
		p.expect()
		time.Sleep(time.Nanosecond)
		p.expect(`{"id":2,"subscribe":{}}`, `{"push":{"channel":"a","pub":{"data":1}}}`,
			`{"push":{"channel":"a","pub":{"data":2}}}`, `{"id":3,"rpc":{"data":3}}`)
		s.publish("a", "4", centrifuge.PublishOptions{})
		synctest.Wait()
		p.Client.Client().Disconnect(centrifuge.DisconnectForceReconnect)
		p.expect(`{"push":{"channel":"a","pub":{"data":4}}}`, p.closes(centrifuge.DisconnectForceReconnect))
	})
}

// TestWriteDelayAndShutdown: what waits is sent before the node goes.
func TestWriteDelayAndShutdown(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{WriteDelay: time.Second}, allow(centrifuge.SubscribeOptions{}))
		p := s.dial(format, transport(format), "u")
		p.commands(`{"id":1,"connect":{}}`)
		synctest.Wait()
		start := time.Now()
		if err := s.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := p.received(); len(got) != 2 || !strings.Contains(got[0], "connect") || got[1] != p.closes(centrifuge.DisconnectShutdown) {
			t.Errorf("got %q; want a connect reply, then the close of the shutdown", got)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("it took %v; want 0", waited)
		}
	})
}

// TestRecoveryWithWriteDelay: a client comes back while publications are made,
// several times; it gets the reply, what it missed and what follows, in order
// and without gap, whether it subscribes or is subscribed.
func TestRecoveryWithWriteDelay(t *testing.T) {
	const total = 300
	for _, serverSide := range []bool{false, true} {
		inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
			options := centrifuge.SubscribeOptions{Recovery: true}
			s := newSite(t, centrifuge.Config{WriteDelay: writeDelay, MaxBatch: 7}, allow(options))
			r := rand.New(rand.NewPCG(uint64(format), 1))
			s.publish("a", "0", centrifuge.PublishOptions{HistorySize: total, HistoryTTL: time.Hour})
			since := centrifuge.StreamPosition{Offset: 1, Epoch: s.epoch("a")}
			var publishing sync.WaitGroup
			publishing.Go(func() {
				for i := range total - 1 {
					s.publish("a", fmt.Sprint(i+1), centrifuge.PublishOptions{HistorySize: total, HistoryTTL: time.Hour})
					if i%10 == 0 { // some come in crowds
						time.Sleep(time.Duration(i%40) * time.Millisecond)
					}
				}
			})
			for visits := 1; since.Offset < total; visits++ {
				if visits > 2*total {
					t.Fatalf("it does not get on: got %v; want at most %v", visits, 2*total)
				}
				p := s.patientHello(format)
				if serverSide {
					o := options
					o.RecoverSince = &since
					if err := s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "a", o); err != nil {
						t.Fatal(err)
					}
				} else {
					p.Send(&protocol.Command{Subscribe: &protocol.SubscribeRequest{
						Channel: "a", Recover: true, Offset: since.Offset, Epoch: since.Epoch,
					}})
				}
				time.Sleep(writeDelay + time.Duration(r.IntN(60))*time.Millisecond)
				synctest.Wait()
				since.Offset = p.follow(since.Offset)
				p.Cut()
				synctest.Wait()
			}
			publishing.Wait()
		})
	}
}

// follow reads what has come: first the reply or push that says that the
// subscription is made, then publications without gap. It returns the last offset.
func (p *peer) follow(at uint64) uint64 {
	p.t.Helper()
	next := func(pub *protocol.Publication) {
		p.t.Helper()
		if at++; pub.Offset != at || string(pub.Data) != fmt.Sprint(at-1) {
			p.t.Fatalf("publication %d with %s came; want %d with %d", pub.Offset, pub.Data, at, at-1)
		}
	}
	for first := true; p.Pending() > 0; first = false {
		switch reply := p.Read(); {
		case first && reply.Subscribe != nil:
			if !reply.Subscribe.Recovered {
				p.t.Fatal("the recovery has failed; want it to succeed")
			}
			for _, pub := range reply.Subscribe.Publications {
				next(pub)
			}
		case first && reply.Push != nil && reply.Push.Subscribe != nil:
		case !first && reply.Push != nil && reply.Push.Pub != nil:
			next(reply.Push.Pub)
		default:
			p.t.Fatalf("%+v came; want a publication or a result", reply)
		}
	}
	return at
}

// TestQueueTotalSize: when the node's budget is used up, the connections that
// use it are closed as slow and others are not.
func TestQueueTotalSize(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{QueueTotalSize: 5000, WriteTimeout: time.Hour}, allow(centrifuge.SubscribeOptions{}))
		peers := make([]*peer, 6)
		for i := range peers {
			peers[i] = s.connect(jsonV2, "u")
			peers[i].commands(subscribeA)
			peers[i].received()
			peers[i].Stick(i < 4)
		}
		s.publish("a", `"`+strings.Repeat("x", 1000)+`"`, centrifuge.PublishOptions{})
		synctest.Wait()
		if stats := s.Stats(); stats.SlowQueued < 4000 || stats.SlowQueued > 4500 || stats.SlowRefused != 0 {
			t.Errorf("%d bytes wait, %d connections were refused; want at least 4000, at most 4500 and 0",
				stats.SlowQueued, stats.SlowRefused)
		}
		s.publish("a", `"`+strings.Repeat("y", 1000)+`"`, centrifuge.PublishOptions{}) // to a full socket
		peers[4].Stick(true)
		s.publish("a", `"`+strings.Repeat("z", 1000)+`"`, centrifuge.PublishOptions{})
		synctest.Wait()
		ended := 0
		for i, p := range peers {
			why, gone := p.Ended()
			if gone && why != centrifuge.DisconnectSlow {
				t.Errorf("%d was closed with %v; want %v", i, why, centrifuge.DisconnectSlow)
			}
			if gone {
				ended++
			}
		}
		stats := s.Stats()
		if ended == 0 || uint64(ended) != stats.SlowRefused || stats.SlowQueued > 5000 {
			t.Errorf("%d were closed, %d counted; %d bytes wait; want some, as many, at most 5000", ended, stats.SlowRefused, stats.SlowQueued)
		}
		if _, gone := peers[5].Ended(); gone {
			t.Error("one that keeps up was closed; want it open")
		}
		if got := peers[5].received(); len(got) != 3 {
			t.Errorf("one that keeps up got %d publications; want 3", len(got))
		}
		for _, p := range peers {
			p.Cut()
		}
		synctest.Wait()
		if queued := s.Stats().SlowQueued; queued != 0 {
			t.Errorf("SlowQueued = %d without connections; want 0", queued)
		}
	})
}

// TestQueueTotalSizeOfFirstWrite: the budget also covers the bytes that
// remain after the first incomplete write of a connection.
func TestQueueTotalSizeOfFirstWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{QueueTotalSize: 500}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.Stick(true)
		p.commands(`{"id":2,"rpc":{"data":"` + strings.Repeat("x", 600) + `"}}`)
		synctest.Wait()
		if why, ended := p.Ended(); !ended || why != centrifuge.DisconnectSlow {
			t.Errorf("ended %v with %v; want true with %v", ended, why, centrifuge.DisconnectSlow)
		}
		if stats := s.Stats(); stats.SlowQueued != 0 || stats.SlowRefused != 1 || stats.Disconnects[centrifuge.DisconnectSlow.Code] != 1 {
			t.Errorf("%d bytes wait, %d refused, closes %v; want 0, 1 and [centrifuge.DisconnectSlow.Code] 1",
				stats.SlowQueued, stats.SlowRefused, stats.Disconnects)
		}
	})
}

// batchTransport notes how many frames each write has.
type batchTransport struct {
	max    uint16
	writes chan int
}

// Info implements centrifuge.Transport.
func (b batchTransport) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "batch", Generation: centrifuge.GenerationV2, MaxBatch: b.max}
}

// Ping implements centrifuge.Transport.
func (batchTransport) Ping() error { return nil }

// Resume implements centrifuge.Transport.
func (batchTransport) Resume() {}

// Close implements centrifuge.Transport.
func (batchTransport) Close(uint32, string) {}

// Write implements centrifuge.Transport.
func (b batchTransport) Write(_ context.Context, batch []*protocol.Encoded) (int, error) {
	b.writes <- len(batch)
	return 0, nil
}

// TestMaxBatch: the lower of the node's and the transport's bound.
func TestMaxBatch(t *testing.T) {
	for _, test := range []struct {
		node      int
		transport uint16
		want      string
	}{
		{0, 0, "[64 36]"},
		{1, 0, "[1 1 1"},
		{50, 0, "[50 50]"},
		{-1, 0, "[100]"},
		{0, 50, "[50 50]"},
		{30, 50, "[30 30 30 10]"},
		{-1, 90, "[90 10]"},
	} {
		t.Run(fmt.Sprint(test.node, " and ", test.transport), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, centrifuge.Config{MaxBatch: test.node}, allow(centrifuge.SubscribeOptions{}))
				tr := batchTransport{max: test.transport, writes: make(chan int, 200)}
				ctx := centrifuge.SetCredentials(t.Context(), &centrifuge.Credentials{})
				client, err := s.Accept(ctx, tr)
				must(t, err)
				var commands []string
				for id := range 101 {
					commands = append(commands, fmt.Sprintf(`{"id":%d,"rpc":{}}`, id+1))
				}
				commands[0] = `{"id":1,"connect":{}}`
				client.Receive([]byte(commands[0]))
				synctest.Wait()
				<-tr.writes
				client.Receive([]byte(strings.Join(commands[1:], "\n")))
				synctest.Wait()
				var got []int
				for len(tr.writes) > 0 {
					got = append(got, <-tr.writes)
				}
				if !strings.HasPrefix(fmt.Sprint(got), test.want) {
					t.Errorf("writes of %v messages, want %s", got, test.want)
				}
			})
		})
	}
}

// TestOutboxConfig that cannot work.
func TestOutboxConfig(t *testing.T) {
	for _, config := range []centrifuge.Config{
		{WriteDelay: time.Second + 1},
		{WriteDelay: 100 * time.Millisecond, PongTimeout: 100 * time.Millisecond},
	} {
		if _, err := centrifuge.New(config); err == nil || !strings.Contains(err.Error(), "write delay") {
			t.Errorf("write delay %v: %v; want an error and \"write delay\" in it", config.WriteDelay, err)
		}
	}
	if _, err := centrifuge.New(centrifuge.Config{WriteDelay: time.Second, PongTimeout: -1}); err != nil {
		t.Error(err)
	}
}
