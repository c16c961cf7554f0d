package centrifugetest

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"centrifugo/centrifuge"
)

// TestBroker is the conformance suite of centrifuge.Broker. NewBroker returns a
// broker that is not started; the suite starts and closes it.
func TestBroker(t *testing.T, newBroker func(t *testing.T) centrifuge.Broker, options ...Option) {
	s := newSuite(options)
	for _, c := range []struct {
		name  string
		test  func(t *testing.T, b *brokerCase)
		needs []Feature
	}{
		{"delivers what is published", testDelivery, nil},
		{"delivers only to subscribed channels", testOtherChannel, nil},
		{"ends a subscription", testUnsubscribe, []Feature{PromptMessages}},
		{"delivers joins and leaves in order", testJoinLeave, nil},
		{"keeps the order of publications", testOrder, nil},
		{"calls the handler one by one in a channel", testOneByOne, nil},
		{"takes any channel name", testChannelNames, nil},
		{"takes large payloads", testLargePayload, nil},
		{"subscribes to many channels in one call", testManyChannels, nil},
		{"subscribes to patterns", testPatterns, nil},
		{"is silent after close", testSilentAfterClose, nil},
		{"publishes once for an idempotency key", testIdempotencyWithoutHistory, []Feature{Idempotency}},
	} {
		s.run(t, c.name, func(t *testing.T) { c.test(t, startBroker(t, newBroker(t))) }, c.needs...)
	}
}

// brokerCase is a started broker with its receiver and a channel of its own.
type brokerCase struct {
	centrifuge.Broker
	channel string
	*receiver
}

func startBroker(t *testing.T, broker centrifuge.Broker) *brokerCase {
	t.Helper()
	channel := uniqueChannel(t)
	b := &brokerCase{Broker: broker, channel: channel, receiver: newReceiver(channel)}
	if err := broker.Start(b.receiver); err != nil {
		t.Fatalf("starting: %v", err)
	}
	closeAtEnd(t, broker)
	return b
}

func (b *brokerCase) subscribe(t *testing.T, channel string) {
	t.Helper()
	b.subscribed.Store(channel, true)
	if err := b.Subscribe(t.Context(), channel); err != nil {
		t.Fatalf("subscribing to %q: %v", channel, err)
	}
}

func (b *brokerCase) unsubscribe(t *testing.T, channel string) {
	t.Helper()
	b.subscribed.Delete(channel)
	if err := b.Unsubscribe(t.Context(), channel); err != nil {
		t.Fatalf("unsubscribing from %q: %v", channel, err)
	}
}

func (b *brokerCase) publish(t *testing.T, channel, data string, opts centrifuge.PublishOptions) centrifuge.PublishResult {
	t.Helper()
	result, err := b.Publish(t.Context(), channel, &centrifuge.Publication{Data: []byte(data)}, opts)
	if err != nil {
		t.Fatalf("publishing into %q: %v", channel, err)
	}
	return result
}

func testDelivery(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	info := &centrifuge.ClientInfo{User: "u", Client: "c", ConnInfo: []byte(`{"a":1}`), ChanInfo: []byte(`{"b":2}`)}
	pub := &centrifuge.Publication{
		Data: []byte("{\"x\": 1}\x00\n"), Info: info, Tags: map[string]string{"k": "v", "": "e"}, ExcludeClient: "x", UseDelta: true,
	}
	want := *pub
	result, err := b.Publish(t.Context(), b.channel, pub, centrifuge.PublishOptions{Tags: pub.Tags, ClientInfo: info})
	if err != nil || result != (centrifuge.PublishResult{}) {
		t.Errorf("got %+v, %v; want nothing", result, err)
	}
	e := b.next(t)
	if e.channel != b.channel || !reflect.DeepEqual(e.pub, &want) {
		t.Errorf("got %+v in %q, want %+v", e.pub, e.channel, &want)
	}
	if e.pub.Offset != 0 || e.epoch != "" || e.prev != nil {
		t.Errorf("offset %d, epoch %q and previous payload %q without history, want none", e.pub.Offset, e.epoch, e.prev)
	}
}

// testPatterns is skipped for a broker that is no PatternBroker.
func testPatterns(t *testing.T, b *brokerCase) {
	patterns, ok := b.Broker.(centrifuge.PatternBroker)
	if !ok {
		t.Skip("the broker has no patterns")
	}
	prefix, pattern := b.channel+":", "*.end"
	first, second := prefix+"1.end", prefix+"2.end"
	for _, channel := range []string{first, second} { // the receiver says that they match
		b.subscribed.Store(channel, true)
	}
	if err := patterns.SubscribePattern(t.Context(), prefix, pattern); err != nil {
		t.Fatalf("subscribing to a pattern: %v", err)
	}
	b.subscribe(t, second)
	b.publish(t, prefix+"1.other", "0", centrifuge.PublishOptions{})
	b.publish(t, first, "1", centrifuge.PublishOptions{})
	b.publish(t, second, "2", centrifuge.PublishOptions{}) // once, although two subscriptions are for it
	b.publish(t, first, "3", centrifuge.PublishOptions{})
	b.wantPublication(t, first, "1")
	b.wantPublication(t, second, "2")
	b.wantPublication(t, first, "3")
	b.unsubscribe(t, second)
	b.subscribed.Delete(first)
	if err := patterns.UnsubscribePattern(t.Context(), prefix, pattern); err != nil {
		t.Fatalf("unsubscribing from a pattern: %v", err)
	}
	b.publish(t, first, "4", centrifuge.PublishOptions{})
	b.subscribe(t, b.channel)
	b.publish(t, b.channel, "5", centrifuge.PublishOptions{})
	b.wantPublication(t, b.channel, "5")
}

