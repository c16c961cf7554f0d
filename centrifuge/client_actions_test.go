package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestClientActions checks the calls that act on one connection.
func TestClientActions(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, noPings, allow(centrifuge.SubscribeOptions{}))
		p, other := s.connect(format, "u"), s.connect(format, "u")
		c := p.Client.Client()
		must(t, c.Subscribe(t.Context(), "srv", centrifuge.SubscribeOptions{Data: []byte(`1`)}))
		p.expect(`{"push":{"channel":"srv","subscribe":{"data":1}}}`)
		if !c.IsSubscribed("srv") {
			t.Error("the client is not subscribed; want it subscribed")
		}
		must(t, c.Refresh(centrifuge.RefreshOptions{ExpireAt: time.Now().Unix() + 60}))
		p.expect(`{"push":{"refresh":{"expires":true,"ttl":60}}}`)
		must(t, c.SendPublication("srv", &centrifuge.Publication{Data: []byte(`2`)}))
		p.expect(`{"push":{"channel":"srv","pub":{"data":2}}}`)
		if err := c.SendPublication("other", &centrifuge.Publication{Data: []byte(`2`)}); !errors.Is(err, centrifuge.ErrNotSubscribed) {
			t.Errorf("SendPublication without a subscription = %v; want %v", err, centrifuge.ErrNotSubscribed)
		}
		c.Unsubscribe("srv", centrifuge.UnsubscribeServer)
		c.Unsubscribe("srv", centrifuge.UnsubscribeServer)
		p.expect(`{"push":{"channel":"srv","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
		must(t, c.Refresh(centrifuge.RefreshOptions{Expired: true}))
		p.expect(p.closes(centrifuge.DisconnectExpired))
		other.expect()
	})
}

func ExampleClient_Subscribe() {
	node, stop := exampleNode(centrifuge.Handlers{
		Connected: func(ctx context.Context, e centrifuge.ConnectedEvent) {
			err := e.Client.Subscribe(ctx, "personal:"+e.Client.UserID(), centrifuge.SubscribeOptions{Data: []byte(`"welcome"`)})
			if err != nil {
				e.Client.Disconnect(centrifuge.DisconnectServerError)
			}
		},
	})
	defer stop()
	push := exampleConnect(node, "42").Push()
	fmt.Println(push.Channel, string(push.Subscribe.Data))
	// Output:
	// personal:42 "welcome"
}

// TestClientActionsRefused checks their errors.
func TestClientActionsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, noPings, allow(centrifuge.SubscribeOptions{}))
		early := s.dial(jsonV2, transport(jsonV2), "u").Client.Client()
		p := s.connect(jsonV2, "u")
		c := p.Client.Client()
		if err := c.Subscribe(t.Context(), "a", centrifuge.SubscribeOptions{ExpireAt: 1}); !errors.Is(err, centrifuge.ErrorExpired) {
			t.Errorf("Subscribe(expired) = %v; want ErrorExpired", err)
		}
		if err := c.Subscribe(t.Context(), "", centrifuge.SubscribeOptions{}); err == nil {
			t.Error("Subscribe(no channel) succeeded; want an error")
		}
		p.expect()
		c.Disconnect(centrifuge.DisconnectForceNoReconnect)
		for _, c := range []*centrifuge.Client{early, c} {
			if err := c.Subscribe(t.Context(), "a", centrifuge.SubscribeOptions{}); !errors.Is(err, centrifuge.ErrNotConnected) {
				t.Errorf("Subscribe() = %v; want ErrNotConnected", err)
			}
			if err := c.Refresh(centrifuge.RefreshOptions{}); !errors.Is(err, centrifuge.ErrNotConnected) {
				t.Errorf("Refresh() = %v; want ErrNotConnected", err)
			}
		}
	})
}
