package httpstream

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/internal/await"
	"centrifugo/internal/fossil"
	"centrifugo/protocol"
)

// eventSource is a client that knows of server-sent events what a browser does (HTML
// standard, 9.2), and nothing of positions.
type eventSource struct {
	s      *server
	url    string
	header bool // sends Last-Event-ID; otherwise the id is in the URL
	lastID string
	id     string // of the event that is being read

	cancel context.CancelFunc
	body   *bufio.Reader
}

// open connects, or connects again.
func (e *eventSource) open() {
	e.s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), transporttest.WaitLimit)
	e.cancel = cancel
	e.s.t.Cleanup(cancel)
	target := e.s.http.URL + streamPath + e.url
	if !e.header && e.lastID != "" {
		target += "&lastEventId=" + url.QueryEscape(e.lastID)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		e.s.t.Fatal(err)
	}
	if e.header && e.lastID != "" {
		request.Header.Set("Last-Event-ID", e.lastID)
	}
	response, err := e.s.client.Do(request) //nolint:bodyclose // cancel ends it
	if err != nil || response.StatusCode != http.StatusOK {
		e.s.t.Fatalf("opening: %v, %v; want status 200", response, err)
	}
	e.body, e.id = bufio.NewReader(response.Body), e.lastID
}

// cut ends the connection.
func (e *eventSource) cut() { e.cancel() }

// next returns the data of the next event.
func (e *eventSource) next() (string, error) {
	var data []string
	for {
		line, err := e.body.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch {
		case line == "":
			e.lastID = e.id
			if data != nil {
				return strings.Join(data, "\n"), nil
			}
		case field == "data":
			data = append(data, value)
		case field == "id":
			e.id = value
		}
	}
}

// uniPush is a push of a unidirectional connection.
type uniPush struct {
	Channel string
	Pub     *uniPub
	Connect *struct{ Subs map[string]uniSub }
	Sub     *struct{ Offset uint64 } `json:"subscribe"`
	Unsub   *struct{ Code uint32 }   `json:"unsubscribe"`
	End     *centrifuge.Disconnect   `json:"disconnect"`
}

type uniPub struct {
	Offset uint64
	Data   json.RawMessage
	Delta  bool
}

type uniSub struct {
	WasRecovering bool `json:"was_recovering"`
	Recovered     bool
	Offset        uint64
	Publications  []uniPub
}

func (e *eventSource) push() (p uniPush, err error) {
	data, err := e.next()
	if err != nil {
		return p, err
	}
	if err := json.Unmarshal([]byte(data), &p); err != nil {
		return p, fmt.Errorf("event %.100q: %w", data, err)
	}
	return p, nil
}

// expect reads a push that is no ping.
func (e *eventSource) expect() uniPush {
	e.s.t.Helper()
	for {
		p, err := e.push()
		if err != nil {
			e.s.t.Fatalf("reading an event: %v", err)
		}
		if p.Channel != "" || p.Connect != nil || p.End != nil {
			return p
		}
	}
}

// connected reads a connect push and describes its subscriptions.
func (e *eventSource) connected() string {
	e.s.t.Helper()
	p := e.expect()
	if p.Connect == nil {
		e.s.t.Fatalf("received %+v; want a connect push", p)
	}
	var all []string
	for channel, sub := range p.Connect.Subs {
		state := "begins"
		switch {
		case sub.Recovered:
			state = "recovered"
		case sub.WasRecovering:
			state = "lost"
		}
		for _, pub := range sub.Publications {
			state += fmt.Sprintf(" %d", pub.Offset)
		}
		all = append(all, channel+" "+state)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}

// resumable runs a node whose connections get server-side subscriptions.
func resumable(t testing.TB, subs func() map[string]centrifuge.SubscribeOptions) *centrifuge.Node {
	return transporttest.RunNode(t, centrifuge.Config{PingInterval: -1, Handlers: centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}, Subscriptions: subs()}, nil
		},
	}})
}

