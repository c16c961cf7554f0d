package centrifuge_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
)

// TestCommandsOfClientsThatLeft: commands that arrived before the end of the
// connection are handled until leaveTimeout, with a context that is still valid.
// Those that have not begun by then are dropped and counted.
func TestCommandsOfClientsThatLeft(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for _, test := range []struct {
			name    string
			takes   time.Duration // a command
			carried int           // of ten
			ends    time.Duration // after the client has left
		}{
			{name: "fast", takes: 0, carried: 10, ends: 0},
			{name: "slow", takes: 400 * time.Millisecond, carried: 10, ends: 4 * time.Second},
			{name: "too slow", takes: 2 * time.Second, carried: 3, ends: 5 * time.Second},
		} {
			t.Run(fmt.Sprint(test.name, concurrency), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					carried, ended := 0, time.Time{}
					handlers := allow(centrifuge.SubscribeOptions{})
					handlers.Publish = func(ctx context.Context, _ centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
						if ctx.Err() != nil {
							t.Error("a command began after the end; want none")
						}
						carried++ // the commands of one channel follow each other
						time.Sleep(test.takes)
						return centrifuge.PublishReply{}, nil
					}
					handlers.Disconnected = func(context.Context, centrifuge.DisconnectedEvent) { ended = time.Now() }
					config := noPings
					config.Concurrency = concurrency
					s := newSite(t, config, handlers)
					p := s.connect(jsonV2, "u")
					for i := range 10 { // each in a message of its own
						p.commands(fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":1}}`, i+2))
					}
					p.Cut()
					left := time.Now()
					time.Sleep(time.Minute)
					synctest.Wait()
					if carried != test.carried {
						t.Errorf("%d commands were handled; want %d", carried, test.carried)
					}
					if took := ended.Sub(left); took < test.ends || took > test.ends+time.Second {
						t.Errorf("the end came after %v; want at least %v and at most %v", took, test.ends, test.ends+time.Second)
					}
					n, want := int(s.Stats().AbandonedMessages), 10-test.carried
					if n > want || concurrency == 1 && n < want-1 { // the one that was about to begin does not count
						t.Errorf("%d messages were abandoned; want %d, or fewer of several at a time", n, want)
					}
				})
			})
		}
	}
}

// TestFinished: a client that sends nothing more gets the replies to everything it has sent,
// unless handling it takes longer than leaveTimeout.
func TestFinished(t *testing.T) {
	for _, concurrency := range []int{1, 4} {
		for _, test := range []struct {
			name    string
			takes   time.Duration // a command
			replies int           // of three
			ends    time.Duration // after Finished
		}{
			{name: "fast", takes: 0, replies: 3, ends: 0},
			{name: "slow", takes: time.Second, replies: 3, ends: 3 * time.Second},
			{name: "too slow", takes: 3 * time.Second, replies: 1, ends: 5 * time.Second},
		} {
			t.Run(fmt.Sprint(test.name, concurrency), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					ended := time.Time{}
					handlers := allow(centrifuge.SubscribeOptions{})
					handlers.Publish = func(context.Context, centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
						time.Sleep(test.takes)
						return centrifuge.PublishReply{}, nil
					}
					handlers.Disconnected = func(context.Context, centrifuge.DisconnectedEvent) { ended = time.Now() }
					config := noPings
					config.Concurrency = concurrency
					s := newSite(t, config, handlers)
					p := s.connect(jsonV2, "u")
					want := []string{}
					for id := 2; id < 5; id++ {
						p.commands(fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":1}}`, id))
						if len(want) < test.replies {
							want = append(want, fmt.Sprintf(`{"id":%d,"publish":{}}`, id))
						}
					}
					p.Client.Conn().Finished()
					finished := time.Now()
					time.Sleep(time.Minute)
					p.expect(append(want, "close 0 ")...)
					if took := ended.Sub(finished); took < test.ends || took > test.ends+time.Second {
						t.Errorf("the end came after %v; want %v", took, test.ends)
					}
				})
			})
		}
	}
	t.Run("nothing sent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			p := newSite(t, noPings, allow(centrifuge.SubscribeOptions{})).dial(jsonV2, transport(jsonV2), "u")
			p.Client.Conn().Finished()
			p.expect("close 0 ")
		})
	})
}
