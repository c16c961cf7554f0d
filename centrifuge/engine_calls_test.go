package centrifuge_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
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
			t.Fatalf("got %+v; want a publication", reply)
		}
		for _, pub := range pubs {
			if pub.Offset != next {
				t.Fatalf("got publication %d, want %d", pub.Offset, next)
			}
			next++
		}
	}
	if next == from {
		t.Fatalf("no offset was assigned: the position after = %v; want one other than before, %v", next, from)
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

// multiEngine is a remote engine that subscribes to many channels in one call.
type multiEngine struct {
	*remoteEngine
	refused string // a channel that SubscribeMany fails for
}

// SubscribeMany implements centrifuge.MultiSubscriber.
func (e multiEngine) SubscribeMany(ctx context.Context, channels []string) []error {
	return e.many(ctx, "SubscribeMany", channels, true)
}

// UnsubscribeMany implements centrifuge.MultiSubscriber.
func (e multiEngine) UnsubscribeMany(ctx context.Context, channels []string) []error {
	return e.many(ctx, "UnsubscribeMany", channels, false)
}

func (e multiEngine) many(ctx context.Context, call string, channels []string, subscribed bool) []error {
	errs := make([]error, len(channels))
	err := e.do(ctx, call, func(context.Context) error {
		for i, channel := range channels {
			if subscribed && channel == e.refused {
				errs[i] = errEngine
				continue
			}
			e.subscribed.set(channel, subscribed)
		}
		return nil
	})
	if err != nil {
		for i := range errs {
			errs[i] = err
		}
	}
	return errs
}

// engineCase is a remote engine and how often it is called for the subscriptions of 100
// channels.
type engineCase struct {
	*remoteEngine
	config                   centrifuge.Config
	subscribes, unsubscribes map[string]int
}

// newEngineCase returns an engine that is a MultiSubscriber or not.
func newEngineCase(multi bool) engineCase {
	c := engineCase{remoteEngine: newRemoteEngine(time.Millisecond)}
	c.config = c.remoteEngine.config()
	if multi {
		c.config.Broker = multiEngine{remoteEngine: c.remoteEngine}
		c.subscribes, c.unsubscribes = map[string]int{"SubscribeMany": 1}, map[string]int{"UnsubscribeMany": 1}
	} else {
		c.subscribes, c.unsubscribes = map[string]int{"Subscribe": 100}, map[string]int{"Unsubscribe": 100}
	}
	return c
}

// wantCalls checks the numbers of calls whose names begin with one of the prefixes.
func wantCalls(t *testing.T, got map[string]int, prefixes []string, want ...map[string]int) {
	t.Helper()
	have, all := make(map[string]int), make(map[string]int)
	for call, n := range got {
		if slices.ContainsFunc(prefixes, func(s string) bool { return strings.HasPrefix(call, s) && !strings.Contains(call, " ") }) {
			have[call] = n
		}
	}
	for _, w := range want {
		maps.Copy(all, w)
	}
	if !maps.Equal(have, all) {
		t.Errorf("calls of the engine: got %v, want %v", have, all)
	}
}

// TestConnectStartsTogether: subscriptions that come with a connect wait for the
// engine together, and so do those that leave with it.
func TestConnectStartsTogether(t *testing.T) {
	for _, multi := range []bool{false, true} {
		t.Run(fmt.Sprintf("multi=%v", multi), func(t *testing.T) { testConnectStartsTogether(t, multi) })
	}
}

func testConnectStartsTogether(t *testing.T, multi bool) {
	synctest.Test(t, func(t *testing.T) {
		engine := newEngineCase(multi)
		options := centrifuge.SubscribeOptions{Recovery: true, Presence: true, JoinLeave: true}
		subscriptions := make(map[string]centrifuge.SubscribeOptions)
		for _, name := range channelNames("c", 100) {
			subscriptions[name] = options
		}
		s := newSite(t, engine.config, connecting(centrifuge.ConnectingReply{Subscriptions: subscriptions}, nil))
		start := time.Now()
		p := s.dial(jsonV2, transport(jsonV2), "u")
		p.commands(`{"id":1,"connect":{}}`)
		if reply := p.Read(); reply.Connect == nil || len(reply.Connect.Subs) != 100 {
			t.Fatalf("connecting: %+v; want len(Connect.Subs) 100", reply)
		}
		if took := time.Since(start); took > 5*time.Millisecond {
			t.Errorf("connecting with 100 subscriptions took %v, want at most 5 ms", took)
		} else {
			t.Logf("connecting with 100 subscriptions took %v", took)
		}
		time.Sleep(10 * time.Millisecond)
		wantCalls(t, engine.taken(), []string{"Subscribe", "History", "AddPresence", "PublishJoin"},
			map[string]int{"History": 100, "AddPresence": 100, "PublishJoin": 100}, engine.subscribes)
		p.Cut()
		time.Sleep(5 * time.Millisecond)
		wantCalls(t, engine.taken(), []string{"Unsubscribe", "RemovePresence", "PublishLeave"},
			map[string]int{"RemovePresence": 100, "PublishLeave": 100}, engine.unsubscribes)
		if n, m := engine.subscribed.Load(), s.Stats().Subscriptions; n != 0 || m != 0 {
			t.Errorf("%d subscriptions of the broker and %d of the hub are left, want none", n, m)
		}
	})
}

// TestSubscribesOfOneMessageStartTogether, and are answered in their order.
func TestSubscribesOfOneMessageStartTogether(t *testing.T) {
	for _, multi := range []bool{false, true} {
		t.Run(fmt.Sprintf("multi=%v", multi), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := newEngineCase(multi)
				config := engine.config
				config.ChannelLimit = -1
				s := newSite(t, config, allow(centrifuge.SubscribeOptions{Recovery: true, Presence: true}))
				p := s.connect(jsonV2, "u")
				engine.taken()
				commands := subscribeCommands(100, "")
				start := time.Now()
				p.commands(commands...)
				p.wantSubscribed(t, len(commands))
				if took := time.Since(start); took > 5*time.Millisecond {
					t.Errorf("100 subscribe commands took %v, want at most 5 ms", took)
				} else {
					t.Logf("100 subscribe commands took %v", took)
				}
				wantCalls(t, engine.taken(), []string{"Subscribe"}, engine.subscribes)
			})
		})
	}
}