func publish(t testing.TB, n *centrifuge.Node, channel, data string, more ...func(*centrifuge.PublishOptions)) {
	t.Helper()
	opts := centrifuge.PublishOptions{HistorySize: 1000, HistoryTTL: time.Hour}
	for _, m := range more {
		m(&opts)
	}
	if _, err := n.Publish(t.Context(), channel, []byte(data), opts); err != nil {
		t.Fatal(err)
	}
}

var eventConfig = Config{Wire: Events, Unidirectional: true}

// A client that sends the id of the last event gets what it missed, of each channel that can
// be recovered.
func TestResume(t *testing.T) {
	recovers := centrifuge.SubscribeOptions{Recovery: true}
	for _, route := range []route{routeTCP, routeTLS, routeHTTP2} {
		for _, header := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/header %v", route, header), func(t *testing.T) {
				subs := map[string]centrifuge.SubscribeOptions{"a": recovers, "b": recovers, "plain": {}, "positioned": {Positioning: true}}
				n := resumable(t, func() map[string]centrifuge.SubscribeOptions { return subs })
				publish(t, n, "b", `"before"`)
				e := &eventSource{s: serve(t, n, eventConfig, route), header: header, url: "?"}
				e.open()
				if got, want := e.connected(), "a begins, b begins, plain begins, positioned begins"; got != want {
					t.Fatalf("connected: %s; want %s", got, want)
				}
				for _, channel := range []string{"a", "plain"} {
					publish(t, n, channel, `1`)
					if p := e.expect(); p.Channel != channel || p.Pub == nil {
						t.Fatalf("received %+v; want the publication in %s", p, channel)
					}
				}
				e.cut()
				publish(t, n, "a", `2`)
				publish(t, n, "b", `"missed"`)
				publish(t, n, "positioned", `1`)
				e.open()
				if got, want := e.connected(), "a recovered 2, b recovered 2, plain begins, positioned begins"; got != want {
					t.Fatalf("after the cut: %s; want %s", got, want)
				}
				e.cut()
				e.open() // the id of the connect push
				if got, want := e.connected(), "a recovered, b recovered, plain begins, positioned begins"; got != want {
					t.Fatalf("after another cut: %s; want %s", got, want)
				}
				if err := n.Disconnect(t.Context(), centrifuge.Target{User: "u"}, centrifuge.DisconnectForceReconnect); err != nil {
					t.Fatal(err)
				}
				if p := e.expect(); p.End == nil || p.End.Code != centrifuge.DisconnectForceReconnect.Code {
					t.Fatalf("received %+v; want the disconnect push", p)
				}
				publish(t, n, "a", `3`)
				subs = map[string]centrifuge.SubscribeOptions{"a": recovers, "new": recovers}
				e.open()
				if got, want := e.connected(), "a recovered 3, new begins"; got != want {
					t.Fatalf("after a disconnect, with another channel: %s; want %s", got, want)
				}
			})
		}
	}
}

// What a malformed id stands for is lost, and the client and the application are told.
func TestResumeMalformed(t *testing.T) {
	n := resumable(t, func() map[string]centrifuge.SubscribeOptions {
		return map[string]centrifuge.SubscribeOptions{"a": {Recovery: true}, "plain": {}}
	})
	publish(t, n, "a", `1`)
	reasons := make(chan string, 1)
	config := eventConfig
	config.OnPositionsLost = func(c *centrifuge.Client, reason string) { reasons <- c.UserID() + reason }
	e := &eventSource{s: serve(t, n, config, routeTCP), header: true, lastID: "42"}
	e.open()
	if got, want := e.connected(), "a lost, plain begins"; got != want {
		t.Errorf("connected: %s; want %s", got, want)
	}
	if got := await.Receive(t, reasons, "report"); got != errEventID.Error() {
		t.Errorf("reported %q; want %q", got, errEventID)
	}
	if _, err := parseEventID(e.lastID); err != nil {
		t.Errorf("the id of the connect push is %q: %v", e.lastID, err)
	}
}

