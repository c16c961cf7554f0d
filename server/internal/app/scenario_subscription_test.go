package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/internal/fossil"
	"centrifugo/protocol"
	"centrifugo/server/internal/app/apptest"
)

// way is how a client subscribes.
type way struct {
	name        string
	delta, byID bool
}

var (
	ways   = []way{{name: "plain"}, {name: "delta", delta: true}, {name: "id", byID: true}, deltaByID}
	wayOne = []way{deltaByID}

	deltaByID = way{name: "delta and id", delta: true, byID: true}
)

func (w way) request() protocol.SubscribeRequest {
	var r protocol.SubscribeRequest
	if w.delta {
		r.Delta = "fossil"
	}
	if w.byID {
		r.Flag = protocol.SubscribeFlagChannelCompaction
	}
	return r
}

// features are what rides on a subscription. Each has a namespace of its name.
var features = []struct {
	name    string
	options map[string]any
	ways    []way
	run     func(t *testing.T, s *wireServer, channel string, w way)
}{
	{"recovery", map[string]any{"history_size": 1000, "force_recovery": true}, ways, featureRecovery},
	{"fleeting", nil, ways, featureFleeting},
	{"filter", map[string]any{"history_size": 1000, "force_recovery": true, "allow_tags_filter": true}, ways, featureFilter},
	{"filter_fleeting", map[string]any{"allow_tags_filter": true}, ways, featureFilter},
	{"filter_refused", nil, wayOne, featureFilterRefused},
	{"cache", map[string]any{"history_size": 10, "force_recovery": true, "force_recovery_mode": "cache", "auto_cache_recover": true}, ways, featureCache},
	{"exclude", map[string]any{"publish_exclude_sender": true}, ways, featureExclude},
	{"wildcard", map[string]any{"allow_wildcards": true, "allow_tags_filter": true}, ways, featureWildcard},
	{"members", map[string]any{"join_leave": true, "force_push_join_leave": true}, ways, featureMembers},
	{"latest", map[string]any{"history_size": 1000, "force_recovery": true, "slow_reader_policy": "latest"}, wayOne, featureLatest},
	{"drop_oldest", map[string]any{"history_size": 1000, "force_recovery": true, "slow_reader_policy": "drop_oldest"}, wayOne, featureDropOldest},
}

// TestSubscriptions runs every feature of subscriptions over every transport and encoding, with
// and without TLS, and over HTTP/2 and HTTP/3 where it can be.
func TestSubscriptions(t *testing.T) {
	var namespaces []map[string]any
	for _, f := range features {
		options := map[string]any{"name": f.name, "allowed_delta_types": []string{"fossil"}, "delta_publish": true, "allow_channel_compaction": true}
		maps.Copy(options, f.options)
		if options["history_size"] != nil {
			options["history_ttl"] = "300s"
		}
		namespaces = append(namespaces, options)
	}
	// The clients that do not read may pause for as long as a loaded machine does.
	patient := map[string]any{"write_timeout": "120s"}
	settings := wireSections{
		"channel": {"namespaces": namespaces}, "client": {"queue_max_size": 1 << 18}, "websocket": patient, "uni_websocket": patient,
	}
	for _, w := range wires {
		for _, sec := range secures {
			if !w.over(sec) {
				continue
			}
			t.Run(w.String()+"/"+sec.name, func(t *testing.T) {
				t.Parallel()
				s := serveWire(t, w, sec, settings)
				for _, f := range features {
					for i, how := range f.ways {
						t.Run(f.name+"/"+how.name, func(t *testing.T) {
							s.t = t
							f.run(t, s, fmt.Sprintf("%s:%d", f.name, i), how)
						})
					}
				}
			})
		}
	}
}

// document is a payload of which most is in the one before.
func document(i int) string { return fmt.Sprintf(`{"i":%d,"rest":%q}`, i, strings.Repeat("x", 200)) }

// issue publishes documents with a tag.
func (s *wireServer) issue(channel, color string, documents ...int) {
	s.t.Helper()
	for _, i := range documents {
		s.call("publish", fmt.Sprintf(`{"channel":%q,"data":%s,"tags":{"color":%q}}`, channel, document(i), color))
	}
}

// follower is a client with a subscription, which reads as the way it subscribed in demands.
// The number of a document is its offset if the channel has history. Where a document is
// expected, a negative number stands for a delta, or for a whole one without deltas.
type follower struct {
	*peer
	channel string
	request protocol.SubscribeRequest
	result  *protocol.SubscribeResult
	base    []byte // what the next delta refers to
}

// follow returns a follower over a new connection.
func (s *wireServer) follow(t *testing.T, channel string, request protocol.SubscribeRequest) *follower {
	t.Helper()
	f := &follower{peer: s.dial(t), channel: channel, request: request}
	f.granted(f.join(channel, &request))
	return f
}

