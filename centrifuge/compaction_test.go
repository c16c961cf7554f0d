package centrifuge_test

import (
	"fmt"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// TestCompaction: protocol.md 4.4.
func TestCompaction(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowCompaction: true, PushJoinLeave: true, JoinLeave: true, Recovery: true}))
		p, plain := s.connect(format, "u"), s.connect(format, "u")
		subscribe := func(p *peer, id int, channel string, flag, want, offset int) {
			t.Helper()
			p.commands(fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"%s","flag":%d}}`, id, channel, flag))
			number, name := "", fmt.Sprintf(`"channel":"%s"`, channel)
			if want != 0 {
				number, name = fmt.Sprintf(`,"id":%d`, want), fmt.Sprintf(`"id":%d`, want)
			}
			position := ""
			if offset != 0 {
				position = fmt.Sprintf(`"offset":%d,`, offset)
			}
			p.expect(fmt.Sprintf(`{"id":%d,"subscribe":{"recoverable":true,"epoch":"<e>",%s"positioned":true%s}}`, id, position, number),
				fmt.Sprintf(`{"push":{%s,"join":{"info":{"user":"u","client":"<id>"}}}}`, name))
		}
		subscribe(p, 2, "a", 1, 1, 0)
		subscribe(p, 3, "b", 1, 2, 0)
		subscribe(plain, 2, "b", 0, 0, 0)
		if got := p.received(); len(got) != 1 {
			t.Errorf("got %q; want a join", got)
		}
		s.publish("a", `1`, history)
		s.publish("b", `2`, history)
		p.expect(`{"push":{"id":1,"pub":{"data":1,"offset":1,"epoch":"<e>"}}}`, `{"push":{"id":2,"pub":{"data":2,"offset":1,"epoch":"<e>"}}}`)
		plain.expect(`{"push":{"channel":"b","pub":{"data":2,"offset":1,"epoch":"<e>"}}}`)
		// Unsubscribe pushes have the name. A new subscription gets a number that no
		// other channel had.
		if err := s.Unsubscribe(t.Context(), centrifuge.Target{Client: p.Client.Client().ID()}, "a", centrifuge.UnsubscribeServer); err != nil {
			t.Fatal(err)
		}
		p.expect(`{"push":{"channel":"a","unsubscribe":{"code":2000,"reason":"server unsubscribe"}}}`)
		subscribe(p, 4, "a", 1, 3, 1)
		// Server-side subscriptions use the name.
		if err := s.Subscribe(t.Context(), centrifuge.Target{Client: p.Client.Client().ID()}, "c", centrifuge.SubscribeOptions{AllowCompaction: true}); err != nil {
			t.Fatal(err)
		}
		s.publish("c", `3`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"c","subscribe":{}}}`, `{"push":{"channel":"c","pub":{"data":3}}}`)
	})
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowCompaction: format.V1()}))
		p := s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"a","flag":1}}`)
		p.expect(`{"id":2,"subscribe":{}}`) // not allowed, or the first generation
		s.publish("a", `1`, centrifuge.PublishOptions{})
		p.expect(`{"push":{"channel":"a","pub":{"data":1}}}`)
	})
}

// TestCompactionAndDeltas: the number is beside the delta, for all subscribers that have
// both.
func TestCompactionAndDeltas(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowCompaction: true, AllowDelta: true}))
		p, q := s.connect(format, "u"), s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil","flag":1}}`)
		q.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
		p.received()
		q.received()
		for i := range 3 {
			s.publish("a", document(i+1), withDelta)
		}
		(&deltaReader{t: t, format: format}).expect(p, 1, -2, -3)
		(&deltaReader{t: t, format: format}).expect(q, 1, -2, -3)
		if n := s.Stats().Deltas; n != 2 {
			t.Errorf("%d deltas were computed; want 2", n)
		}
	})
}

// TestCompactionOfTheJavaScriptSDK: its Protobuf build loses pushes with channel ids, so it
// gets names.
func TestCompactionOfTheJavaScriptSDK(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowCompaction: true}))
		p := s.dial(format, transport(format), "u")
		p.commands(`{"id":1,"connect":{"name":"js"}}`, `{"id":2,"subscribe":{"channel":"a","flag":1}}`)
		p.received()
		s.publish("a", `1`, centrifuge.PublishOptions{})
		want := `{"push":{"id":1,"pub":{"data":1}}}`
		if format.Protobuf() {
			want = `{"push":{"channel":"a","pub":{"data":1}}}`
		}
		p.expect(want)
	})
}