// subscribeCommands are commands for the channels c0, c1 and so on, with more in each.
func subscribeCommands(count int, more string) []string {
	commands := make([]string, count)
	for i, name := range channelNames("c", count) {
		commands[i] = fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%s"%s}}`, i+2, name, more)
	}
	return commands
}

// wantSubscribed reads the replies to subscribeCommands.
func (p *peer) wantSubscribed(t *testing.T, count int) {
	t.Helper()
	for i := range count {
		if reply := p.Read(); reply.ID != uint32(i+2) || reply.Subscribe == nil { //nolint:gosec // a few
			t.Fatalf("reply %d = %+v, want the result of command %d", i, reply, i)
		}
	}
}

// TestRecoveriesOfOneMessage: a client that comes back with 1,000 channels costs one
// call for its subscriptions, and at most 32 recovered streams are in memory.
func TestRecoveriesOfOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newEngineCase(true)
		var reading, most atomic.Int64
		hook := *engine.hook.Load()
		engine.on(func(ctx context.Context, call string) error {
			if call == "History" {
				n := reading.Add(1)
				defer reading.Add(-1)
				for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
				}
			}
			return hook(ctx, call)
		})
		config := engine.config
		config.ChannelLimit = -1
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Recovery: true}))
		p := s.connect(jsonV2, "u")
		p.commands(subscribeCommands(1000, `,"recover":true`)...)
		p.wantSubscribed(t, 1000)
		wantCalls(t, engine.taken(), []string{"Subscribe", "History"}, map[string]int{"SubscribeMany": 1, "History": 1000})
		if n := most.Load(); n < 2 || n > 32 {
			t.Errorf("%d reads at a time, want 2 to 32", n)
		}
	})
}

// TestSlowHandlersGatherNothing: a subscription that may start does not wait for what
// the application decides about the next one.
func TestSlowHandlersGatherNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newEngineCase(true)
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			time.Sleep(50 * time.Millisecond)
			return centrifuge.SubscribeReply{}, nil
		}
		s := newSite(t, engine.config, handlers)
		p := s.connect(jsonV2, "u")
		p.commands(subscribeCommands(3, "")...)
		time.Sleep(52 * time.Millisecond)
		if n := engine.subscribed.Load(); n != 1 {
			t.Errorf("%d channels are subscribed to while the second command is decided, want 1", n)
		}
		p.wantSubscribed(t, 3)
	})
}

// TestSomeOfManyFail: the channels that a call refuses are refused, and only these. The
// broker is told to end what may have taken effect.
func TestSomeOfManyFail(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		engine := newEngineCase(true)
		engine.config.Broker = multiEngine{engine.remoteEngine, "c1"}
		s := newSite(t, engine.config, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		engine.taken()
		p.commands(subscribeCommands(3, "")...)
		time.Sleep(time.Second)
		p.expect(`{"id":2,"subscribe":{}}`, refused(3, centrifuge.ErrorInternal), `{"id":4,"subscribe":{}}`)
		wantCalls(t, engine.taken(), []string{"Subscribe", "Unsubscribe"}, map[string]int{"SubscribeMany": 1, "UnsubscribeMany": 1})
		if n := s.NumSubscribers("c1"); n != 0 || engine.subscribed.Load() != 2 || len(s.logged()) != 1 {
			t.Errorf("%d subscribers of the refused channel and %d subscriptions of the broker, want 0 and 2", n, engine.subscribed.Load())
		}
		p.commands(`{"id":9,"subscribe":{"channel":"c1"}}`) // one alone is an ordinary call
		time.Sleep(time.Second)
		p.expect(`{"id":9,"subscribe":{}}`)
	})
}