// Positions that do not fit into an id are lost, those that fit are recovered.
func TestResumeMany(t *testing.T) {
	const channels = 400
	n := transporttest.RunNode(t, centrifuge.Config{PingInterval: -1, ChannelLimit: channels, Handlers: centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			subs := make(map[string]centrifuge.SubscribeOptions)
			for i := range channels {
				subs[fmt.Sprint(i)] = centrifuge.SubscribeOptions{Recovery: true}
			}
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}, Subscriptions: subs}, nil
		},
	}})
	reasons := make(chan string, 10)
	config := eventConfig
	config.OnPositionsLost = func(c *centrifuge.Client, _ string) { reasons <- c.UserID() }
	e := &eventSource{s: serve(t, n, config, routeTCP), header: true}
	e.open()
	if got := strings.Count(e.connected(), "begins"); got != channels {
		t.Fatalf("%d subscriptions begin; want %d", got, channels)
	}
	if got := await.Receive(t, reasons, "report"); got != "u" {
		t.Errorf("the report is about %q; want u", got)
	}
	e.cut()
	e.open()
	got := e.connected()
	recovered, lost := strings.Count(got, "recovered"), strings.Count(got, "lost")
	if recovered < 175 || recovered+lost != channels {
		t.Errorf("%d recovered, %d lost; want at least 175, and %d together", recovered, lost, channels)
	}
}

