package centrifuge_test

import (
	"context"
	"fmt"
	"maps"
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
				peers := make([]*peer, clients)
				for i := range peers {
					peers[i] = s.connect(jsonV2, "u")
				}
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
