package centrifuge_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// publications is the JSON of those from first to last, as publishRun makes them.
func publications(first, last int) string {
	var parts []string
	for i := first; i <= last; i++ {
		epoch := ""
		if i == 1 {
			epoch = `,"epoch":"<e>"`
		}
		parts = append(parts, fmt.Sprintf(`{"data":{"i":%d},"offset":%d%s}`, i, i, epoch))
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func (s *site) publishRun(channel string, n, size int) {
	s.t.Helper()
	for i := 1; i <= n; i++ {
		s.publish(channel, fmt.Sprintf(`{"i":%d}`, i), centrifuge.PublishOptions{HistorySize: size, HistoryTTL: time.Hour})
	}
}

// TestRecovery has the rows of protocol.md 6.4, stream mode. In a request
// EPOCH stands for the stream's.
func TestRecovery(t *testing.T) {
	for _, test := range []struct {
		name      string
		published int
		request   string
		recovered string // the publications, for a recovery that succeeds
		offset    int    // of the request
		lost      bool
		tail      string // of what was missed, for V1 when it is lost
	}{
		{name: "everything", published: 5, request: ``, recovered: publications(1, 5)},
		{name: "some", published: 5, request: `,"epoch":"EPOCH","offset":3`, recovered: publications(4, 5), offset: 3},
		{name: "none missed", published: 5, request: `,"epoch":"EPOCH","offset":5`, offset: 5},
		{name: "empty epoch", published: 5, request: `,"offset":3`, recovered: publications(4, 5), offset: 3},
		{name: "empty stream", published: 0, request: ``},
		{name: "the whole history", published: 10, request: `,"epoch":"EPOCH","offset":3`, recovered: publications(4, 10), offset: 3},
		{name: "evicted", published: 10, request: `,"epoch":"EPOCH","offset":2`, lost: true, tail: publications(4, 10)},
		{name: "evicted from the beginning", published: 10, request: ``, lost: true, tail: publications(4, 10)},
		{name: "beyond the top", published: 5, request: `,"epoch":"EPOCH","offset":6`, lost: true},
		{name: "wrong epoch", published: 5, request: `,"epoch":"zz","offset":2`, lost: true},
		{name: "sentinel on an empty stream", published: 0, request: `,"epoch":"_"`, lost: true},
		{name: "sentinel at the same offset", published: 5, request: `,"epoch":"_","offset":5`, lost: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Recovery: true}))
				s.publishRun("a", test.published, 7)
				p := s.connect(format, "u")
				request := strings.ReplaceAll(test.request, "EPOCH", s.epoch("a"))
				if test.lost && !format.V1() {
					p.commands(`{"id":4,"subscribe":{"channel":"a","recover":true,"flag":2` + request + `}}`)
					p.expect(refused(4, centrifuge.ErrorUnrecoverablePosition))
					if got := s.NumSubscribers("a"); got != 0 {
						t.Errorf("a refused recovery has left a subscription: s.NumSubscribers(\"a\") = %v; want 0", got)
					}
				}
				recovered := test.recovered
				if format.V1() {
					recovered += test.tail
				}
				p.commands(`{"id":2,"subscribe":{"channel":"a","recover":true` + request + `}}`)
				p.expect(`{"id":2,"subscribe":{` + recoveryResult(format, test.published, test.offset, recovered, test.lost) + `}}`)
				s.publish("a", `"next"`, history)
				if got := p.received(); len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf(`"data":"next","offset":%d`, test.published+1)) {
					t.Errorf("the next publication: %q; want it once with offset %d", got, test.published+1)
				}
			})
		})
	}
}

