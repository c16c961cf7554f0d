package centrifuge_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// patterns allows them in channels that have a namespace.
func patterns(channel string) (int, bool) {
	at := strings.Index(channel, ":")
	return at + 1, at >= 0
}

// TestPatterns: a subscription to a pattern gets the publications of the channels that it
// matches, with their names, and nothing else.
func TestPatterns(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{PatternPrefix: patterns}, allow(centrifuge.SubscribeOptions{
			Recovery: true, Presence: true, JoinLeave: true, PushJoinLeave: true, AllowDelta: true, AllowTagsFilter: true, AllowCompaction: true,
		}))
		p, q := s.connect(format, "u"), s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"n:desk.*","delta":"fossil"}}`)
		p.expect(`{"id":2,"subscribe":{}}`) // no position, no deltas, and no join of its own
		p.commands(`{"id":3,"subscribe":{"channel":"n:>","flag":1,"tf":{"key":"color","cmp":"eq","val":"red"}}}`)
		p.expect(`{"id":3,"subscribe":{"id":1}}`)
		q.commands(`{"id":2,"subscribe":{"channel":"n:desk.1"}}`)
		q.received()
		p.expect()
		for _, channel := range []string{"n:desk.1", "n:desk.1.x", "n:shop.1", "other:desk.1", "desk.1"} {
			s.publish(channel, `"`+channel+`"`, history)
		}
		opts := excluding(p, history)
		opts.Tags = map[string]string{"color": "red"}
		s.publish("n:desk.1", `2`, opts) // not for p
		opts.ExcludeClient = ""
		s.publish("n:desk.2.x", `3`, opts)
		p.expect(
			`{"push":{"channel":"n:desk.*","pub":{"data":"n:desk.1","channel":"n:desk.1"}}}`,
			`{"push":{"id":1,"pub":{"data":3,"tags":{"color":"red"},"channel":"n:desk.2.x"}}}`,
		)
		q.expect(`{"push":{"channel":"n:desk.1","pub":{"data":"n:desk.1","offset":1,"epoch":"<e>"}}}`,
			`{"push":{"channel":"n:desk.1","pub":{"data":2,"offset":2,"tags":{"color":"red"}}}}`)
		if presence, err := s.Presence(t.Context(), "n:desk.*"); err != nil || len(presence) != 0 {
			t.Errorf("presence of a pattern: %v, %v; want none", presence, err)
		}
		p.commands(`{"id":4,"unsubscribe":{"channel":"n:desk.*"}}`, `{"id":5,"unsubscribe":{"channel":"n:>"}}`)
		p.received()
		s.publish("n:desk.1", `4`, opts)
		p.expect()
		if channels := s.NumSubscribers("n:desk.*"); channels != 0 {
			t.Errorf("the pattern has %d subscribers; want none", channels)
		}
	})
}

// TestPatternsOfManySubscribers: each gets each publication once for each of its patterns.
func TestPatternsOfManySubscribers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{PatternPrefix: patterns}, allow(centrifuge.SubscribeOptions{}))
		var peers []*peer
		for range 10 {
			p := s.connect(jsonV2, "u")
			p.commands(`{"id":2,"subscribe":{"channel":"n:*"}}`)
			p.received()
			peers = append(peers, p)
		}
		peers[0].commands(`{"id":3,"unsubscribe":{"channel":"n:*"}}`)
		peers[0].received()
		s.publish("n:1", `1`, centrifuge.PublishOptions{})
		peers[0].expect()
		for _, p := range peers[1:] {
			p.expect(`{"push":{"channel":"n:*","pub":{"data":1,"channel":"n:1"}}}`)
		}
	})
}

// TestPatternsByServer: a server-side subscription to a pattern has no position either,
// whatever its options.
func TestPatternsByServer(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{PatternPrefix: patterns}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		for range 2 { // the second updates the first
			err := s.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "n:*", centrifuge.SubscribeOptions{Recovery: true, Presence: true, JoinLeave: true})
			if err != nil {
				t.Fatal(err)
			}
		}
		s.publish("n:1", `1`, history)
		p.expect(`{"push":{"channel":"n:*","subscribe":{}}}`, `{"push":{"channel":"n:*","pub":{"data":1,"channel":"n:1"}}}`)
		if presence, err := s.Presence(t.Context(), "n:*"); err != nil || len(presence) != 0 {
			t.Errorf("presence of a pattern: %v, %v; want none", presence, err)
		}
	})
}

// TestPatternsRefuse: what a pattern cannot have is refused, so that no client waits for it.
func TestPatternsRefuse(t *testing.T) {
	for _, test := range []struct {
		request string
		want    *centrifuge.Error
	}{
		{`"channel":"n:>.x"`, centrifuge.ErrorBadRequest},
		{`"channel":"n:*","recover":true`, centrifuge.ErrorNotAvailable},
		{`"channel":"n:*","recoverable":true`, centrifuge.ErrorNotAvailable},
		{`"channel":"n:*","positioned":true`, centrifuge.ErrorNotAvailable},
		{`"channel":"n:*","join_leave":true`, centrifuge.ErrorNotAvailable},
	} {
		inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
			s := newSite(t, centrifuge.Config{PatternPrefix: patterns}, allow(centrifuge.SubscribeOptions{}))
			p := s.connect(format, "u")
			p.commands(fmt.Sprintf(`{"id":2,"subscribe":{%s}}`, test.request))
			p.expect(refused(2, test.want))
		})
	}
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{PatternPrefix: patterns}, allow(centrifuge.SubscribeOptions{}))
		for _, channel := range []string{"n:*", "n:a.>", "n:>.a"} {
			if _, err := s.Publish(t.Context(), channel, []byte(`1`), history); !errors.Is(err, centrifuge.ErrorBadRequest) {
				t.Errorf("publishing to %s: %v; want %v", channel, err, centrifuge.ErrorBadRequest)
			}
		}
		v1 := s.connect(jsonV1, "u") // which cannot tell the channel of a publication
		v1.commands(`{"id":2,"subscribe":{"channel":"n:*"}}`)
		v1.expect(refused(2, centrifuge.ErrorNotAvailable))
	})
	synctest.Test(t, func(t *testing.T) { // a broker that cannot subscribe to patterns
		broker := struct{ centrifuge.Broker }{centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		s := newSite(t, centrifuge.Config{PatternPrefix: patterns, Broker: broker}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"n:*"}}`)
		p.expect(refused(2, centrifuge.ErrorNotAvailable))
	})
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) { // not switched on: ordinary names
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"n:*"}}`)
		p.received()
		s.publish("n:1", `1`, centrifuge.PublishOptions{})
		s.publish("n:*", `2`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"n:*","pub":{"data":2}}}`)
	})
}

