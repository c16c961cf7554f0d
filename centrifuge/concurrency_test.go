package centrifuge_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestChannelOrder: with a concurrency above 1, the commands of one channel are
// handled in the order of their arrival, whichever messages carry them.
func TestChannelOrder(t *testing.T) {
	sub := func(id int, channel string) string {
		return fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%s"}}`, id, channel)
	}
	unsub := func(id int, channel string) string {
		return fmt.Sprintf(`{"id":%d,"unsubscribe":{"channel":"%s"}}`, id, channel)
	}
	for _, test := range []struct {
		name     string
		messages [][]string
		want     []string // replies about channel x, in their order
		hears    bool     // a publication into x in the end
	}{
		{"subscribe and unsubscribe, then subscribe", [][]string{{sub(2, "x"), unsub(3, "x")}, {sub(4, "x")}},
			[]string{`{"id":2,"subscribe":{}}`, `{"id":3,"unsubscribe":{}}`, `{"id":4,"subscribe":{}}`}, true},
		{"all in one", [][]string{{sub(2, "x"), unsub(3, "x"), sub(4, "x")}},
			[]string{`{"id":2,"subscribe":{}}`, `{"id":3,"unsubscribe":{}}`, `{"id":4,"subscribe":{}}`}, true},
		{"one each", [][]string{{sub(2, "x")}, {unsub(3, "x")}, {sub(4, "x")}, {unsub(5, "x")}},
			[]string{`{"id":2,"subscribe":{}}`, `{"id":3,"unsubscribe":{}}`, `{"id":4,"subscribe":{}}`, `{"id":5,"unsubscribe":{}}`}, false},
		{"subscribe and publish", [][]string{{sub(2, "x"), `{"id":3,"publish":{"channel":"x","data":1}}`, unsub(4, "x")}},
			[]string{`{"id":2,"subscribe":{}}`, `{"id":3,"publish":{}}`, `{"id":4,"unsubscribe":{}}`}, false},
		{"subscribe and presence", [][]string{{`{"id":2,"presence_stats":{"channel":"x"}}`, sub(3, "x"), `{"id":4,"presence_stats":{"channel":"x"}}`}},
			[]string{`{"id":2,"presence_stats":{"num_clients":0,"num_users":0}}`, `{"id":3,"subscribe":{}}`, `{"id":4,"presence_stats":{"num_clients":1,"num_users":1}}`}, true},
		{"twice", [][]string{{sub(2, "x"), sub(3, "x"), unsub(4, "x"), unsub(5, "x")}},
			[]string{`{"id":2,"subscribe":{}}`, refused(3, centrifuge.ErrorAlreadySubscribed), `{"id":4,"unsubscribe":{}}`, `{"id":5,"unsubscribe":{}}`}, false},
		{"beside another", [][]string{{sub(2, "x"), sub(6, "y"), unsub(3, "x"), unsub(7, "y"), sub(4, "x"), sub(8, "y")}},
			[]string{`{"id":2,"subscribe":{}}`, `{"id":3,"unsubscribe":{}}`, `{"id":4,"subscribe":{}}`}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				for range 50 {
					channelOrder(t, format, test.messages, test.want, test.hears)
				}
			})
		})
	}
}