// granted takes the result of a subscription. Patterns have no deltas (protocol.md 6.15), and
// server-side subscriptions, and so unidirectional connections, no ids (4.7).
func (f *follower) granted(result *protocol.SubscribeResult) {
	f.t.Helper()
	delta := f.request.Delta != "" && !strings.ContainsAny(f.channel, "*>")
	byID := f.request.Flag == protocol.SubscribeFlagChannelCompaction && !f.Format.Uni()
	if f.result = result; result.Delta != delta || (result.ID != 0) != byID {
		f.t.Fatalf("the result is %+v; want deltas %v, an id %v", result, delta, byID)
	}
}

// since is the request that recovers from an offset.
func (f *follower) since(offset uint64) *protocol.SubscribeRequest {
	r := f.request
	r.Recover, r.Offset, r.Epoch = true, offset, f.result.Epoch
	return &r
}

// comeBack cuts the connection, calls meanwhile, and connects again. It expects documents to
// be recovered.
func (f *follower) comeBack(offset uint64, meanwhile func(), want ...int) {
	f.t.Helper()
	_ = f.Close() // as a network does
	meanwhile()
	request := f.since(offset)
	f.peer = f.server.dial(f.t)
	f.granted(f.join(f.channel, request))
	f.recovered(want...)
}

func (f *follower) recovered(want ...int) {
	f.t.Helper()
	if r := f.result; !r.WasRecovering || !r.Recovered || len(r.Publications) != len(want) {
		f.t.Fatalf("the result is %+v; want %d publications recovered", r, len(want))
	}
	for i, pub := range f.result.Publications {
		f.check(pub, want[i])
	}
}

// expect reads documents, and returns the last publication.
func (f *follower) expect(want ...int) (pub *protocol.Publication) {
	f.t.Helper()
	for _, i := range want {
		if pub = f.push().Pub; pub == nil {
			f.t.Fatalf("received another push; want document %d", i)
		}
		f.check(pub, i)
	}
	return pub
}

// push reads a push of the channel: by its id, if it has one.
func (f *follower) push() *protocol.Push {
	f.t.Helper()
	reply, name := f.next(), f.channel
	if f.result.ID != 0 {
		name = ""
	}
	if p := reply.Push; p == nil || p.ID != f.result.ID || p.Channel != name {
		f.t.Fatalf("received %+v, push %+v; want a push with the id %d, the channel %q", reply, p, f.result.ID, name)
	}
	return reply.Push
}

// check compares a publication with a document.
func (f *follower) check(pub *protocol.Publication, want int) {
	f.t.Helper()
	delta := want < 0 && f.result.Delta
	want = max(want, -want)
	if got := f.payload(pub); got != document(want) || pub.Delta != delta {
		f.t.Fatalf("received %.100s, a delta: %v; want document %d, a delta: %v", got, pub.Delta, want, delta)
	}
	if f.result.Recoverable && pub.Offset != uint64(want) { //nolint:gosec // positive
		f.t.Errorf("document %d has the offset %d; want its number", want, pub.Offset)
	}
}

// payload returns the payload of a publication, which is the base of the next one.
func (f *follower) payload(pub *protocol.Publication) string {
	f.t.Helper()
	data := pub.Data
	if f.result.Delta && !f.Format.Protobuf() { // protocol.md 6.7
		var text string
		if err := json.Unmarshal(data, &text); err != nil {
			f.t.Fatalf("the data is %.100s: %v; want a string", data, err)
		}
		data = []byte(text)
	}
	if pub.Delta {
		var err error
		if data, err = fossil.Apply(f.base, data, 1<<20); err != nil {
			f.t.Fatalf("applying a delta: %v", err)
		}
	}
	f.base = data
	return string(data)
}

// featureRecovery: a connection that was cut gets what it missed, and what comes after.
func featureRecovery(t *testing.T, s *wireServer, channel string, w way) {
	f := s.follow(t, channel, w.request())
	s.issue(channel, "", 1, 2)
	f.expect(1, -2)
	f.comeBack(2, func() { s.issue(channel, "", 3, 4) }, 3, -4)
	s.issue(channel, "", 5)
	f.expect(-5)
	f.comeBack(5, func() {})
	s.issue(channel, "", 6, 7)
	f.expect(6, -7)
}

// featureFleeting: a channel without history has deltas to what its subscribers were sent.
func featureFleeting(t *testing.T, s *wireServer, channel string, w way) {
	f := s.follow(t, channel, w.request())
	s.issue(channel, "", 1, 2, 3)
	f.expect(1, -2, -3)
	late := s.follow(t, channel, w.request())
	s.issue(channel, "", 4, 5)
	f.expect(-4, -5)
	late.expect(4, -5)
}

