package centrifuge_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// rejecting is an application whose subscriptions fail with err.
func rejecting(err error) centrifuge.Handlers {
	handlers := allow(centrifuge.SubscribeOptions{})
	handlers.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
		return centrifuge.SubscribeReply{}, err
	}
	return handlers
}

// subscribes are n commands with ids from first on.
func subscribes(first, n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"c%d"}}`, first+i, first+i)
	}
	return lines
}

// TestErrorRepliesShareAWrite: as other replies do.
func TestErrorRepliesShareAWrite(t *testing.T) {
	for _, test := range []struct {
		name     string
		commands []string
		writes   int
	}{
		{"50 errors", subscribes(2, 50), 1},
		{"200 errors", subscribes(2, 200), 4}, // 64 are joined at most
		{"errors and replies", append(subscribes(2, 20), append([]string{`{"id":90,"rpc":{}}`}, subscribes(30, 20)...)...), 1},
		{"errors of different commands", []string{
			`{"id":2,"subscribe":{"channel":"a"}}`, `{"id":3,"sub_refresh":{"channel":"a","token":"t"}}`, `{"id":4,"history":{"channel":"a","since":{"epoch":""},"reverse":true}}`,
		}, 1},
		{"errors and a send", []string{`{"id":2,"subscribe":{"channel":"a"}}`, `{"send":{"data":1}}`, `{"id":3,"subscribe":{"channel":"a"}}`}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{}, rejecting(centrifuge.ErrorPermissionDenied))
				p := s.connect(format, "u")
				before := p.Writes()
				p.commands(test.commands...)
				replies := p.received()
				want := len(test.commands) - strings.Count(strings.Join(test.commands, ""), `"send"`)
				if writes := p.Writes() - before; writes != test.writes || len(replies) != want {
					t.Errorf("%d replies in %d writes, want %d in %d", len(replies), writes, want, test.writes)
				}
			})
		})
	}
}

// TestErrorsAreSlowed: a client that gets nothing but errors is slowed, then closed.
func TestErrorsAreSlowed(t *testing.T) {
	const burst = 1000 + 128 // and the limit of channels
	for _, test := range []struct {
		name    string
		err     error
		between string // a command that succeeds, after each that fails
		n       int
		lasts   time.Duration
		closed  bool
	}{
		{name: "a burst", err: centrifuge.ErrorPermissionDenied, n: burst},
		{name: "a little more", err: centrifuge.ErrorPermissionDenied, n: burst + 100, lasts: time.Second},
		{name: "without end", err: centrifuge.ErrorPermissionDenied, n: 10 * burst, lasts: 10 * time.Second, closed: true},
		{name: "the server's fault", err: centrifuge.ErrorInternal, n: 3 * burst},
		{name: "temporary", err: centrifuge.ErrorTooManyRequests, n: 3 * burst},
		{name: "with as many that succeed", err: centrifuge.ErrorPermissionDenied, between: `{"id":9,"rpc":{}}`, n: 3 * burst},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, concurrency := range []int{1, 4} {
				synctest.Test(t, func(t *testing.T) {
					s := newSite(t, centrifuge.Config{PingInterval: -1, Concurrency: concurrency}, rejecting(test.err))
					p := s.connect(jsonV2, "u")
					begin := time.Now()
					for i := range test.n {
						p.commands(append(subscribes(10+i, 1), strings.Fields(test.between)...)...)
					}
					if test.closed {
						if why := p.Closed(); why != centrifuge.DisconnectTooManyErrors {
							t.Errorf("closed with %v; want %v", why, centrifuge.DisconnectTooManyErrors)
						}
					} else {
						want := test.n * (1 + len(strings.Fields(test.between)))
						for range want {
							p.Read()
						}
						if _, ended := p.Ended(); ended {
							t.Error("closed; want it open")
						}
					}
					if lasted := time.Since(begin); lasted < test.lasts-time.Second/10 || lasted > test.lasts+time.Second/2 {
						t.Errorf("it took %v, want %v", lasted, test.lasts)
					}
				})
			}
		})
	}
}

// TestErrorsAreForgiven: what was slowed is served at once again after a while.
func TestErrorsAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{PingInterval: -1}, rejecting(centrifuge.ErrorPermissionDenied))
		p := s.connect(jsonV2, "u")
		for round := range 5 {
			begin := time.Now()
			for i := range 1128 + 900 {
				p.commands(subscribes(10+i, 1)...)
			}
			for range 1128 + 900 {
				p.Read()
			}
			if lasted := time.Since(begin); lasted < 8*time.Second || lasted > 10*time.Second {
				t.Errorf("round %d took %v; want at least %v and at most %v", round, lasted, 8*time.Second, 10*time.Second)
			}
			time.Sleep(time.Minute)
		}
	})
}

// TestCommandsWaitForTheReader: commands wait while their client does not read the
// replies; none is lost, and no client is closed as slow because of its own commands.
func TestCommandsWaitForTheReader(t *testing.T) {
	for _, test := range []struct{ name, command string }{
		{"without a channel", `"rpc":{}`},
		{"of one channel", `"history":{"channel":"a","limit":10}`},
	} {
		for _, concurrency := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", test.name, concurrency), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { commandsWait(t, test.command, concurrency) })
			})
		}
	}
}

func commandsWait(t *testing.T, command string, concurrency int) {
	t.Helper()
	var carried atomic.Int32
	handlers := allow(centrifuge.SubscribeOptions{})
	large := []byte(`"` + strings.Repeat("x", 1500) + `"`)
	handlers.RPC = func(context.Context, centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
		carried.Add(1)
		return centrifuge.RPCReply{Data: large}, nil
	}
	handlers.History = func(context.Context, centrifuge.HistoryEvent) (centrifuge.HistoryReply, error) {
		carried.Add(1)
		return centrifuge.HistoryReply{Result: &centrifuge.HistoryResult{Publications: []*centrifuge.Publication{{Data: large}}}}, nil
	}
	s := newSite(t, centrifuge.Config{QueueSize: 1000, WriteTimeout: -1, PingInterval: -1, Concurrency: concurrency}, handlers)
	p := s.connect(jsonV2, "u")
	p.Stick(true)
	const n = 40
	for i := range n {
		p.commands(fmt.Sprintf(`{"id":%d,%s}`, 2+i, command))
	}
	synctest.Wait()
	if n := int(carried.Load()); n < 1 || n > concurrency {
		t.Errorf("%d commands were handled for a client that reads nothing; want 1 to %d", n, concurrency)
	}
	p.Stick(false)
	if got := p.received(); len(got) != n {
		t.Errorf("%d replies, the last %.80q; want %d", len(got), got[len(got)-1], n)
	}
	// One that leaves meanwhile leaves nothing behind: see site.close.
	p.Stick(true)
	p.commands(fmt.Sprintf(`{"id":100,%s}`, command))
	p.commands(fmt.Sprintf(`{"id":101,%s}`, command))
	synctest.Wait()
}

// TestReplyMaxSize: a recovery that is too large is told as not recovered, a
// history is cut.
func TestReplyMaxSize(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		handlers := allow(centrifuge.SubscribeOptions{Recovery: true})
		handlers.Connecting = func(_ context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			subs := make(map[string]centrifuge.SubscribeOptions)
			for _, channel := range e.Channels {
				subs[channel] = centrifuge.SubscribeOptions{Recovery: true}
			}
			return centrifuge.ConnectingReply{Subscriptions: subs}, nil
		}
		s := newSite(t, centrifuge.Config{ReplyMaxSize: 400}, handlers) // ten publications
		for _, channel := range []string{"small", "fits", "large", "one"} {
			s.publishRun(channel, map[string]int{"small": 6, "fits": 10, "large": 12}[channel], 100)
		}
		s.publish("one", `"`+strings.Repeat("x", 1000)+`"`, history)
		p := s.connect(format, "u")
		lost := func(r string) bool {
			return !strings.Contains(r, `"recovered":true`) && !strings.Contains(r, `"publications"`)
		}
		for i, test := range []struct {
			channel   string
			offset    int
			recovered bool
		}{{"small", 0, true}, {"fits", 0, true}, {"large", 0, false}, {"one", 0, false}, {"large", 1, false}, {"large", 2, true}, {"one", 1, true}} {
			id := 2 + 2*i
			p.commands(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":%q,"recover":true,"offset":%d}}`, id, test.channel, test.offset),
				fmt.Sprintf(`{"id":%d,"unsubscribe":{"channel":%q}}`, id+1, test.channel))
			if got := p.received(); len(got) != 2 || lost(got[0]) == test.recovered {
				t.Errorf("%s from %d: %.200q; want 2 messages, recovered %v", test.channel, test.offset, got, test.recovered)
			}
		}
		// A client goes on from what it was told.
		s.publish("large", `"next"`, history)
		p.commands(`{"id":50,"subscribe":{"channel":"large","recover":true,"offset":12}}`)
		if got := p.received(); len(got) != 1 || !strings.Contains(got[0], `"data":"next"`) {
			t.Errorf("%q; want length 1 and %q in it", got, `"data":"next"`)
		}
		p.commands(`{"id":60,"history":{"channel":"large","limit":100}}`, `{"id":61,"history":{"channel":"one","limit":100}}`)
		got := p.received()
		if len(got) != 2 || strings.Count(got[0], `"offset":`) != 1+10 || strings.Count(got[1], `"data"`) != 1 {
			t.Errorf("%q; want length 2, %v and 1", got, 1+10)
		}
		// The subscriptions of a connect share the space: one of two fits.
		both := s.dial(format, transport(format), "v")
		both.commands(`{"id":1,"connect":{"subs":{"small":{"recover":true},"fits":{"recover":true}}}}`)
		if got := both.received(); len(got) != 1 || strings.Count(got[0], `"recovered":true`) != 1 {
			t.Errorf("%q; want length 1 and 1", got)
		}
	})
}