func channelOrder(t *testing.T, format protocol.Format, messages [][]string, want []string, hears bool) {
	t.Helper()
	s := newSite(t, centrifuge.Config{Concurrency: 8}, allow(centrifuge.SubscribeOptions{Presence: true}))
	defer s.close()
	p := s.connect(format, "u")
	for _, message := range messages {
		p.commands(message...)
	}
	got := slices.DeleteFunc(p.received(), func(line string) bool { // those of y, and what x heard
		return strings.HasPrefix(line, `{"push"`) || line[6] > '5'
	})
	if !slices.Equal(got, want) {
		t.Fatalf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
	s.publish("x", `1`, centrifuge.PublishOptions{})
	if heard := len(p.received()) > 0; heard != hears {
		t.Fatalf("hears a publication: %v, want %v", heard, hears)
	}
	p.Cut()
}

// TestChannelOrderWaits: a command that blocks holds up those of its channel and
// no others, and never more of them than a few.
func TestChannelOrderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.Publish = func(_ context.Context, e centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
			if e.Channel == "slow" {
				<-release
			}
			return centrifuge.PublishReply{}, nil
		}
		s := newSite(t, centrifuge.Config{Concurrency: 2}, handlers)
		p := s.connect(jsonV2, "u")
		var waiting []string
		for id := range 10 {
			waiting = append(waiting, fmt.Sprintf(`{"id":%d,"publish":{"channel":"slow","data":1}}`, id+10))
		}
		p.commands(waiting...)
		p.commands(`{"id":2,"publish":{"channel":"fast","data":1}}`, `{"id":3,"rpc":{}}`, `{"id":4,"rpc":{}}`)
		p.expectAnyOrder(`{"id":2,"publish":{}}`, `{"id":3,"rpc":{}}`, `{"id":4,"rpc":{}}`)
		close(release)
		if got := p.received(); len(got) != 10 || got[0] != `{"id":10,"publish":{}}` || got[9] != `{"id":19,"publish":{}}` {
			t.Errorf("got %q; want length 10, [0] %q and [9] %q", got, `{"id":10,"publish":{}}`, `{"id":19,"publish":{}}`)
		}
	})
}

// TestConcurrencyIsBounded, in commands at work and in commands that wait for
// their channel: beyond, the connection is not read from.
func TestConcurrencyIsBounded(t *testing.T) {
	for _, test := range []struct{ name, channel string }{{"one channel", "x"}, {"many channels", "x%d"}} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				release := make(chan struct{})
				var atWork, most atomic.Int32
				handlers := allow(centrifuge.SubscribeOptions{})
				handlers.Publish = func(context.Context, centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
					most.Store(max(most.Load(), atWork.Add(1)))
					defer atWork.Add(-1)
					<-release
					return centrifuge.PublishReply{Done: true}, nil
				}
				s := newSite(t, centrifuge.Config{Concurrency: 4}, handlers)
				p := s.connect(jsonV2, "u")
				sent, more := 0, true
				for ; more; sent++ {
					if sent > 20_000 {
						t.Fatalf("the connection takes whatever comes: got %v; want at most 20,000", sent)
					}
					channel := strings.ReplaceAll(test.channel, "%d", fmt.Sprint(sent))
					more = p.Client.Conn().Receive(fmt.Appendf(nil, `{"id":%d,"publish":{"channel":"%s","data":1}}`, sent+2, channel))
				}
				synctest.Wait()
				close(release)
				if got := p.received(); len(got) != sent {
					t.Errorf("%d replies; want %d, one to each command", len(got), sent)
				}
				if test.channel == "x" && most.Load() != 1 || most.Load() > 4 {
					t.Errorf("%d commands at a time; want at most 4, and 1 for one channel", most.Load())
				}
				if p.Resumed() != 1 {
					t.Errorf("resumed %d times; want 1", p.Resumed())
				}
			})
		})
	}
}

// TestChannelOrderAfterPanic: a handler that panics ends its connection; what
// waited behind it is dropped, and another connection goes on.
func TestChannelOrderAfterPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		calls := 0
		handlers := allow(centrifuge.SubscribeOptions{})
		handlers.Publish = func(_ context.Context, e centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
			if string(e.Data) == `"boom"` {
				mu.Lock()
				defer mu.Unlock()
				if calls++; calls == 1 {
					panic(boom)
				}
			}
			return centrifuge.PublishReply{}, nil
		}
		s := newSite(t, centrifuge.Config{Concurrency: 2}, handlers)
		p, other := s.connect(jsonV2, "u"), s.connect(jsonV2, "v")
		var commands []string
		for id := range 60 {
			commands = append(commands, fmt.Sprintf(`{"id":%d,"publish":{"channel":"x","data":"boom"}}`, id+2))
		}
		p.commands(commands...)
		p.expect(p.closes(centrifuge.DisconnectServerError))
		if logged := s.logged(); len(logged) != 1 || !strings.Contains(logged[0], boom) {
			t.Errorf("logged %q; want length 1 and %q in it", logged, boom)
		}
		other.commands(`{"id":2,"publish":{"channel":"x","data":1}}`)
		other.expect(`{"id":2,"publish":{}}`)
	})
}
