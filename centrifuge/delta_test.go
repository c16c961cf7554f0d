package centrifuge_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/fossil"
	"centrifugo/protocol"
)

var withDelta = centrifuge.PublishOptions{HistorySize: history.HistorySize, HistoryTTL: history.HistoryTTL, UseDelta: true}

// document is a payload that changes little.
func document(i int) string {
	return fmt.Sprintf(`{"i":%d,"pad":"%s\n<é>"}`, i, strings.Repeat("a", 200))
}

// deltaReader applies deltas as a client does.
type deltaReader struct {
	t      *testing.T
	format protocol.Format
	base   []byte
}

// read returns the payload of a publication and whether it came as a delta.
func (r *deltaReader) read(pub *protocol.Publication) (payload string, delta bool) {
	r.t.Helper()
	data := []byte(pub.Data)
	if !r.format.Protobuf() {
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			r.t.Fatalf("data is not a string: %s", data)
		}
		data = []byte(text)
	}
	if pub.Delta {
		full, err := fossil.Apply(r.base, data, 1<<20)
		if err != nil {
			r.t.Fatalf("applying a delta: %v", err)
		}
		if pub.Epoch != "" {
			r.t.Errorf("a delta has the epoch %q; want none", pub.Epoch)
		}
		data = full
	}
	r.base = data
	return string(data), pub.Delta
}

// expect reads pushes; each want is the number of a document, a delta when negative.
func (r *deltaReader) expect(p *peer, want ...int) {
	r.t.Helper()
	synctest.Wait()
	for _, i := range want {
		if p.Pending() == 0 {
			r.t.Errorf("document %d has not come; want it in the outbox", i)
			return
		}
		reply := p.Read()
		if reply.Push == nil || reply.Push.Pub == nil {
			r.t.Fatalf("got %+v; want a publication", reply)
		}
		payload, delta := r.read(reply.Push.Pub)
		if payload != document(max(i, -i)) || delta != (i < 0) {
			r.t.Errorf("want document %d, got %s, delta %v", i, payload, delta)
		}
	}
	p.expect()
}

// TestDelta: protocol.md 6.7.
func TestDelta(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowDelta: true, Recovery: true}))
		p, plain := s.connect(format, "u"), s.connect(format, "u")
		plain.commands(subscribeA)
		plain.received()
		s.publish("a", document(1), withDelta)
		p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
		p.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"<e>","offset":1,"positioned":true,"delta":true}}`)
		reader := &deltaReader{t: t, format: format}
		s.publish("a", document(2), withDelta)
		reader.expect(p, 2) // the first is full
		s.publish("a", document(3), withDelta)
		s.publish("a", document(4), withDelta)
		reader.expect(p, -3, -4)
		s.publish("a", document(5), history) // whose publisher did not ask
		reader.expect(p, 5)
		s.publish("a", document(6), withDelta)
		reader.expect(p, -6)
		for _, line := range plain.received() {
			if strings.Contains(line, `"delta"`) || !strings.Contains(line, `"data":{"i":`) {
				t.Errorf("a subscriber without deltas got %s; want no %q in it and %q in it", line, `"delta"`, `"data":{"i":`)
			}
		}
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		p.received()
		s.publish("a", document(7), withDelta)
		s.publish("a", document(8), withDelta)
		p.commands(`{"id":4,"subscribe":{"channel":"a","delta":"fossil","recover":true,"offset":5}}`)
		reader.recovered(p, 6, -7, -8)
		s.publish("a", document(9), withDelta)
		reader.expect(p, -9) // whose base was recovered
		p.commands(`{"id":5,"unsubscribe":{"channel":"a"}}`, `{"id":6,"subscribe":{"channel":"a","delta":"fossil"}}`)
		p.received()
		s.publish("a", document(10), withDelta)
		reader.expect(p, 10) // the chain was broken
		p.commands(`{"id":7,"history":{"channel":"a","limit":1,"reverse":true}}`)
		synctest.Wait()
		if pub := p.Read().History.Publications[0]; string(pub.Data) != document(10) || pub.Delta {
			t.Errorf("history has %s, delta %v; want %s, false", pub.Data, pub.Delta, document(10)) // never encoded
		}
	})
}

// recovered reads a subscribe reply.
func (r *deltaReader) recovered(p *peer, want ...int) {
	r.t.Helper()
	synctest.Wait()
	result := p.Read().Subscribe
	if result == nil || !result.Recovered || len(result.Publications) != len(want) {
		r.t.Fatalf("got %+v; want recovered with %d publications", result, len(want))
	}
	for i, pub := range result.Publications {
		payload, delta := r.read(pub)
		if payload != document(max(want[i], -want[i])) || delta != (want[i] < 0) {
			r.t.Errorf("want document %d, got %s, delta %v", want[i], payload, delta)
		}
	}
}

// TestDeltaThatDoesNotPay: a full publication is sent when it is smaller.
func TestDeltaThatDoesNotPay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowDelta: true}))
		p := s.connect(jsonV2, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil"}}`)
		p.received()
		s.publish("a", `{"x":1}`, withDelta)
		s.publish("a", `5`, withDelta)
		p.expect(`{"push":{"channel":"a","pub":{"data":"{\"x\":1}","offset":1}}}`,
			`{"push":{"channel":"a","pub":{"data":"5","offset":2}}}`)
	})
}

