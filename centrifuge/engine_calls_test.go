package centrifuge_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
)

// remoteEngine is an engine of which each call takes some time, as over a network. It
// counts the calls.
type remoteEngine struct {
	*faultyEngine
	mu    sync.Mutex
	calls map[string]int
}

func newRemoteEngine(delay time.Duration) *remoteEngine {
	e := &remoteEngine{faultyEngine: newFaultyEngine(), calls: make(map[string]int)}
	e.on(func(ctx context.Context, call string) error {
		e.mu.Lock()
		e.calls[call]++
		e.mu.Unlock()
		select {
		case <-time.After(delay):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return e
}

// taken returns the numbers of calls since the last time.
func (e *remoteEngine) taken() map[string]int {
	e.mu.Lock()
	defer e.mu.Unlock()
	calls := maps.Clone(e.calls)
	clear(e.calls)
	return calls
}

// TestRecoveriesShareReads: many clients that come back within a second read the part
// of the stream that they missed once, or once for each publication that arrives.
func TestRecoveriesShareReads(t *testing.T) {
	for _, test := range []struct {
		name   string
		within time.Duration // the clients come back
		busy   bool
		most   int // reads
	}{
		{"at once", 0, false, 1},
		{"within half a second", 500 * time.Millisecond, false, 1},
		{"busy channel", 500 * time.Millisecond, true, 60}, // each 10 ms
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := newRemoteEngine(time.Millisecond)
				s := newSite(t, engine.config(), allow(centrifuge.SubscribeOptions{Recovery: true}))
				for i := range 5 {
					s.publish("a", fmt.Sprint(i), history)
				}
				const clients = 500
				ask := fmt.Sprintf(`{"id":2,"subscribe":{"channel":"a","recover":true,"offset":2,"epoch":"%s"}}`, s.epoch("a"))
				s.connect(jsonV2, "first").commands(`{"id":2,"subscribe":{"channel":"a"}}`)
				peers := make([]*peer, clients)
				for i := range peers {
					peers[i] = s.connect(jsonV2, "u")
				}
				time.Sleep(time.Second)
				engine.taken()
				var all sync.WaitGroup
				for i, p := range peers {
					all.Go(func() {
						time.Sleep(test.within * time.Duration(i) / clients)
						p.commands(ask)
					})
				}
				if test.busy {
					all.Go(func() {
						for range 50 {
							time.Sleep(10 * time.Millisecond)
							s.publish("a", `"more"`, history)
						}
					})
				}
				all.Wait()
				time.Sleep(time.Second)
				for _, p := range peers {
					wantGapless(t, p, 3)
				}
				if n := engine.taken()["History"]; n > test.most {
					t.Errorf("%d reads for %d recoveries, want at most %d", n, clients, test.most)
				} else {
					t.Logf("%d reads for %d recoveries", n, clients)
				}
			})
		})
	}
}

// wantGapless checks that what a peer has got begins with the offset from and has no gap.
func wantGapless(t *testing.T, p *peer, from uint64) {
	t.Helper()
	next := from
	synctest.Wait()
	for p.Pending() > 0 {
		reply := p.Read()
		var pubs []*centrifuge.Publication
		switch {
		case reply.Subscribe != nil && reply.Subscribe.Recovered:
			pubs = reply.Subscribe.Publications
		case reply.Push != nil && reply.Push.Pub != nil:
			pubs = []*centrifuge.Publication{reply.Push.Pub}
		default:
			t.Fatalf("got %+v", reply)
		}
		for _, pub := range pubs {
			if pub.Offset != next {
				t.Fatalf("got publication %d, want %d", pub.Offset, next)
			}
			next++
		}
	}
	if next == from {
		t.Fatal("got nothing")
	}
}

// TestPositionChecksShareReads: the subscriptions of a quiet channel compare their
// positions with one read now and then, whatever their number.
func TestPositionChecksShareReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newRemoteEngine(time.Millisecond)
		config := engine.config()
		config.PingInterval = -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Positioning: true}))
		const clients = 2000
		for range clients {
			s.connect(jsonV2, "u").commands(subscribeA)
			time.Sleep(25 * time.Second / clients) // their ticks spread
		}
		time.Sleep(time.Minute)
		engine.taken()
		const minutes = 10
		time.Sleep(minutes * time.Minute)
		n := engine.taken()["History"]
		t.Logf("%d checks a minute for %d subscriptions", n/minutes, clients)
		if n < minutes || n > 13*minutes {
			t.Errorf("%d reads in %d minutes, want at most 12 a minute", n, minutes)
		}
	})
}

// channelNames returns n names that begin with prefix.
func channelNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprint(prefix, i)
	}
	return names
}

