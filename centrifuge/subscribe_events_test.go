package centrifuge_test

import (
	"context"
	"reflect"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestSubscribeEvents checks that the events have all facts of a subscription.
func TestSubscribeEvents(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		options := centrifuge.SubscribeOptions{Recovery: true, AllowDelta: true, AllowTagsFilter: true, Source: 7}
		handlers := allow(options)
		var asked centrifuge.SubscribeEvent
		var made centrifuge.SubscribedEvent
		subscribe := handlers.Subscribe
		handlers.Subscribe = func(ctx context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			asked = e
			return subscribe(ctx, e)
		}
		handlers.Subscribed = func(_ context.Context, e centrifuge.SubscribedEvent) { made = e }
		s := newSite(t, centrifuge.Config{}, handlers)
		epoch := s.publish("a", `1`, history).Epoch
		s.publish("a", `2`, history)
		p := s.connect(format, "u")
		c := p.Client.Client()
		p.commands(`{"id":2,"subscribe":{"channel":"a","token":"t","data":{"d":1},"positioned":true,"recoverable":true,"join_leave":true,` +
			`"recover":true,"offset":1,"epoch":"` + epoch + `","flag":2,"delta":"fossil","tf":{"key":"k","cmp":"ex"}}}`)
		p.received()
		position := centrifuge.StreamPosition{Offset: 2, Epoch: epoch}
		wantAsked := centrifuge.SubscribeEvent{
			Client: c, Channel: "a", Token: "t", Data: []byte(`{"d":1}`), Positioned: true, Recoverable: true, JoinLeave: true,
			Recover: true, Since: centrifuge.StreamPosition{Offset: 1, Epoch: epoch}, RejectUnrecoverable: true,
			Delta: "fossil", TagsFilter: &centrifuge.FilterNode{Key: "k", Cmp: "ex"},
		}
		wantMade := centrifuge.SubscribedEvent{
			Client: c, Channel: "a", Options: options, Positioned: true, Position: position,
			WasRecovering: true, Recovered: true, Delta: true,
		}
		if !reflect.DeepEqual(asked, wantAsked) {
			t.Errorf("Subscribe got %+v; want %+v", asked, wantAsked)
		}
		if !reflect.DeepEqual(made, wantMade) {
			t.Errorf("Subscribed got %+v; want %+v", made, wantMade)
		}
		p.commands(`{"id":3,"subscribe":{"channel":"b"}}`)
		p.received()
		if made.WasRecovering || made.Recovered || made.Delta || made.Channel != "b" {
			t.Errorf("Subscribed got %+v; want a subscription without recovery", made)
		}
	})
}

// TestSnapshot checks what a snapshot tells of a connection and its subscriptions.
func TestSnapshot(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		expires := time.Now().Add(time.Hour).Truncate(time.Second)
		handlers := allow(centrifuge.SubscribeOptions{Recovery: true, Info: []byte(`{"c":1}`), ExpireAt: expires.Unix()})
		s := newSite(t, centrifuge.Config{}, handlers)
		top := s.publish("a", `1`, history)
		early := s.dial(format, transport(format), "u").Client.Client()
		if got := early.Snapshot(); got.Connected || got.ID != early.ID() || got.Subscriptions != nil {
			t.Errorf("Snapshot() = %+v; want a client that has not connected", got)
		}
		p := s.connect(format, "u")
		c := p.Client.Client()
		p.commands(subscribeA)
		must(t, c.Subscribe(t.Context(), "srv", centrifuge.SubscribeOptions{Presence: true}))
		must(t, c.Refresh(centrifuge.RefreshOptions{ExpireAt: expires.Unix(), Info: []byte(`{"i":1}`)}))
		p.received()
		got := c.Snapshot()
		if len(got.Subscriptions) == 2 && got.Subscriptions[0].Channel != "a" {
			got.Subscriptions[0], got.Subscriptions[1] = got.Subscriptions[1], got.Subscriptions[0]
		}
		for _, at := range []*time.Time{&got.ExpireAt, &got.Subscriptions[0].ExpireAt} {
			*at = at.Round(time.Second)
		}
		want := centrifuge.ClientSnapshot{
			ID: c.ID(), User: "u", Connected: true, Transport: c.Transport(), Info: []byte(`{"i":1}`), ExpireAt: expires,
			Subscriptions: []centrifuge.SubscriptionSnapshot{
				{
					Channel: "a", Positioned: true, Recoverable: true, Position: centrifuge.StreamPosition{Offset: 1, Epoch: top.Epoch},
					Info: []byte(`{"c":1}`), ExpireAt: expires,
				},
				{Channel: "srv", ServerSide: true, Presence: true},
			},
		}
		if !got.ExpireAt.Equal(want.ExpireAt) || !got.Subscriptions[0].ExpireAt.Equal(expires) {
			t.Errorf("the expiries are %v and %v; want %v", got.ExpireAt, got.Subscriptions[0].ExpireAt, expires)
		}
		got.ExpireAt, got.Subscriptions[0].ExpireAt = expires, expires
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Snapshot() = %+v; want %+v", got, want)
		}
	})
}