func tagged(color string) centrifuge.PublishOptions {
	opts := withDelta
	if color != "" {
		opts.Tags = map[string]string{"color": color}
	}
	return opts
}

// TestFilter: protocol.md 6.6.
func TestFilter(t *testing.T) {
	const red = `"tf":{"key":"color","cmp":"eq","val":"red"}`
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowTagsFilter: true, Recovery: true}))
		p := s.connect(format, "u")
		s.publish("a", `0`, history)
		p.commands(`{"id":2,"subscribe":{"channel":"a",` + red + `}}`)
		p.expect(`{"id":2,"subscribe":{"recoverable":true,"epoch":"<e>","offset":1,"positioned":true}}`)
		for _, color := range []string{"blue", "red", "", "red"} {
			s.publish("a", `1`, tagged(color))
		}
		p.expect(`{"push":{"channel":"a","pub":{"data":1,"offset":3,"tags":{"color":"red"}}}}`,
			`{"push":{"channel":"a","pub":{"data":1,"offset":5,"tags":{"color":"red"}}}}`)
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		p.received()
		s.publish("a", `2`, tagged("blue"))
		p.commands(`{"id":4,"subscribe":{"channel":"a","recover":true,"offset":3,` + red + `}}`)
		p.expect(`{"id":4,"subscribe":{"recoverable":true,"epoch":"<e>","publications":[{"data":1,"offset":5,"tags":{"color":"red"}}],` +
			`"recovered":true,"offset":3,"positioned":true,"was_recovering":true}}`)
	})
	for filter, allowed := range map[string]bool{
		`{"key":"color","cmp":"eq","val":"red"}`: false,
		`{"key":"color","cmp":"like","val":"x"}`: true,
		`{"op":"and"}`:                           true,
		`{"key":"color","cmp":"eq"}`:             true,
	} {
		inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
			s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowTagsFilter: allowed}))
			p := s.connect(format, "u")
			p.commands(`{"id":2,"subscribe":{"channel":"a","tf":` + filter + `}}`)
			p.expect(refused(2, centrifuge.ErrorBadRequest))
		})
	}
}

// TestServerFilter is applied beside the client's.
func TestServerFilter(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{
			AllowTagsFilter: true, ServerTagsFilter: &centrifuge.FilterNode{Key: "color", Cmp: "ex"},
		}))
		p := s.connect(format, "u")
		p.commands(`{"id":2,"subscribe":{"channel":"a","tf":{"key":"color","cmp":"neq","val":"red"}}}`)
		p.received()
		for i, color := range []string{"blue", "red", ""} {
			s.publish("a", fmt.Sprint(i), centrifuge.PublishOptions{Tags: tagged(color).Tags})
		}
		p.expect(`{"push":{"channel":"a","pub":{"data":0,"tags":{"color":"blue"}}}}`)
	})
}

// TestFilterBreaksDeltas: what a client has not got is no base.
func TestFilterBreaksDeltas(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowDelta: true, AllowTagsFilter: true, Recovery: true}))
		p := s.connect(format, "u")
		const request = `"channel":"a","delta":"fossil","tf":{"key":"color","cmp":"eq","val":"red"}`
		p.commands(`{"id":2,"subscribe":{` + request + `}}`)
		p.received()
		reader := &deltaReader{t: t, format: format}
		for i, color := range []string{"red", "red", "blue", "red", "red"} {
			s.publish("a", document(i+1), tagged(color))
		}
		reader.expect(p, 1, -2, 4, -5)
		p.commands(`{"id":3,"unsubscribe":{"channel":"a"}}`)
		p.received()
		for i, color := range []string{"red", "red", "blue", "red", "blue"} {
			s.publish("a", document(i+6), tagged(color))
		}
		p.commands(`{"id":4,"subscribe":{` + request + `,"recover":true,"offset":5}}`)
		reader.recovered(p, 6, -7, 9)
		s.publish("a", document(11), tagged("red"))
		s.publish("a", document(12), tagged("red"))
		reader.expect(p, 11, -12)
	})
}