// featureFilter: what does not match is not sent, live and recovered, and is no base.
func featureFilter(t *testing.T, s *wireServer, channel string, w way) {
	request := w.request()
	request.Tf = &protocol.FilterNode{Key: "color", Cmp: "eq", Val: "red"}
	f := s.follow(t, channel, request)
	s.issue(channel, "blue", 1)
	s.issue(channel, "red", 2, 3)
	s.issue(channel, "blue", 4)
	s.issue(channel, "red", 5, 6)
	f.expect(2, -3, 5, -6)
	if !f.result.Recoverable {
		return
	}
	f.comeBack(6, func() {
		s.issue(channel, "red", 7)
		s.issue(channel, "blue", 8)
		s.issue(channel, "red", 9)
		s.issue(channel, "blue", 10)
	}, 7, 9) // 8 is no base
	s.issue(channel, "red", 11, 12)
	f.expect(11, -12)
}

// featureFilterRefused: a filter that the namespace does not allow is an error, so that no
// client takes what it gets for what it has asked for.
func featureFilterRefused(t *testing.T, s *wireServer, channel string, w way) {
	request := w.request()
	request.Tf = &protocol.FilterNode{Key: "color", Cmp: "ex"}
	p := s.dial(t)
	if s.format.Uni() {
		if err := p.Connect(&protocol.ConnectRequest{Subs: map[string]*protocol.SubscribeRequest{channel: &request}}); err != nil {
			t.Fatalf("connecting: %v", err)
		}
		p.wantEnd(apptest.Ended{Code: centrifuge.DisconnectServerError.Code}) // protocol.md 7.4
		return
	}
	p.connect(new(protocol.ConnectRequest))
	request.Channel = channel
	p.command(protocol.Command{ID: 2, Subscribe: &request})
	if reply := p.next(); reply.Error == nil || reply.Error.Code != centrifuge.ErrorBadRequest.Code {
		t.Errorf("received %+v; want the error %v", reply, centrifuge.ErrorBadRequest)
	}
}

// featureCache: the newest publication is the state of the channel, which comes with the
// subscription.
func featureCache(t *testing.T, s *wireServer, channel string, w way) {
	f := s.follow(t, channel, w.request())
	if r := f.result; !r.WasRecovering || r.Recovered || len(r.Publications) != 0 {
		t.Errorf("the result of an empty channel is %+v; want that nothing is recovered", r)
	}
	s.issue(channel, "", 1, 2)
	f.expect(1, -2)
	late := s.follow(t, channel, w.request())
	late.recovered(2)
	s.issue(channel, "", 3)
	f.expect(-3)
	late.expect(-3)
	f.comeBack(3, func() { s.issue(channel, "", 4, 5) }, 5)
	s.issue(channel, "", 6)
	f.expect(-6)
	f.comeBack(6, func() {})
	s.issue(channel, "", 7)
	f.expect(7)
}

// featureExclude: a publication is not sent to its publisher, nor to the client that a call of
// the API excludes, and is not the base of what is sent to it next.
func featureExclude(t *testing.T, s *wireServer, channel string, w way) {
	f, other := s.follow(t, channel, w.request()), s.follow(t, channel, w.request())
	s.issue(channel, "", 1)
	s.call("publish", fmt.Sprintf(`{"channel":%q,"data":%s,"exclude_client":%q}`, channel, document(2), f.id))
	s.issue(channel, "", 3)
	f.expect(1, 3)
	other.expect(1, -2, -3)
	if s.format.Uni() {
		return
	}
	f.command(protocol.Command{ID: 3, Publish: &protocol.PublishRequest{Channel: channel, Data: []byte(document(4))}})
	if reply := f.next(); reply.ID != 3 || reply.Publish == nil {
		t.Fatalf("received %+v; want the reply to the publication", reply)
	}
	s.issue(channel, "", 5)
	f.expect(5)
	other.expect(-4, -5)
}

// featureWildcard: a subscription to a pattern gets what is published to the channels that
// match, with their names.
func featureWildcard(t *testing.T, s *wireServer, channel string, w way) {
	one := s.follow(t, channel+".*", w.request())
	request := w.request()
	request.Tf = &protocol.FilterNode{Key: "color", Cmp: "eq", Val: "red"}
	rest := s.follow(t, channel+".>", request)
	s.issue(channel+".a", "blue", 1)
	s.issue(channel+".a.b", "red", 2)
	s.issue(channel+".b", "red", 3)
	for _, test := range []struct {
		f       *follower
		number  int
		channel string
	}{{one, 1, ".a"}, {one, 3, ".b"}, {rest, 2, ".a.b"}, {rest, 3, ".b"}} {
		if pub := test.f.expect(test.number); pub.Channel != channel+test.channel {
			t.Errorf("%s: document %d is of channel %q; want %q", test.f.channel, test.number, pub.Channel, channel+test.channel)
		}
	}
}

