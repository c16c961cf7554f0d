package centrifuge_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// excluding publishes for a peer without sending it back.
func excluding(p *peer, opts centrifuge.PublishOptions) centrifuge.PublishOptions {
	opts.ExcludeClient = p.Client.Client().ID()
	return opts
}

// TestExcludeClient: the connection is not sent the publication, and its subscription
// goes on behind it.
func TestExcludeClient(t *testing.T) {
	inBubble(t, everyFormat, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{Recovery: true}))
		p, other := s.connect(format, "u"), s.connect(format, "u")
		p.commands(subscribeA)
		other.commands(subscribeA)
		p.received()
		other.received()
		s.publish("a", `1`, excluding(p, history))
		s.publish("a", `2`, history)
		s.publish("a", `3`, excluding(p, centrifuge.PublishOptions{})) // without offset
		s.publish("a", `4`, excluding(p, history))
		s.publish("a", `5`, history)
		p.expect(`{"push":{"channel":"a","pub":{"data":2,"offset":2}}}`, `{"push":{"channel":"a","pub":{"data":5,"offset":4}}}`)
		if got := other.received(); len(got) != 5 {
			t.Errorf("another connection of the user got %q; want all five", got)
		}
		// The same connection recovers without its own; another one gets them. History
		// has them all.
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		p.received()
		s.publish("a", `6`, excluding(p, history))
		s.publish("a", `7`, history)
		p.commands(`{"id":4,"subscribe":{"channel":"a","recover":true,"offset":4}}`)
		p.expect(p.recovered(4, `{"data":7,"offset":6}`, 4, 6))
		fresh := s.connect(format, "u")
		fresh.commands(`{"id":2,"subscribe":{"channel":"a","recover":true,"offset":4}}`)
		fresh.expect(fresh.recovered(2, `{"data":6,"offset":5},{"data":7,"offset":6}`, 4, 6))
		if result, err := s.History(t.Context(), "a", centrifuge.HistoryOptions{Limit: -1}); err != nil || len(result.Publications) != 6 {
			t.Errorf("history has %d publications, %v; want 6", len(result.Publications), err)
		}
		s.publish("a", `8`, history) // the recovered subscription has the right position
		p.expect(`{"push":{"channel":"a","pub":{"data":8,"offset":7}}}`)
	})
}

// recovered is the reply to a subscribe that recovered. V1 tells the top.
func (p *peer) recovered(id int, publications string, since, top int) string {
	if p.format.V1() {
		return fmt.Sprintf(`{"id":%d,"subscribe":{"recoverable":true,"epoch":"<e>","publications":[%s],"recovered":true,"offset":%d,"positioned":true}}`, id, publications, top)
	}
	return fmt.Sprintf(`{"id":%d,"subscribe":{"recoverable":true,"epoch":"<e>","publications":[%s],"recovered":true,"offset":%d,"positioned":true,"was_recovering":true}}`, id, publications, since)
}

// TestExcludeBreaksDeltas: what a connection was not sent is no base.
func TestExcludeBreaksDeltas(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		for _, opts := range []centrifuge.PublishOptions{withDelta, {UseDelta: true}} {
			s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowDelta: true}))
			p := s.connect(format, "u")
			p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
			p.received()
			reader := &deltaReader{t: t, format: format}
			s.publish("a", document(1), opts)
			s.publish("a", document(2), opts)
			s.publish("a", document(3), excluding(p, opts))
			s.publish("a", document(4), opts)
			s.publish("a", document(5), opts)
			reader.expect(p, 1, -2, 4, -5)
		}
	})
}

// wireBroker joins the nodes of a test. It hands each publication to every node in the
// form in which brokers exchange them.
type wireBroker struct {
	*centrifuge.MemoryBroker
	wire *wire
}

type wire struct {
	mu       sync.Mutex
	handlers []centrifuge.BrokerHandler
}

func (b *wireBroker) Start(h centrifuge.BrokerHandler) error {
	b.wire.mu.Lock()
	b.wire.handlers = append(b.wire.handlers, h)
	b.wire.mu.Unlock()
	return b.MemoryBroker.Start(h)
}