// recoveryResult is what protocol.md 6.4 says; V1 clients are always told
// the top, and not that they were recovering; they get what there is even when
// something is lost (protocol.md 8.5).
func recoveryResult(format protocol.Format, top, offset int, recovered string, lost bool) string {
	result := `"recoverable":true,"epoch":"<e>"`
	if recovered != "" {
		if format.V1() {
			recovered = strings.ReplaceAll(recovered, `,"epoch":"<e>"`, "")
		}
		result += `,"publications":` + recovered
	}
	if !lost {
		result += `,"recovered":true`
	}
	if lost || format.V1() {
		offset = top
	}
	if offset > 0 {
		result += fmt.Sprintf(`,"offset":%d`, offset)
	}
	result += `,"positioned":true`
	if !format.V1() {
		result += `,"was_recovering":true`
	}
	return result
}

func (s *site) epoch(channel string) string {
	s.t.Helper()
	position, err := s.History(s.t.Context(), channel, centrifuge.HistoryOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	return position.Epoch
}

// TestCacheRecovery has the rows of protocol.md 6.4, cache mode.
func TestCacheRecovery(t *testing.T) {
	for _, test := range []struct {
		name, request, want string
		empty, automatic    bool
	}{
		{name: "state", request: `,"recover":true`, want: `"publications":[{"data":{"i":3},"offset":3}],"recovered":true,"positioned":true,"was_recovering":true`},
		{name: "older", request: `,"recover":true,"epoch":"EPOCH","offset":1`, want: `"publications":[{"data":{"i":3},"offset":3}],"recovered":true,"offset":1,"positioned":true,"was_recovering":true`},
		{name: "other epoch", request: `,"recover":true,"epoch":"x","offset":3`, want: `"publications":[{"data":{"i":3},"offset":3}],"recovered":true,"offset":3,"positioned":true,"was_recovering":true`},
		{name: "at the top", request: `,"recover":true,"epoch":"EPOCH","offset":3`, want: `"recovered":true,"offset":3,"positioned":true,"was_recovering":true`},
		{name: "not recovering", want: `"offset":3,"positioned":true`},
		{name: "automatic", automatic: true, want: `"publications":[{"data":{"i":3},"offset":3}],"recovered":true,"positioned":true,"was_recovering":true`},
		{name: "nothing kept", empty: true, request: `,"recover":true,"epoch":"EPOCH","offset":2`, want: `"offset":3,"positioned":true,"was_recovering":true`},
		{name: "nothing kept, at the top", empty: true, request: `,"recover":true,"epoch":"EPOCH","offset":3`, want: `"recovered":true,"offset":3,"positioned":true,"was_recovering":true`},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{
					Recovery: true, RecoveryMode: centrifuge.RecoverCache, AutoRecover: test.automatic,
				}))
				s.publishRun("a", 3, 1)
				if test.empty {
					if err := s.RemoveHistory(t.Context(), "a"); err != nil {
						t.Fatal(err)
					}
				}
				p := s.connect(format, "u")
				p.commands(`{"id":2,"subscribe":{"channel":"a"` + strings.ReplaceAll(test.request, "EPOCH", s.epoch("a")) + `}}`)
				p.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"<e>",` + test.want + `}}`)
			})
		})
	}
}

// TestRecoveryLimit: more than the limit is not recovered (protocol.md 6.13).
func TestRecoveryLimit(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{RecoveryMaxPublications: 3}, allow(centrifuge.SubscribeOptions{Recovery: true}))
		s.publishRun("a", 6, 100)
		p := s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"a","recover":true,"offset":2}}`)
		p.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"<e>","offset":6,"positioned":true,"was_recovering":true}}`)
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`, `{"id":4,"subscribe":{"channel":"a","recover":true,"offset":3}}`)
		p.expect(`{"id":3,"unsubscribe":{}}`,
			`{"id":4,"subscribe":{"recoverable":true,"epoch":"<e>","publications":`+publications(4, 6)+`,"recovered":true,"offset":3,"positioned":true,"was_recovering":true}}`)
	})
}

