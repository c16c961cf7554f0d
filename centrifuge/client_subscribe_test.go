package centrifuge_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

const subscribeA = `{"id":2,"subscribe":{"channel":"a"}}`

// TestSubscribeResult: the options granted and the flags in the result
// (protocol.md 6.2).
func TestSubscribeResult(t *testing.T) {
	for _, test := range []struct {
		name    string
		options centrifuge.SubscribeOptions
		request string
		want    string
	}{
		{"nothing", centrifuge.SubscribeOptions{}, `"positioned":true,"recoverable":true,"join_leave":true,"delta":"fossil","flag":1`, `{}`},
		{"data", centrifuge.SubscribeOptions{Data: []byte(`[1]`)}, ``, `{"data":[1]}`},
		{"positioned", centrifuge.SubscribeOptions{Positioning: true}, ``, `{"epoch":"<e>","offset":1,"positioned":true}`},
		{"recoverable", centrifuge.SubscribeOptions{Recovery: true}, ``, `{"recoverable":true,"epoch":"<e>","offset":1,"positioned":true}`},
		{"delta not asked for", centrifuge.SubscribeOptions{AllowDelta: true}, ``, `{}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{}, allow(test.options))
				s.publish("a", `1`, history)
				p := s.connect(format, "u")
				request := test.request
				if request != "" {
					request = "," + request
				}
				p.commands(`{"id":2,"subscribe":{"channel":"a"` + request + `}}`)
				p.expect(`{"id":2,"subscribe":` + test.want + `}`)
			})
		})
	}
}

// TestSubscribeChecks has the rows of protocol.md 6.1 that are the library's.
func TestSubscribeChecks(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{ChannelLimit: 3}, connectingTo("srv", allow(centrifuge.SubscribeOptions{})))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.expect(`{"id":2,"subscribe":{}}`)
		p.commands(`{"id":3,"subscribe":{"channel":"a"}}`)
		p.expect(refused(3, centrifuge.ErrorAlreadySubscribed))
		p.commands(`{"id":4,"subscribe":{"channel":"b"}}`, `{"id":5,"subscribe":{"channel":"c"}}`)
		p.expect(`{"id":4,"subscribe":{}}`, refused(5, centrifuge.ErrorLimitExceeded)) // server-side ones count
		p.commands(`{"id":6,"unsubscribe":{"channel":"b"}}`, `{"id":7,"subscribe":{"channel":"c"}}`)
		p.expect(`{"id":6,"unsubscribe":{}}`, `{"id":7,"subscribe":{}}`)
		if err := s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "d", centrifuge.SubscribeOptions{}); err != nil {
			t.Fatal(err)
		}
		p.expect(p.closes(centrifuge.DisconnectChannelLimit))
	})
}

// connectingTo adds a server-side subscription to an application.
func connectingTo(channel string, handlers centrifuge.Handlers) centrifuge.Handlers {
	handlers.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
		return centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{channel: {}}}, nil
	}
	return handlers
}

// TestManySubscriptions: a thousand channels on one connection.
func TestManySubscriptions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{ChannelLimit: -1}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		var commands []string
		for i := range 1000 {
			commands = append(commands, strings.ReplaceAll(`{"id":2,"subscribe":{"channel":"N"}}`, "N", string(rune(0x4e00+i))))
		}
		p.commands(commands...)
		if got := p.received(); len(got) != 1000 || got[999] != `{"id":2,"subscribe":{}}` {
			t.Fatalf("%d replies; want 1000 and %q", len(got), `{"id":2,"subscribe":{}}`)
		}
		if got := len(p.Client.Client().Channels()); got != 1000 {
			t.Errorf("%d channels; want 1000", got)
		}
		for i := range 1000 {
			channel := string(rune(0x4e00 + i))
			if !p.Client.Client().IsSubscribed(channel) {
				t.Fatalf("not subscribed to channel %d; want all subscribed", i)
			}
			if i%2 == 0 {
				p.Client.Client().Unsubscribe(channel, centrifuge.UnsubscribeServer)
			}
		}
		if got := len(p.received()); got != 500 {
			t.Errorf("%d unsubscribe pushes; want 500", got)
		}
		if stats := s.Stats(); stats.Channels != 500 || stats.Subscriptions != 500 {
			t.Errorf("%d channels, %d subscriptions; want 500 and 500", stats.Channels, stats.Subscriptions)
		}
	})
}

// TestResubscribe: unsubscribe and subscribe back to back (protocol.md 6.9).
func TestResubscribe(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Positioning: true}))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		var commands, want []string
		for range 50 {
			commands = append(commands, `{"id":3,"unsubscribe":{"channel":"a"}}`, `{"id":4,"subscribe":{"channel":"a"}}`)
			want = append(want, `{"id":3,"unsubscribe":{}}`, `{"id":4,"subscribe":{"epoch":"<e>","positioned":true}}`)
		}
		p.commands(commands...)
		p.expect(want...)
		s.publish("a", `1`, history)
		if got := p.received(); len(got) != 1 {
			t.Errorf("one publication came %d times; want 1", len(got))
		}
	})
}

// TestSubscribeOrder: reply, then publications, then the own join; and nothing
// after the unsubscribe reply (protocol.md 5.5).
func TestSubscribeOrder(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		var s *site
		broker := publishOnHistory{centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{}), &s}
		s = newSite(t, centrifuge.Config{Broker: broker}, allow(centrifuge.SubscribeOptions{
			Positioning: true, JoinLeave: true, PushJoinLeave: true,
		}))
		p := s.connect(format, "u")
		p.commands(subscribeA, `{"id":3,"unsubscribe":{"channel":"a"}}`)
		time.Sleep(time.Second) // the broker takes its time
		p.expect(
			`{"id":2,"subscribe":{"epoch":"<e>","offset":1,"positioned":true}}`,
			`{"push":{"channel":"a","pub":{"data":"after","offset":2}}}`,
			`{"push":{"channel":"a","join":{"info":{"user":"u","client":"<id>"}}}}`,
			`{"id":3,"unsubscribe":{}}`)
	})
}

// publishOnHistory publishes before and after the stream is read, when the
// subscriber is registered already.
type publishOnHistory struct {
	*centrifuge.MemoryBroker
	site **site
}

func (b publishOnHistory) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error) {
	(*b.site).publish(channel, `"before"`, history)
	result, err := b.MemoryBroker.History(ctx, channel, opts)
	(*b.site).publish(channel, `"after"`, history)
	time.Sleep(time.Nanosecond) // in a bubble: they have reached the gate
	return result, err
}

// PublishJoin waits, so that the lane is not faster than the join.
func (b publishOnHistory) PublishJoin(ctx context.Context, channel string, info *centrifuge.ClientInfo) error {
	err := b.MemoryBroker.PublishJoin(ctx, channel, info)
	time.Sleep(time.Nanosecond)
	return err
}

// TestJoinLeaveAndPresence: protocol.md 6.10.
func TestJoinLeaveAndPresence(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		handlers := allow(centrifuge.SubscribeOptions{JoinLeave: true, PushJoinLeave: true, Presence: true, Info: []byte(`{"c":1}`)})
		s := newSite(t, centrifuge.Config{}, handlers)
		watcher, p := s.connect(format, ""), s.connect(format, "u")
		watcher.commands(subscribeA)
		watcher.received()
		p.commands(subscribeA)
		p.received()
		id := p.Client.Client().ID()
		info := `{"user":"u","client":"` + id + `","chan_info":{"c":1}}`
		watcher.expect(`{"push":{"channel":"a","join":{"info":` + info + `}}}`)
		p.commands(`{"id":3,"presence_stats":{"channel":"a"}}`)
		p.expect(`{"id":3,"presence_stats":{"num_clients":2,"num_users":2}}`)
		p.commands(`{"id":4,"unsubscribe":{"channel":"a"}}`)
		p.expect(`{"id":4,"unsubscribe":{}}`) // and no leave for itself
		watcher.expect(`{"push":{"channel":"a","leave":{"info":` + info + `}}}`)
		watcher.commands(`{"id":3,"presence":{"channel":"a"}}`)
		watcher.expect(`{"id":3,"presence":{"presence":{"<id>":{"user":"","client":"<id>","chan_info":{"c":1}}}}}`)
		p.commands(subscribeA)
		p.received()
		watcher.received()
		p.Cut()
		watcher.expect(`{"push":{"channel":"a","leave":{"info":` + info + `}}}`)
		watcher.commands(`{"id":4,"presence":{"channel":"empty"}}`, `{"id":5,"presence_stats":{"channel":"empty"}}`)
		watcher.expect(`{"id":4,"presence":{"presence":{}}}`, `{"id":5,"presence_stats":{"num_clients":0,"num_users":0}}`)
	})
}

// TestJoinsAreForThoseWhoAsked.
func TestJoinsAreForThoseWhoAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{JoinLeave: true}))
		p, other := s.connect(jsonV2, "u"), s.connect(jsonV2, "v")
		p.commands(subscribeA)
		other.commands(subscribeA)
		other.received()
		p.expect(`{"id":2,"subscribe":{}}`)
	})
}

// TestConnectionInfo is seen by others beside the channel's.
func TestConnectionInfo(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		handlers := connecting(centrifuge.ConnectingReply{
			Credentials: &centrifuge.Credentials{UserID: "u", Info: []byte(`{"name":"A"}`)},
		}, nil)
		s := newSite(t, centrifuge.Config{}, handlers)
		s.publish("a", `1`, history)
		publisher, p := s.connect(format, ""), s.connect(format, "")
		p.commands(subscribeA)
		p.received()
		publisher.commands(`{"id":2,"publish":{"channel":"a","data":{"x":1}}}`)
		publisher.expect(`{"id":2,"publish":{}}`)
		p.expect(`{"push":{"channel":"a","pub":{"data":{"x":1},"info":{"user":"u","client":"` +
			publisher.Client.Client().ID() + `","conn_info":{"name":"A"}},"offset":2}}}`)
	})
}