func testOtherChannel(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	b.publish(t, b.channel+"other", `"not subscribed"`, centrifuge.PublishOptions{})
	b.publish(t, b.channel, `"subscribed"`, centrifuge.PublishOptions{})
	b.wantPublication(t, b.channel, `"subscribed"`)
}

func testUnsubscribe(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	b.publish(t, b.channel, "1", centrifuge.PublishOptions{})
	b.wantPublication(t, b.channel, "1")
	b.unsubscribe(t, b.channel)
	if err := b.Unsubscribe(t.Context(), b.channel); err != nil {
		t.Errorf("unsubscribing twice: %v", err)
	}
	b.publish(t, b.channel, "2", centrifuge.PublishOptions{})
	b.subscribe(t, b.channel)
	b.publish(t, b.channel, "3", centrifuge.PublishOptions{})
	b.wantPublication(t, b.channel, "3")
}

func testJoinLeave(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	info := &centrifuge.ClientInfo{User: "u", Client: "c", ConnInfo: []byte(`{"a":1}`)}
	ctx := t.Context()
	for _, err := range []error{
		b.PublishJoin(ctx, b.channel+"other", info),
		b.PublishLeave(ctx, b.channel+"other", info),
		b.PublishJoin(ctx, b.channel, info),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	b.publish(t, b.channel, "1", centrifuge.PublishOptions{})
	if err := b.PublishLeave(ctx, b.channel, info); err != nil {
		t.Fatal(err)
	}
	if e := b.next(t); e.kind != "join" || e.channel != b.channel || !reflect.DeepEqual(e.info, info) {
		t.Errorf("got %s of %+v, want a join", e.kind, e.info)
	}
	b.wantPublication(t, b.channel, "1")
	if e := b.next(t); e.kind != "leave" || e.channel != b.channel || !reflect.DeepEqual(e.info, info) {
		t.Errorf("got %s of %+v, want a leave", e.kind, e.info)
	}
}

func testOrder(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	for i := range 500 {
		b.publish(t, b.channel, fmt.Sprint(i), centrifuge.PublishOptions{})
	}
	for i := range 500 {
		b.wantPublication(t, b.channel, fmt.Sprint(i))
	}
}

func testOneByOne(t *testing.T, b *brokerCase) {
	const publishers, each = 8, 100
	b.subscribe(t, b.channel)
	publishInParallel(t, b, publishers, each, centrifuge.PublishOptions{})
	next := make(map[string]int)
	for range publishers * each {
		e := b.next(t)
		publisher, number, _ := strings.Cut(string(e.pub.Data), ".")
		if want := fmt.Sprint(next[publisher]); number != want {
			t.Fatalf("publisher %s: got %s, want %s", publisher, number, want)
		}
		next[publisher]++
	}
	if b.overlap.Load() {
		t.Error("two calls of the handler at once; want one")
	}
}

// publishInParallel publishes numbers of the form PUBLISHER.COUNT.
func publishInParallel(t *testing.T, b *brokerCase, publishers, each int, opts centrifuge.PublishOptions) {
	t.Helper()
	var wg sync.WaitGroup
	for p := range publishers {
		wg.Go(func() {
			for i := range each {
				pub := &centrifuge.Publication{Data: fmt.Appendf(nil, "%d.%d", p, i)}
				if _, err := b.Publish(t.Context(), b.channel, pub, opts); err != nil {
					t.Errorf("publishing: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()
}

func testChannelNames(t *testing.T, b *brokerCase) {
	for _, suffix := range []string{
		"", " ", "канал", "{a}", "*", "?[x]", "a.b", "#1,2", "$private", "\"quoted\"\n", "\x00\xff", strings.Repeat("long", 50),
	} {
		channel := b.channel + suffix
		b.subscribe(t, channel)
		b.publish(t, channel, "1", centrifuge.PublishOptions{})
		b.wantPublication(t, channel, "1")
	}
}

func testLargePayload(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	data := `"` + strings.Repeat("x", 1<<20) + `"`
	b.publish(t, b.channel, data, centrifuge.PublishOptions{})
	if e := b.next(t); string(e.pub.Data) != data {
		t.Errorf("got %d bytes, want %d", len(e.pub.Data), len(data))
	}
}

// testManyChannels is for a broker that is a centrifuge.MultiSubscriber.
func testManyChannels(t *testing.T, b *brokerCase) {
	multi, ok := b.Broker.(centrifuge.MultiSubscriber)
	if !ok {
		t.Skip("the broker is no centrifuge.MultiSubscriber")
	}
	const count = 1000
	channels := make([]string, count)
	for i := range channels {
		channels[i] = fmt.Sprintf("%s/%d", b.channel, i)
	}
	publishAll := func(data string) {
		for _, channel := range channels {
			b.publish(t, channel, data, centrifuge.PublishOptions{})
		}
	}
	subscribe := func(channels []string) {
		for _, channel := range channels {
			b.subscribed.Store(channel, true)
		}
		wantAllDone(t, "SubscribeMany", channels, multi.SubscribeMany(t.Context(), channels))
	}
	subscribe(channels)
	publishAll("1")
	for _, channel := range channels[:count/2] {
		b.subscribed.Delete(channel)
	}
	b.wantAll(t, channels, "1")
	wantAllDone(t, "UnsubscribeMany", channels[:count/2], multi.UnsubscribeMany(t.Context(), channels[:count/2]))
	b.unsubscribe(t, channels[count-1]) // the calls for single channels end what those for many began
	publishAll("2")
	b.wantAll(t, channels[count/2:count-1], "2")
	subscribe(channels[:count/2])
	publishAll("3")
	b.wantAll(t, channels[:count-1], "3")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if errs := multi.SubscribeMany(ctx, channels); len(errs) != 0 && len(errs) != count {
		t.Errorf("SubscribeMany with a cancelled context returned %d errors, want none or %d", len(errs), count)
	}
}

// wantAllDone checks what a call for many channels returned.
func wantAllDone(t *testing.T, call string, channels []string, errs []error) {
	t.Helper()
	if len(errs) != 0 && len(errs) != len(channels) {
		t.Fatalf("%s returned %d errors; want none or %d, one for each channel", call, len(errs), len(channels))
	}
	for i, err := range errs {
		if err != nil {
			t.Fatalf("%s failed for %q: %v", call, channels[i], err)
		}
	}
}

// wantAll waits for a publication in each of the channels, in any order, and for no
// other one.
func (b *brokerCase) wantAll(t *testing.T, channels []string, data string) {
	t.Helper()
	missing := make(map[string]bool, len(channels))
	for _, channel := range channels {
		missing[channel] = true
	}
	for len(missing) > 0 {
		e := b.next(t)
		if !missing[e.channel] || e.kind != "publication" || string(e.pub.Data) != data {
			t.Fatalf("got %s in %q with %+v, want a publication of %s in each channel that is subscribed to", e.kind, e.channel, e.pub, data)
		}
		delete(missing, e.channel)
	}
}

func testSilentAfterClose(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // publishes until the end, and must not hang
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_, _ = b.Publish(context.Background(), b.channel, &centrifuge.Publication{Data: []byte("1")}, centrifuge.PublishOptions{})
			}
			select {
			case <-b.events: // no other goroutine reads
			default:
			}
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), waitLimit)
	defer cancel()
	if err := b.Close(ctx); err != nil {
		t.Errorf("closing: %v", err)
	}
	close(stop)
	<-stopped
	for len(b.events) > 0 {
		<-b.events
	}
	if _, err := b.Publish(context.Background(), b.channel, &centrifuge.Publication{Data: []byte("2")}, centrifuge.PublishOptions{}); err == nil {
		t.Error("publishing after close succeeded; want an error")
	}
	if len(b.events) > 0 {
		t.Errorf("the handler was called %d times after close; want no call", len(b.events))
	}
}

func testIdempotencyWithoutHistory(t *testing.T, b *brokerCase) {
	b.subscribe(t, b.channel)
	b.subscribe(t, b.channel+"other")
	once := centrifuge.PublishOptions{IdempotencyKey: "key", IdempotencyTTL: time.Minute}
	if got := b.publish(t, b.channel, "1", once); got.Suppressed != centrifuge.NotSuppressed {
		t.Errorf("the first is suppressed: %+v; want Suppressed %v", got, centrifuge.NotSuppressed)
	}
	if got := b.publish(t, b.channel, "2", once); got.Suppressed != centrifuge.SuppressedIdempotency {
		t.Errorf("the second is not suppressed: %+v; want Suppressed %v", got, centrifuge.SuppressedIdempotency)
	}
	b.wantPublication(t, b.channel, "1")
	b.publish(t, b.channel+"other", "3", once) // a key counts in its channel
	b.wantPublication(t, b.channel+"other", "3")
	once.IdempotencyKey = strings.Repeat("another", 100)
	b.publish(t, b.channel, "4", once)
	b.publish(t, b.channel, "5", once)
	b.publish(t, b.channel, "6", centrifuge.PublishOptions{})
	b.wantPublication(t, b.channel, "4")
	b.wantPublication(t, b.channel, "6")
}