// featureMembers: joins and leaves, and an end of the subscription, which always has the name.
func featureMembers(t *testing.T, s *wireServer, channel string, w way) {
	f := s.follow(t, channel, w.request())
	joined := func(id string) {
		t.Helper()
		if p := f.push(); p.Join == nil || p.Join.Info.Client != id {
			t.Fatalf("received %+v; want the join of %s", p, id)
		}
	}
	joined(f.id)
	other := s.follow(t, channel, w.request())
	joined(other.id)
	_ = other.Close()
	if p := f.push(); p.Leave == nil || p.Leave.Info.Client != other.id {
		t.Fatalf("received %+v; want the leave of %s", p, other.id)
	}
	s.call("unsubscribe", fmt.Sprintf(`{"user":"","client":%q,"channel":%q}`, f.id, channel))
	f.isEnd(f.next(), centrifuge.UnsubscribeServer)
}

// isEnd checks that a reply is the end of the subscription.
func (f *follower) isEnd(reply *protocol.Reply, want centrifuge.Unsubscribe) {
	f.t.Helper()
	if p := reply.Push; p == nil || p.Unsubscribe == nil || p.Unsubscribe.Code != want.Code || p.Channel != f.channel || p.ID != 0 {
		f.t.Fatalf("received %+v, push %+v; want the end of the subscription to %s with code %d", reply, p, f.channel, want.Code)
	}
}

// large is a payload of which every second one is close to the one before.
func large(i int) string {
	return fmt.Sprintf(`{"i":%d,"rest":%q}`, i, strings.Repeat(string('a'+rune(i/2%26)), 60_000))
}

// isLarge checks that a publication has the payload of its offset.
func (f *follower) isLarge(pub *protocol.Publication) {
	f.t.Helper()
	if got := f.payload(pub); got != large(int(pub.Offset)) { //nolint:gosec // small
		f.t.Fatalf("received %.20s at offset %d; want the payload with that number", got, pub.Offset)
	}
}

// featureLatest: a client that reads on gets the newest publication, and from then on all.
func featureLatest(t *testing.T, s *wireServer, channel string, w way) {
	f := s.follow(t, channel, w.request())
	published := s.clog(t, channel, large, func() bool { return s.app.node.Stats().SlowSuperseded > 0 })
	at, read := uint64(0), 0
	for at < uint64(published) { //nolint:gosec // positive
		pub := f.push().Pub
		if pub == nil || pub.Offset <= at {
			t.Fatalf("received %+v after the offset %d; want a later publication", pub, at)
		}
		f.isLarge(pub)
		at, read = pub.Offset, read+1
	}
	if superseded := s.app.node.Stats().SlowSuperseded; superseded != uint64(published-read) { //nolint:gosec // positive
		t.Errorf("%d of %d publications were superseded, %d came; want all in one of the two", superseded, published, read)
	}
	s.publish(channel, large(published+1))
	if pub := f.push().Pub; pub == nil || pub.Offset != at+1 {
		t.Fatalf("received %+v; want the publication %d", pub, at+1)
	} else {
		f.isLarge(pub)
	}
}

// featureDropOldest: a client that reads on gets what was queued, is told of the gap, and
// recovers the rest. A server-side subscription ends with its connection.
func featureDropOldest(t *testing.T, s *wireServer, channel string, w way) {
	f := s.follow(t, channel, w.request())
	published := uint64(s.clog(t, channel, large, func() bool { return s.app.node.Stats().SlowGaps > 0 })) //nolint:gosec // positive
	at := uint64(0)
	take := func(pub *protocol.Publication) {
		t.Helper()
		if pub.Offset != at+1 {
			t.Fatalf("received the offset %d after %d; want no gap", pub.Offset, at)
		}
		f.isLarge(pub)
		at++
	}
	for {
		reply, err := f.Next()
		if err != nil && s.format.Uni() {
			f.checkEnd(err, apptest.Ended{Code: centrifuge.DisconnectInsufficientState.Code})
			f.peer = s.dial(t)
			f.granted(f.join(channel, f.since(at)))
			break
		}
		if err != nil {
			t.Fatalf("after the offset %d: %v", at, err)
		}
		if reply.Push == nil || reply.Push.Pub == nil {
			f.isEnd(reply, centrifuge.UnsubscribeInsufficient)
			f.granted(f.subscribe(channel, f.since(at)))
			break
		}
		take(reply.Push.Pub)
	}
	if at == 0 || at >= published || !f.result.Recovered {
		t.Fatalf("%d of %d publications came, then %+v; want some, and the rest recovered", at, published, f.result)
	}
	for _, pub := range f.result.Publications {
		take(pub)
	}
	s.publish(channel, large(int(published)+1)) //nolint:gosec // small
	for at <= published {
		take(f.push().Pub)
	}
}
