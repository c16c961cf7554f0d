package centrifuge_test

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
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

// TestUnsubscribedEvents checks that the event has all facts of the end of a subscription.
func TestUnsubscribedEvents(t *testing.T) {
	for _, test := range []struct {
		name       string
		end        func(t *testing.T, s *site, p *peer)
		why        centrifuge.Unsubscribe
		disconnect centrifuge.Disconnect // none if its code is zero
	}{
		{"by the client", func(_ *testing.T, _ *site, p *peer) { p.commands(`{"id":9,"unsubscribe":{"channel":"a"}}`) },
			centrifuge.UnsubscribeClient, centrifuge.Disconnect{}},
		{"by the server", func(t *testing.T, s *site, _ *peer) {
			must(t, s.Unsubscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.UnsubscribeServer))
		}, centrifuge.UnsubscribeServer, centrifuge.Disconnect{}},
		{"connection cut", func(_ *testing.T, _ *site, p *peer) { p.Cut() },
			centrifuge.UnsubscribeDisconnect, centrifuge.DisconnectConnectionClosed},
		{"disconnected", func(_ *testing.T, _ *site, p *peer) {
			p.Client.Client().Disconnect(centrifuge.DisconnectForceReconnect)
		},
			centrifuge.UnsubscribeDisconnect, centrifuge.DisconnectForceReconnect},
	} {
		for _, positioned := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s positioned=%v", test.name, positioned), func(t *testing.T) {
				inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
					handlers := allow(centrifuge.SubscribeOptions{Positioning: positioned})
					var got centrifuge.UnsubscribedEvent
					handlers.Unsubscribed = func(_ context.Context, e centrifuge.UnsubscribedEvent) { got = e }
					s := newSite(t, noPings, handlers)
					s.publish("a", `1`, history)
					p := s.connect(format, "u")
					p.commands(subscribeA)
					p.received()
					position := s.publish("a", `2`, history).StreamPosition
					p.received()
					test.end(t, s, p)
					synctest.Wait()
					want := centrifuge.UnsubscribedEvent{Client: p.Client.Client(), Channel: "a", Unsubscribe: test.why}
					if test.disconnect.Code != 0 {
						want.Disconnect = &test.disconnect
					}
					if positioned {
						want.Positioned, want.Position = true, position
					}
					if !reflect.DeepEqual(got, want) {
						t.Errorf("Unsubscribed got %+v; want %+v", got, want)
					}
				})
			})
		}
	}
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
			ID: c.ID(), User: "u", Connected: true, ConnectedAt: got.ConnectedAt, Transport: c.Transport(), Info: []byte(`{"i":1}`), ExpireAt: expires,
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
		if since := time.Since(got.ConnectedAt); since < 0 || since >= time.Second {
			t.Errorf("ConnectedAt is %v ago; want less than a second", since)
		}
		got.ExpireAt, got.Subscriptions[0].ExpireAt = expires, expires
		if !reflect.DeepEqual(got, want) {
			t.Errorf("Snapshot() = %+v; want %+v", got, want)
		}
	})
}

// TestSnapshotOfTheClient checks what a snapshot tells of the client's name, of its pings
// and of its queue.
func TestSnapshotOfTheClient(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		const interval = 25 * time.Second
		s := newSite(t, centrifuge.Config{PingInterval: interval, PongTimeout: 8 * time.Second}, centrifuge.Handlers{})
		long := strings.Repeat("x", 63) + "ü"
		p := s.dial(format, transport(format), "u")
		c := p.Client.Client()
		if got := c.Snapshot(); got.Name != "" || !got.ConnectedAt.IsZero() || !got.LastPing.IsZero() {
			t.Errorf("before connect: Snapshot() = %+v; want no name and no times", got)
		}
		time.Sleep(3 * time.Second)
		connected := time.Now()
		p.commands(`{"id":1,"connect":{"name":"app","version":"` + long + `"}}`)
		p.received()
		got := c.Snapshot()
		if got.Name != "app" || got.Version != long[:63] {
			t.Errorf("name and version are %q and %q; want app and %q", got.Name, got.Version, long[:63])
		}
		if ago := connected.Sub(got.ConnectedAt); ago < 0 || ago >= time.Second {
			t.Errorf("ConnectedAt = %v; want the second before %v", got.ConnectedAt, connected)
		}
		if !got.LastPing.IsZero() || got.PongMissing || got.QueuedBytes != 0 {
			t.Errorf("LastPing %v, PongMissing %v, QueuedBytes %d; want none", got.LastPing, got.PongMissing, got.QueuedBytes)
		}
		for range 3 {
			var sent time.Time
			for pings := 0; pings == 0; {
				time.Sleep(time.Second)
				sent = time.Now()
				_, pings = p.answering(false)
			}
			if got := c.Snapshot(); sent.Sub(got.LastPing).Abs() > 2*time.Second || !got.PongMissing {
				t.Errorf("LastPing is %v before the ping, PongMissing %v; want the time of the ping, and true", sent.Sub(got.LastPing), got.PongMissing)
			}
			p.pong()
			p.received()
			if got := c.Snapshot(); got.PongMissing {
				t.Error("PongMissing after the pong; want it answered")
			}
		}
	})
}