// TestPatternsStay: patterns that have subscribers stay when patterns are not allowed any
// more.
func TestPatternsStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		allowed := true
		s := newSite(t, centrifuge.Config{PatternPrefix: func(channel string) (int, bool) {
			length, ok := patterns(channel)
			return length, ok && allowed
		}}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"n:*"}}`)
		p.received()
		allowed = false
		s.publish("n:1", `1`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"n:*","pub":{"data":1,"channel":"n:1"}}}`)
		p.commands(`{"id":3,"unsubscribe":{"channel":"n:*"}}`)
		p.received()
		p.commands(`{"id":4,"subscribe":{"channel":"n:*"}}`) // an ordinary name now
		p.received()
		s.publish("n:1", `1`, centrifuge.PublishOptions{})
		p.expect()
	})
}

// BenchmarkPublishBesidePatterns publishes to a channel that one pattern matches, beside
// more and more subscriptions to patterns that do not match.
func BenchmarkPublishBesidePatterns(b *testing.B) {
	for _, others := range []int{0, 1_000, 100_000} {
		b.Run(fmt.Sprint(others), func(b *testing.B) {
			n, err := centrifuge.New(centrifuge.Config{
				PatternPrefix: patterns, ChannelLimit: -1, PingInterval: -1, PresenceInterval: -1, PositionCheckDelay: -1, LogLevel: centrifuge.LogNone,
				Handlers: allow(centrifuge.SubscribeOptions{}),
			})
			if err != nil {
				b.Fatal(err)
			}
			if err := n.Run(); err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = n.Shutdown(b.Context()) })
			c := centrifugetest.Connect(b.Context(), b, n, jsonV2, "u")
			subscribe := func(channel string) {
				if reply := c.Do(&protocol.Command{Subscribe: &protocol.SubscribeRequest{Channel: channel}}); reply == nil || reply.Error != nil {
					b.Fatalf("subscribing: %+v; want a reply without error", reply)
				}
			}
			for i := range others {
				subscribe(fmt.Sprintf("n:desk.%d.*", i+2))
			}
			subscribe("n:desk.1.*")
			data := []byte(`{"x":1}`)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := n.Publish(b.Context(), "n:desk.1.message", data, centrifuge.PublishOptions{}); err != nil {
					b.Fatal(err)
				}
				c.Push()
			}
		})
	}
}

// TestPatternsAndSlowReaders: the newest publication of a pattern is not the newest of each
// channel, so a slow client is told instead.
func TestPatternsAndSlowReaders(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		config := noPings
		config.QueueSize, config.WriteTimeout, config.PatternPrefix = 10_000, -1, patterns
		s := newSite(t, config, allow(centrifuge.SubscribeOptions{Slow: centrifuge.SlowLatest}))
		p := s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"n:*"}}`)
		p.received()
		p.Stick(true)
		for i := range 150 {
			s.publish(fmt.Sprintf("n:%d", i), fmt.Sprintf(`"%s"`, strings.Repeat("x", 60)), centrifuge.PublishOptions{})
			synctest.Wait()
		}
		p.Stick(false)
		got := p.received()
		if last := got[len(got)-1]; last != `{"push":{"channel":"n:*","unsubscribe":{"code":2500,"reason":"insufficient state"}}}` {
			t.Errorf("the last of %d messages is %s; want an unsubscribe push", len(got), last)
		}
	})
}

// TestPatternPrefixPanics: a channel for which the application cannot say it has no
// patterns, and is delivered to.
func TestPatternPrefixPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{PatternPrefix: func(channel string) (int, bool) {
			if channel == "n:bad.*" {
				panic("as the test asks")
			}
			return patterns(channel)
		}}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"n:bad.*"}}`, `{"id":3,"subscribe":{"channel":"n:good.*"}}`)
		p.received()
		s.publish("n:bad.*", `1`, centrifuge.PublishOptions{})
		s.publish("n:good.1", `2`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"n:bad.*","pub":{"data":1}}}`, `{"push":{"channel":"n:good.*","pub":{"data":2,"channel":"n:good.1"}}}`)
		if logged := s.logged(); len(logged) == 0 || !strings.Contains(logged[0], "asking for the prefix of patterns") {
			t.Errorf("logged %q; want the panic", logged)
		}
	})
}