// misbehaving is a broker whose call for many channels is wrong in some way.
type misbehaving struct {
	multiEngine
	subscribe func() []error
}

// SubscribeMany implements centrifuge.MultiSubscriber.
func (m misbehaving) SubscribeMany(context.Context, []string) []error { return m.subscribe() }

// TestManyChannelsMisbehave: a panic, and a wrong number of errors, are the error of all
// channels.
func TestManyChannelsMisbehave(t *testing.T) {
	for name, subscribe := range map[string]func() []error{
		"panic": func() []error { panic(boom) }, "too few errors": func() []error { return []error{nil} },
		"too many errors": func() []error { return make([]error, 4) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				engine := misbehaving{multiEngine{remoteEngine: newRemoteEngine(time.Millisecond)}, subscribe}
				config := engine.config()
				config.Broker = engine
				s := newSite(t, config, allow(centrifuge.SubscribeOptions{}))
				p := s.connect(jsonV2, "u")
				p.commands(subscribeCommands(3, "")...)
				time.Sleep(time.Second)
				p.expect(refused(2, centrifuge.ErrorInternal), refused(3, centrifuge.ErrorInternal), refused(4, centrifuge.ErrorInternal))
				if n := s.Stats().Subscriptions; n != 0 || len(s.logged()) == 0 {
					t.Errorf("%d subscriptions are left, want 0 and a log entry", n)
				}
			})
		})
	}
}

// TestManyChannelsWaitForNone: a channel that another call of the broker locks is
// subscribed to by a call of its own, and the others do not wait for it. It runs in real
// time: a goroutine that waits for a mutex keeps a bubble's clock from advancing.
func TestManyChannelsWaitForNone(t *testing.T) {
	engine := newEngineCase(true)
	release := make(chan struct{})
	entered := make(chan struct{}, 10)
	engine.on(func(_ context.Context, call string) error {
		if call == "Subscribe" {
			entered <- struct{}{}
			<-release
		}
		return nil
	})
	s := newSite(t, engine.config, allow(centrifuge.SubscribeOptions{}))
	first, second := centrifugetest.Connect(t.Context(), t, s.Node, jsonV2, "u"), centrifugetest.Connect(t.Context(), t, s.Node, jsonV2, "u")
	first.SendRaw([]byte(`{"id":2,"subscribe":{"channel":"c1"}}`))
	<-entered
	second.SendRaw([]byte(strings.Join(subscribeCommands(3, ""), "\n")))
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for engine.subscribed.Load() != 2 { // until the test times out
		<-ticker.C
	}
	close(release)
	for id := range uint32(3) {
		if reply := second.Read(); reply == nil || reply.ID != id+2 || reply.Error != nil {
			t.Fatalf("got %+v, want the result of command %d", reply, id+2)
		}
	}
	if n, m := engine.subscribed.Load(), len(entered); n != 3 || m != 0 {
		t.Errorf("the broker is subscribed to %d channels after %d more calls of Subscribe, want 3 after 0", n, m)
	}
}

// TestLimitOfManyChannels: a channel that has all its subscribers is refused among
// others, and nothing is left when all have gone.
func TestLimitOfManyChannels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		engine := newEngineCase(true)
		s := newSite(t, engine.config, allow(centrifuge.SubscribeOptions{MaxSubscribers: 1}))
		first, second := s.connect(jsonV2, "u"), s.connect(jsonV2, "u")
		first.commands(`{"id":2,"subscribe":{"channel":"c1"}}`)
		time.Sleep(time.Second)
		second.commands(subscribeCommands(3, "")...)
		time.Sleep(time.Second)
		second.expect(`{"id":2,"subscribe":{}}`, refused(3, centrifuge.ErrorLimitExceeded), `{"id":4,"subscribe":{}}`)
		first.expect(`{"id":2,"subscribe":{}}`)
		for _, p := range []*peer{first, second} {
			p.Cut()
		}
		time.Sleep(time.Second)
		if n := engine.subscribed.Load(); n != 0 {
			t.Errorf("%d subscriptions of the broker are left, want 0", n)
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
			t.Errorf("events: %s; want the last of a channel last", events)
		}
	})
}
