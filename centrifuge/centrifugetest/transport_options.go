package centrifugetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/internal/fossil"
)

// optionsChannel is the channel whose subscriptions may have every option that changes
// what is on the wire.
const optionsChannel = "options"

// subscriptionOptions returns the options of a subscription of the suite.
func subscriptionOptions(channel string) centrifuge.SubscribeOptions {
	if channel != optionsChannel {
		return centrifuge.SubscribeOptions{}
	}
	return centrifuge.SubscribeOptions{AllowCompaction: true, AllowDelta: true, AllowTagsFilter: true, JoinLeave: true, PushJoinLeave: true}
}

// options: pushes have a number in place of the channel's name, publications are deltas, a filter
// and the exclusion of the connection leave some out, and what follows them is whole.
func (s *transportSuite) options(t *testing.T) {
	s.start(t, centrifuge.Config{})
	p := &suitePeer{TransportPeer: s.dial(t), t: t}
	t.Cleanup(func() { _ = p.Close() })
	p.send(`{"id":1,"connect":{}}`)
	p.wantPrefix(`{"id":1,"connect":{"client":"`)
	client := <-s.clients
	p.send(`{"id":2,"subscribe":{"channel":"` + optionsChannel + `","flag":1,"delta":"fossil","tf":{"key":"kind","cmp":"neq","val":"other"}}}`)
	p.wantPrefix(`{"id":2,"subscribe":{"delta":true,"id":1}}`)
	p.wantPrefix(`{"push":{"id":1,"join":{"info":{`)
	document := func(n int) string { return fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, strings.Repeat("the same ", 40)) }
	for n := 1; n <= 8; n++ {
		opts := centrifuge.PublishOptions{UseDelta: true}
		switch n {
		case 3:
			opts.Tags = map[string]string{"kind": "other"}
		case 6:
			opts.ExcludeClient = client.ID()
		}
		if _, err := s.node.Publish(t.Context(), optionsChannel, []byte(document(n)), opts); err != nil {
			t.Fatalf("Publish = %v", err)
		}
	}
	base := []byte(nil)
	for _, want := range []struct {
		n     int
		delta bool
	}{{1, false}, {2, true}, {4, false}, {5, true}, {7, false}, {8, true}} {
		line, ok := p.next()
		var reply struct {
			Push struct {
				ID      int64
				Channel string
				Pub     struct {
					Data  string
					Delta bool
				}
			}
		}
		if err := json.Unmarshal([]byte(line), &reply); !ok || err != nil {
			t.Fatalf("received %.200q, %v, %v; want publication %d", line, ok, err, want.n)
		}
		data := []byte(reply.Push.Pub.Data)
		if reply.Push.Pub.Delta {
			var err error
			if data, err = fossil.Apply(base, data, 1<<20); err != nil {
				t.Fatalf("received %.200q, a delta that does not apply: %v", line, err)
			}
		}
		base = data
		if reply.Push.ID != 1 || reply.Push.Channel != "" || string(data) != document(want.n) || reply.Push.Pub.Delta != want.delta {
			t.Fatalf("received %.200q, which is %.40q; want publication %d with id 1, delta %v", line, data, want.n, want.delta)
		}
	}
}