func (b *wireBroker) Publish(_ context.Context, channel string, pub *centrifuge.Publication, _ centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	encoded := protocol.EncodePublication(pub)
	b.wire.mu.Lock()
	defer b.wire.mu.Unlock()
	for _, h := range b.wire.handlers {
		decoded, err := protocol.DecodePublication(encoded)
		if err != nil {
			return centrifuge.PublishResult{}, err
		}
		h.HandlePublication(channel, decoded, "", nil)
	}
	return centrifuge.PublishResult{}, nil
}

// TestExcludeClientOfAnotherNode: the options reach the node that has the connection, and
// so does the request for deltas.
func TestExcludeClientOfAnotherNode(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		shared := &wire{}
		var sites []*site
		for range 2 {
			broker := &wireBroker{centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{}), shared}
			sites = append(sites, newSite(t, centrifuge.Config{Broker: broker}, allow(centrifuge.SubscribeOptions{AllowDelta: true})))
		}
		var peers []*peer
		for _, s := range sites {
			p := s.connect(format, "u")
			p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
			p.received()
			peers = append(peers, p)
		}
		opts := centrifuge.PublishOptions{UseDelta: true}
		sites[0].publish("a", document(1), opts)
		sites[0].publish("a", document(2), excluding(peers[1], opts))
		sites[1].publish("a", document(3), opts)
		(&deltaReader{t: t, format: format}).expect(peers[0], 1, -2, -3)
		(&deltaReader{t: t, format: format}).expect(peers[1], 1, 3)
	})
}

// TestDeltaWithoutHistory: the node compares with the publication that it delivered last,
// while there are subscribers.
func TestDeltaWithoutHistory(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowDelta: true, AllowTagsFilter: true}))
		opts := centrifuge.PublishOptions{UseDelta: true}
		p, late := s.connect(format, "u"), s.connect(format, "u")
		filtered, plain := s.connect(format, "u"), s.connect(format, "u")
		s.publish("a", document(1), opts) // no client is subscribed
		p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
		plain.commands(`{"id":2,"subscribe":{"channel":"a"}}`)
		filtered.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil","tf":{"key":"color","cmp":"eq","val":"red"}}}`)
		for _, each := range []*peer{p, plain, filtered} {
			each.received()
		}
		red := opts
		red.Tags = map[string]string{"color": "red"}
		reader, some := &deltaReader{t: t, format: format}, &deltaReader{t: t, format: format}
		s.publish("a", document(2), red)
		s.publish("a", document(3), red)
		s.publish("a", document(4), opts)
		s.publish("a", document(5), red)
		s.publish("a", document(6), centrifuge.PublishOptions{}) // whose publisher did not ask
		s.publish("a", document(7), red)
		reader.expect(p, 2, -3, -4, -5, 6, -7)
		some.expect(filtered, 2, -3, 5, 7)
		late.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
		late.received()
		s.publish("a", document(8), opts)
		s.publish("a", document(9), opts)
		reader.expect(p, -8, -9)
		(&deltaReader{t: t, format: format}).expect(late, 8, -9)
		// With history in between: a publication without an offset may differ from one
		// with an offset, and the other way round it is full.
		s.publish("a", document(10), withDelta)
		s.publish("a", document(11), opts)
		s.publish("a", document(12), withDelta)
		s.publish("a", document(13), withDelta)
		reader.expect(p, 10, -11, 12, -13)
		for _, each := range []*peer{p, late, filtered} {
			each.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
			for synctest.Wait(); each.Pending() > 0; {
				each.Read() // also deltas, which are not JSON
			}
		}
		s.publish("a", document(14), opts)
		p.commands(`{"id":4,"subscribe":{"channel":"a","delta":"fossil"}}`)
		p.received()
		s.publish("a", document(15), opts)
		s.publish("a", document(16), opts)
		(&deltaReader{t: t, format: format}).expect(p, 15, -16)
		if got := plain.received(); len(got) != 15 {
			t.Errorf("a subscriber without deltas got %d publications; want 15", len(got))
		}
		if n := s.Stats().Deltas; n != 9 {
			t.Errorf("%d deltas were computed; want 9, one for each publication that needed one", n)
		}
	})
}