// TestHistory has the rows of protocol.md 6.11.
func TestHistory(t *testing.T) {
	for _, test := range []struct {
		name, request, want string
	}{
		{"position", ``, `[]`},
		{"no limit with since", `,"since":{"offset":1}`, `[]`},
		{"some", `,"limit":2`, `[1,2]`},
		{"all", `,"limit":-1`, `[1,2,3,4]`},
		{"clamped", `,"limit":100`, `[1,2,3,4]`},
		{"since", `,"limit":10,"since":{"offset":3,"epoch":"EPOCH"}`, `[4,5]`},
		{"since zero", `,"limit":1,"since":{"epoch":"EPOCH"}`, `[1]`},
		{"since the top", `,"limit":10,"since":{"offset":5}`, `[]`},
		{"beyond the top", `,"limit":10,"since":{"offset":9}`, `[]`},
		{"reverse", `,"limit":2,"reverse":true`, `[5,4]`},
		{"reverse since", `,"limit":2,"reverse":true,"since":{"offset":4}`, `[3,2]`},
		{"wrong epoch", `,"limit":1,"since":{"offset":1,"epoch":"x"}`, ``},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{HistoryMaxPublications: 4}, allow(centrifuge.SubscribeOptions{}))
				s.publishRun("a", 5, 100)
				p := s.connect(format, "u")
				p.commands(`{"id":2,"history":{"channel":"a"` + strings.ReplaceAll(test.request, "EPOCH", s.epoch("a")) + `}}`)
				if test.want == "" {
					p.expect(refused(2, centrifuge.ErrorUnrecoverablePosition))
					return
				}
				var parts []string
				for _, offset := range strings.Split(strings.Trim(test.want, "[]"), ",") {
					if offset != "" {
						n := int(offset[0] - '0')
						parts = append(parts, strings.Trim(publications(n, n), "[]"))
					}
				}
				p.expect(`{"id":2,"history":{"publications":[` + strings.Join(parts, ",") + `],"epoch":"<e>","offset":5}}`)
			})
		})
	}
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
		p := s.connect(format, "u")
		p.commands(`{"id":2,"history":{"channel":"never used"}}`)
		p.expect(`{"id":2,"history":{"publications":[],"epoch":"<e>","offset":0}}`)
	})
}

// TestBrokerWithoutHistory: the type of the broker says what it can.
func TestBrokerWithoutHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		broker := struct{ centrifuge.Broker }{centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		handlers := allow(centrifuge.SubscribeOptions{Positioning: true})
		s := newSite(t, centrifuge.Config{Broker: broker}, handlers)
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"history":{"channel":"a"}}`, `{"id":3,"subscribe":{"channel":"a"}}`)
		p.expect(refused(2, centrifuge.ErrorNotAvailable), refused(3, centrifuge.ErrorNotAvailable))
		if err := s.RemoveHistory(t.Context(), "a"); err == nil {
			t.Error("history of a broker without any was removed; want an error")
		}
	})
}

// TestEpochAdopted: a subscriber that starts without an epoch learns it
// (protocol.md 6.5), and a new epoch ends the subscription.
func TestEpochAdopted(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Positioning: true}))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		send := func(offset uint64, epoch string) {
			s.BrokerEvents().HandlePublication("a", &centrifuge.Publication{Data: []byte(`1`), Offset: offset}, epoch, nil)
		}
		epoch := s.epoch("a")
		send(1, epoch)
		send(1, epoch) // twice
		first := `,"epoch":"<e>"`
		if format.V1() { // does not know of it
			first = ""
		}
		p.expect(`{"push":{"channel":"a","pub":{"data":1,"offset":1` + first + `}}}`)
		send(0, "") // without a position
		p.expect(`{"push":{"channel":"a","pub":{"data":1}}}`)
		send(2, "other")
		p.expectInsufficient("a")
	})
}

// expectInsufficient is what follows a gap (protocol.md 6.5).
func (p *peer) expectInsufficient(channel string) {
	p.t.Helper()
	if p.format.V1() {
		p.expect(p.closes(centrifuge.DisconnectInsufficientState))
		return
	}
	p.expect(`{"push":{"channel":"` + channel + `","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`)
}

// TestGap: a missing offset is told; the client recovers by subscribing again.
func TestGap(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		s := newSite(t, centrifuge.Config{Broker: broker}, allow(centrifuge.SubscribeOptions{Recovery: true}))
		p := s.connect(format, "u")
		p.commands(subscribeA)
		p.received()
		s.publish("a", `1`, history)
		broker.lose.Store(true)
		s.publish("a", `2`, history)
		broker.lose.Store(false)
		p.received()
		s.publish("a", `3`, history)
		p.expectInsufficient("a")
		if format.V1() {
			return
		}
		p.commands(`{"id":3,"subscribe":{"channel":"a","recover":true,"offset":1,"epoch":"` + s.epoch("a") + `"}}`)
		p.expect(`{"id":3,"subscribe":{"recoverable":true,"epoch":"<e>","publications":[{"data":2,"offset":2},{"data":3,"offset":3}],` +
			`"recovered":true,"offset":1,"positioned":true,"was_recovering":true}}`)
	})
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		broker := &lossyBroker{MemoryBroker: centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})}
		handlers := connecting(centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {Recovery: true}}}, nil)
		s := newSite(t, centrifuge.Config{Broker: broker}, handlers)
		p := s.connect(format, "u")
		broker.lose.Store(true)
		s.publish("a", `1`, history)
		broker.lose.Store(false)
		s.publish("a", `2`, history)
		p.expect(p.closes(centrifuge.DisconnectInsufficientState)) // server-side
	})
}