// TestLargeWhileSubscribing: what is published while a subscription is made may be
// larger than the queue, if it is one publication.
func TestLargeWhileSubscribing(t *testing.T) {
	for _, test := range []struct {
		name      string
		sizes     []int
		delivered bool
	}{
		{"one that fits", []int{1000}, true},
		{"one beyond the bound", []int{3000}, true},
		{"one of a hundred times the bound", []int{200_000}, true},
		{"several that fit", []int{500, 500, 500}, true},
		{"one more than fits", []int{3000, 10}, false},
		{"several beyond the bound", []int{900, 900, 900}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				handlers := allow(centrifuge.SubscribeOptions{Recovery: true})
				broker := &slowHistory{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{}), release: make(chan struct{})}
				s := newSite(t, centrifuge.Config{Broker: broker, QueueSize: 2000, PingInterval: -1}, handlers)
				p := s.connect(format, "u")
				p.commands(`{"id":2,"subscribe":{"channel":"a"}}`)
				synctest.Wait()
				for _, size := range test.sizes {
					s.publish("a", `"`+strings.Repeat("x", size)+`"`, centrifuge.PublishOptions{})
				}
				synctest.Wait()
				close(broker.release)
				got := p.received()
				if test.delivered && len(got) != 1+len(test.sizes) {
					t.Errorf("%d messages: %.200q; want %d", len(got), got, 1+len(test.sizes))
				}
				if !test.delivered && (len(got) == 0 || got[len(got)-1] != p.closes(centrifuge.DisconnectInsufficientState)) {
					t.Errorf("%.200q; want the last to be a close for insufficient state", got)
				}
			})
		})
	}
}

// slowHistory reads history once it is released.
type slowHistory struct {
	*centrifuge.MemoryBroker
	release chan struct{}
}

// History implements centrifuge.HistoryBroker.
func (b *slowHistory) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error) {
	<-b.release
	return b.MemoryBroker.History(ctx, channel, opts)
}