// The id follows subscriptions that begin and end while the client is connected.
func TestResumeRuntimeSubscription(t *testing.T) {
	all := map[string]centrifuge.SubscribeOptions{}
	n := resumable(t, func() map[string]centrifuge.SubscribeOptions { return all })
	publish(t, n, "a", `1`)
	publish(t, n, "a", `2`)
	position, err := n.History(t.Context(), "a", centrifuge.HistoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	e := &eventSource{s: serve(t, n, eventConfig, routeTCP), header: true}
	e.open()
	if got := e.connected(); got != "" || e.lastID != "" {
		t.Fatalf("connected: %q, id %q; want neither", got, e.lastID)
	}
	opts := centrifuge.SubscribeOptions{Recovery: true, RecoverSince: &centrifuge.StreamPosition{Offset: 1, Epoch: position.Epoch}}
	if err := n.Subscribe(t.Context(), centrifuge.Target{User: "u"}, "a", opts); err != nil {
		t.Fatal(err)
	}
	if p := e.expect(); p.Sub == nil {
		t.Fatalf("received %+v; want a subscribe push", p)
	}
	if p := e.expect(); p.Pub == nil || p.Pub.Offset != 2 {
		t.Fatalf("received %+v; want the second publication", p)
	}
	if got, want := describe(t, e.lastID, "a"), "a 2"+position.Epoch; got != want {
		t.Errorf("the id says %s; want %s", got, want)
	}
	e.cut()
	publish(t, n, "a", `3`)
	all = map[string]centrifuge.SubscribeOptions{"a": {Recovery: true}}
	e.open()
	if got, want := e.connected(), "a recovered 3"; got != want {
		t.Fatalf("after the cut: %s; want %s", got, want)
	}
	if err := n.Unsubscribe(t.Context(), centrifuge.Target{User: "u"}, "a", centrifuge.UnsubscribeServer); err != nil {
		t.Fatal(err)
	}
	if p := e.expect(); p.Unsub == nil {
		t.Fatalf("received %+v; want an unsubscribe push", p)
	}
	if got := describe(t, e.lastID, "a"); got != "a none" {
		t.Errorf("after the unsubscribe the id says %s; want none", got)
	}
}

// Options of a subscription work with ids of events: what a filter leaves out does not come,
// a cache recovers its newest publication, and deltas begin with a whole payload.
func TestResumeOptions(t *testing.T) {
	n := resumable(t, func() map[string]centrifuge.SubscribeOptions {
		return map[string]centrifuge.SubscribeOptions{
			"cache":  {Recovery: true, RecoveryMode: centrifuge.RecoverCache},
			"delta":  {Recovery: true, AllowDelta: true},
			"filter": {Recovery: true, ServerTagsFilter: &centrifuge.FilterNode{Key: "k", Cmp: "eq", Val: "v"}},
		}
	})
	document := func(i int) string { return fmt.Sprintf(`{"i":%d,"rest":%q}`, i, strings.Repeat("x", 200)) }
	withDelta := func(o *centrifuge.PublishOptions) { o.UseDelta = true }
	tagged := func(o *centrifuge.PublishOptions) { o.Tags = map[string]string{"k": "v"} }
	e := &eventSource{s: serve(t, n, eventConfig, routeTCP), header: true,
		url: "?cf_connect=" + url.QueryEscape(`{"subs":{"delta":{"delta":"fossil"}}}`)}
	e.open()
	if got, want := e.connected(), "cache begins, delta begins, filter begins"; got != want {
		t.Fatalf("connected: %s; want %s", got, want)
	}
	for i := range 3 {
		publish(t, n, "delta", document(i), withDelta)
	}
	var base []byte
	read := func(pubs ...uniPub) {
		t.Helper()
		for _, pub := range pubs {
			var text string
			if err := json.Unmarshal(pub.Data, &text); err != nil {
				t.Fatalf("the data of a delta subscription is %s: %v", pub.Data, err)
			}
			if base = []byte(text); pub.Delta {
				t.Fatal("read: a delta came; want a whole payload")
			}
		}
	}
	apply := func(pub uniPub) {
		t.Helper()
		var delta string
		if err := json.Unmarshal(pub.Data, &delta); err != nil || !pub.Delta {
			t.Fatalf("received %+v, %v; want a delta", pub, err)
		}
		full, err := fossil.Apply(base, []byte(delta), 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		base = full
	}
	read(*e.expect().Pub)
	apply(*e.expect().Pub)
	apply(*e.expect().Pub)
	e.cut()
	for i := range 2 {
		publish(t, n, "delta", document(10+i), withDelta)
		publish(t, n, "cache", fmt.Sprint(i))
		publish(t, n, "filter", fmt.Sprint(i))
	}
	publish(t, n, "filter", `"wanted"`, tagged)
	publish(t, n, "filter", `"unwanted"`)
	e.open()
	p := e.expect()
	subs := p.Connect.Subs
	if c := subs["cache"]; !c.Recovered || len(c.Publications) != 1 || c.Publications[0].Offset != 2 {
		t.Errorf("cache: %+v; want the newest publication", c)
	}
	if f := subs["filter"]; !f.Recovered || len(f.Publications) != 1 || f.Publications[0].Offset != 3 {
		t.Errorf("filter: %+v; want the third publication", f)
	}
	if d := subs["delta"]; !d.Recovered || len(d.Publications) != 2 {
		t.Fatalf("delta: %+v; want two publications", d)
	}
	read(subs["delta"].Publications[0])
	apply(subs["delta"].Publications[1])
	publish(t, n, "delta", document(12), withDelta)
	apply(*e.expect().Pub)
	if string(base) != document(12) {
		t.Errorf("the client has %s; want %s", base, document(12))
	}
	e.cut()
	e.open()
	if got, want := e.connected(), "cache recovered, delta recovered, filter recovered"; got != want {
		t.Errorf("after another cut: %s; want %s: nothing was published", got, want)
	}
}

// The id takes precedence over a position in the request, which a browser sends again and
// again, and leaves the rest of the request alone.
func TestResumePrecedence(t *testing.T) {
	n := resumable(t, func() map[string]centrifuge.SubscribeOptions {
		return map[string]centrifuge.SubscribeOptions{"a": {Recovery: true}, "b": {Recovery: true}}
	})
	for i := range 3 {
		publish(t, n, "a", fmt.Sprint(i))
		publish(t, n, "b", fmt.Sprint(i))
	}
	position, err := n.History(t.Context(), "a", centrifuge.HistoryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	known := positions{}
	known.move(&protocol.Move{Channel: "a", Offset: 2, Epoch: position.Epoch, Kind: protocol.MoveBegin})
	e := &eventSource{s: serve(t, n, eventConfig, routeTCP), header: true, lastID: string(known.appendID(nil)),
		url: "?lastEventId=AQA&cf_connect=" + url.QueryEscape(`{"subs":{"a":{"recover":true},"b":{"recover":true}}}`)}
	e.open()
	if got, want := e.connected(), "a recovered 3, b recovered 1 2 3"; got != want {
		t.Errorf("connected: %s; want %s", got, want)
	}
}

// Ids are on unidirectional events only: other clients know their positions.
func TestNoEventID(t *testing.T) {
	for _, tt := range []struct {
		config  Config
		request string
	}{
		{Config{Wire: Events}, post(`{"id":1,"connect":{}}`)},
		{Config{Unidirectional: true}, post(`{}`)},
	} {
		n := transporttest.RunNode(t, centrifuge.Config{Handlers: centrifuge.Handlers{
			Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
				return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{}, Subscriptions: map[string]centrifuge.SubscribeOptions{"a": {Recovery: true}}}, nil
			},
			Connected: func(_ context.Context, e centrifuge.ConnectedEvent) {
				e.Client.Disconnect(centrifuge.DisconnectForceReconnect)
			},
		}})
		if got := serve(t, n, tt.config, routeTCP).exchange(tt.request); strings.Contains(got, "id: ") {
			t.Errorf("%+v: the response has an id: %s; want no \"id: \" in it", tt.config, got)
		}
	}
}

// reader is what a client has read of each channel.
type reader struct {
	t      *testing.T
	seen   map[string]uint64
	window chan struct{} // holds an element for each publication that was not seen
}

func (r *reader) take(channel string, offset uint64) {
	r.t.Helper()
	switch next := r.seen[channel] + 1; {
	case offset > next:
		r.t.Fatalf("%s: offset %d; want %d", channel, offset, next)
	case offset == next:
		r.seen[channel] = offset
		<-r.window
	}
}

func (r *reader) consume(p uniPush) {
	r.t.Helper()
	if p.Pub != nil {
		r.take(p.Channel, p.Pub.Offset)
	}
	if p.Connect == nil {
		return
	}
	for channel, sub := range p.Connect.Subs {
		if !sub.Recovered {
			r.t.Fatalf("%s was not recovered: %+v; want it recovered", channel, sub)
		}
		for _, pub := range sub.Publications {
			r.take(channel, pub.Offset)
		}
	}
}

// TestResumeAnywhere cuts connections at any byte while messages are published, and expects
// that the client misses nothing. It gets a message again only if the connection ended
// within a batch.
func TestResumeAnywhere(t *testing.T) {
	for _, route := range []route{routeTCP, routeHTTP2} {
		t.Run(route.String(), func(t *testing.T) {
			cuts := 60
			if testing.Short() {
				cuts = 15
			}
			n := resumable(t, func() map[string]centrifuge.SubscribeOptions {
				return map[string]centrifuge.SubscribeOptions{"a": {Recovery: true}, "b": {Recovery: true}, "c": {Recovery: true}}
			})
			e := &eventSource{s: serve(t, n, eventConfig, route), header: true, url: "?"}
			e.open()
			e.connected()
			r := &reader{t: t, seen: make(map[string]uint64), window: make(chan struct{}, 60)}
			stop, last := make(chan struct{}), make(chan map[string]uint64, 1)
			go func() { last <- publishUntil(t, n, stop, r.window) }()
			for range cuts {
				e.body = bufio.NewReaderSize(io.LimitReader(e.body, 1+rand.Int64N(4000)), 16) //nolint:gosec // no secret
				for {
					p, err := e.push()
					if err != nil {
						break
					}
					r.consume(p)
				}
				e.cut()
				e.open()
			}
			close(stop)
			for want := await.Receive(t, last, "the publisher's end"); !maps.Equal(r.seen, want); {
				p, err := e.push()
				if err != nil {
					t.Fatalf("read %v: %v; want %v", r.seen, err, want)
				}
				r.consume(p)
			}
		})
	}
}

// publishUntil publishes into channels in turn until stop is closed, and returns the number
// of publications of each.
func publishUntil(t *testing.T, n *centrifuge.Node, stop, window chan struct{}) map[string]uint64 {
	published := make(map[string]uint64)
	for i := 0; ; i++ {
		select {
		case <-stop:
			return published
		case window <- struct{}{}:
		}
		channel := string("abc"[i%3])
		opts := centrifuge.PublishOptions{HistorySize: 1000, HistoryTTL: time.Hour}
		if _, err := n.Publish(t.Context(), channel, []byte(fmt.Sprint(i)), opts); err != nil {
			t.Errorf("Publish() = %v; want no error", err)
			return published
		}
		published[channel]++
	}
}