// TestConnectStartsTogether: subscriptions that come with a connect wait for the
// engine together, and so do those that leave with it.
func TestConnectStartsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newRemoteEngine(time.Millisecond)
		options := centrifuge.SubscribeOptions{Recovery: true, Presence: true, JoinLeave: true}
		subscriptions := make(map[string]centrifuge.SubscribeOptions)
		for _, name := range channelNames("c", 100) {
			subscriptions[name] = options
		}
		s := newSite(t, engine.config(), connecting(centrifuge.ConnectingReply{Subscriptions: subscriptions}, nil))
		start := time.Now()
		p := s.dial(jsonV2, transport(jsonV2), "u")
		p.commands(`{"id":1,"connect":{}}`)
		if reply := p.Read(); reply.Connect == nil || len(reply.Connect.Subs) != 100 {
			t.Fatalf("connecting: %+v", reply)
		}
		if took := time.Since(start); took > 5*time.Millisecond {
			t.Errorf("connecting with 100 subscriptions took %v, want at most 5 ms", took)
		} else {
			t.Logf("connecting with 100 subscriptions took %v", took)
		}
		time.Sleep(10 * time.Millisecond)
		calls := engine.taken()
		for _, call := range []string{"Subscribe", "History", "AddPresence", "PublishJoin"} {
			if calls[call] != 100 {
				t.Errorf("%d calls of %s, want 100", calls[call], call)
			}
		}
		p.Cut()
		time.Sleep(5 * time.Millisecond)
		calls = engine.taken()
		for _, call := range []string{"Unsubscribe", "RemovePresence", "PublishLeave"} {
			if calls[call] != 100 {
				t.Errorf("%d calls of %s within 5 ms, want 100", calls[call], call)
			}
		}
	})
}

// TestSubscribesOfOneMessageStartTogether, and are answered in their order.
func TestSubscribesOfOneMessageStartTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newRemoteEngine(time.Millisecond)
		config := engine.config()
		config.ChannelLimit = -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Recovery: true, Presence: true}))
		p := s.connect(jsonV2, "u")
		var commands []string
		for i, name := range channelNames("c", 100) {
			commands = append(commands, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%s"}}`, i+2, name))
		}
		start := time.Now()
		p.commands(commands...)
		for i := range commands {
			if reply := p.Read(); reply.ID != uint32(i+2) || reply.Subscribe == nil { //nolint:gosec // a few
				t.Fatalf("reply %d = %+v, want the result of command %d", i, reply, i+2)
			}
		}
		if took := time.Since(start); took > 5*time.Millisecond {
			t.Errorf("100 subscribe commands took %v, want at most 5 ms", took)
		} else {
			t.Logf("100 subscribe commands took %v", took)
		}
	})
}

// TestOrderOfOneMessage: a command that follows subscribe commands finds their
// subscriptions, and a second command for a channel the first.
func TestOrderOfOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newRemoteEngine(time.Millisecond)
		handlers := allow(centrifuge.SubscribeOptions{})
		var told []string
		handlers.Subscribe = func(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			told = append(told, "subscribe "+e.Channel)
			if strings.HasPrefix(e.Channel, "no") {
				return centrifuge.SubscribeReply{}, centrifuge.ErrorPermissionDenied
			}
			return centrifuge.SubscribeReply{}, nil
		}
		handlers.Subscribed = func(_ context.Context, e centrifuge.SubscribedEvent) {
			told = append(told, "subscribed "+e.Channel)
		}
		s := newSite(t, engine.config(), handlers)
		p := s.connect(jsonV2, "u")
		p.commands(
			`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"no"}}`, `{"id":4,"subscribe":{"channel":"b"}}`,
			`{"id":5,"subscribe":{"channel":"a"}}`, `{"id":6,"publish":{"channel":"a","data":1}}`, `{"id":7,"unsubscribe":{"channel":"b"}}`,
			`{"id":8,"subscribe":{"channel":"b"}}`, `{"id":9,"rpc":{"data":2}}`,
		)
		time.Sleep(100 * time.Millisecond)
		replies := slices.DeleteFunc(p.received(), func(line string) bool { return strings.Contains(line, "push") })
		got := strings.Join(replies, "\n")
		want := strings.Join([]string{
			`{"id":2,"subscribe":{}}`, refused(3, centrifuge.ErrorPermissionDenied), `{"id":4,"subscribe":{}}`,
			refused(5, centrifuge.ErrorAlreadySubscribed),
			`{"id":6,"publish":{}}`, `{"id":7,"unsubscribe":{}}`, `{"id":8,"subscribe":{}}`, `{"id":9,"rpc":{"data":2}}`,
		}, "\n")
		if got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		events := strings.Join(told, ", ")
		if events != "subscribe a, subscribe no, subscribe b, subscribed a, subscribed b, subscribe b, subscribed b" &&
			events != "subscribe a, subscribe no, subscribed a, subscribe b, subscribed b, subscribe b, subscribed b" {
			t.Errorf("events: %s", events)
		}
	})
}