// TestPayloadsAreSentAsTheyAre, but for newlines (protocol.md 2.1).
func TestPayloadsAreSentAsTheyAre(t *testing.T) {
	for payload, want := range map[string]string{
		`{"a":"<b>","n": 1 }`: `{"a":"<b>","n": 1 }`, `null`: `null`, `"text"`: `"text"`, `5`: `5`, "{\n\"a\":\n1}": `{"a":1}`,
	} {
		synctest.Test(t, func(t *testing.T) {
			s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{}))
			p := s.connect(jsonV2, "u")
			p.commands(subscribeA)
			p.received()
			s.publish("a", payload, centrifuge.PublishOptions{})
			if got := p.rawReceived(); len(got) != 1 || got[0] != `{"push":{"channel":"a","pub":{"data":`+want+`}}}` {
				t.Errorf("got %q; want length 1 and [0] %q", got, `{"push":{"channel":"a","pub":{"data":`+want+`}}}`)
			}
		})
	}
}

// TestLargeFilters: filters of a size that applications make are taken as commands.
func TestLargeFilters(t *testing.T) {
	var nodes, values []string
	for i := range 1025 {
		nodes = append(nodes, fmt.Sprintf(`{"key":"a","cmp":"eq","val":"%d"}`, i))
		values = append(values, fmt.Sprintf(`"%d"`, i))
	}
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		for name, filter := range map[string]string{
			"1000 nodes":  `{"op":"or","nodes":[` + strings.Join(nodes[:1000], ",") + `]}`,
			"1025 values": `{"key":"a","cmp":"in","vals":[` + strings.Join(values, ",") + `]}`,
			"depth 40":    strings.Repeat(`{"op":"and","nodes":[`, 39) + nodes[7] + strings.Repeat(`]}`, 39),
		} {
			s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowTagsFilter: true}))
			p := s.connect(format, "u")
			p.commands(`{"id":2,"subscribe":{"channel":"a","tf":` + filter + `}}`)
			p.expect(`{"id":2,"subscribe":{}}`)
			s.publish("a", `1`, centrifuge.PublishOptions{Tags: map[string]string{"a": "7"}})
			s.publish("a", `2`, centrifuge.PublishOptions{Tags: map[string]string{"a": "5000"}})
			if got := p.received(); len(got) != 1 || !strings.Contains(got[0], `"data":1`) {
				t.Errorf("%s: got %q; want length 1 and %q in it", name, got, `"data":1`)
			}
			p.commands(`{"id":3,"subscribe":{"channel":"b","tf":{"op":"or","nodes":[` + strings.Join(nodes, ",") + `]}}}`)
			p.expect(refused(3, centrifuge.ErrorBadRequest))
		}
	})
}

// TestRecoveredDeltasAreShared: clients that recover the same publications, with deltas,
// get the same ones; the next publication is a delta to the last of them.
func TestRecoveredDeltasAreShared(t *testing.T) {
	inBubble(t, v2Formats, func(t *testing.T, format protocol.Format) {
		s := newSite(t, centrifuge.Config{}, allow(centrifuge.SubscribeOptions{AllowDelta: true, Recovery: true}))
		for i := range 5 {
			s.publish("a", document(i+1), withDelta)
		}
		var peers []*peer
		var readers []*deltaReader
		for range 3 {
			p, reader := s.connect(format, "u"), &deltaReader{t: t, format: format}
			p.commands(`{"id":2,"subscribe":{"channel":"a","delta":"fossil","recover":true,"offset":1}}`)
			reader.recovered(p, 2, -3, -4, -5)
			peers, readers = append(peers, p), append(readers, reader)
		}
		s.publish("a", document(6), withDelta)
		for i := range peers {
			readers[i].expect(peers[i], -6)
		}
		time.Sleep(time.Minute) // the node forgets what was shared
	})
}
