package centrifuge_test

import (
	"context"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// TestMaxSubscribers: the subscriber above the limit is refused, and the place
// of one who leaves is free again.
func TestMaxSubscribers(t *testing.T) {
	node, err := centrifuge.New(centrifuge.Config{})
	if err != nil {
		t.Fatal(err)
	}
	node.Handle(centrifuge.Handlers{
		Subscribe: func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{Options: centrifuge.SubscribeOptions{MaxSubscribers: 2}}, nil
		},
	})
	if err := node.Run(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	subscribe := func(c *centrifugetest.Client) uint32 {
		t.Helper()
		r := c.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: "room"}})
		if r.Error != nil {
			return r.Error.Code
		}
		return 0
	}
	first := centrifugetest.Connect(t.Context(), t, node, 0, "1")
	second := centrifugetest.Connect(t.Context(), t, node, 0, "2")
	third := centrifugetest.Connect(t.Context(), t, node, 0, "3")
	if a, b, c := subscribe(first), subscribe(second), subscribe(third); a != 0 || b != 0 || c != 106 {
		t.Errorf("codes %d, %d, %d; want 0, 0, 106", a, b, c)
	}
	first.Do(&protocol.Command{Unsubscribe: &protocol.UnsubscribeRequest{Channel: "room"}})
	if code := subscribe(third); code != 0 {
		t.Errorf("code %d although a place is free; want 0", code)
	}
}