// TestWasRecovering: who asks to recover is told that it was understood, whatever the
// channel can do; V1 clients do not know of it.
func TestWasRecovering(t *testing.T) {
	const position = `,"epoch":"<e>","positioned":true`
	for _, test := range []struct {
		name    string
		options centrifuge.SubscribeOptions
		request string
		v2, v1  string
	}{
		{"no history", centrifuge.SubscribeOptions{}, `,"recover":true`, `"was_recovering":true`, ``},
		{"no history, a position", centrifuge.SubscribeOptions{}, `,"recover":true,"epoch":"x","offset":3`, `"was_recovering":true`, ``},
		{"no history, not asked", centrifuge.SubscribeOptions{}, ``, ``, ``},
		{"presence only", centrifuge.SubscribeOptions{Presence: true}, `,"recover":true`, `"was_recovering":true`, ``},
		{"positioned", centrifuge.SubscribeOptions{Positioning: true}, `,"recover":true`,
			position[1:] + `,"was_recovering":true`, position[1:]},
		{"recoverable", centrifuge.SubscribeOptions{Recovery: true}, `,"recover":true`,
			`"recoverable":true,"epoch":"<e>","recovered":true,"positioned":true,"was_recovering":true`,
			`"recoverable":true,"epoch":"<e>","recovered":true,"positioned":true`},
		{"recoverable, not asked", centrifuge.SubscribeOptions{Recovery: true}, ``,
			`"recoverable":true` + position, `"recoverable":true` + position},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
				s := newSite(t, centrifuge.Config{}, allow(test.options))
				p := s.connect(format, "u")
				p.commands(`{"id":2,"subscribe":{"channel":"a"` + test.request + `}}`)
				want := test.v2
				if format.V1() {
					want = test.v1
				}
				p.expect(`{"id":2,"subscribe":{` + want + `}}`)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // what comes with a connect
		handlers := connecting(centrifuge.ConnectingReply{Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {}, "b": {}}}, nil)
		s := newSite(t, centrifuge.Config{}, handlers)
		p := s.dial(jsonV2, transport(jsonV2), "u")
		p.commands(`{"id":1,"connect":{"subs":{"a":{"recover":true}}}}`)
		got := p.received()
		if len(got) != 1 || !strings.Contains(got[0], `"a":{"was_recovering":true}`) || !strings.Contains(got[0], `"b":{}`) {
			t.Errorf("got %q; want length 1, %q in it and %q in it", got, `"a":{"was_recovering":true}`, `"b":{}`)
		}
	})
}
