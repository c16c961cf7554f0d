package centrifuge_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/internal/memtest"
)

func TestMemoryBroker(t *testing.T) {
	centrifugetest.TestBroker(t, func(*testing.T) centrifuge.Broker {
		return centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})
	}, centrifugetest.InBubble())
}

// TestSlowBroker: the suites do not depend on how long a call takes, nor does the
// broker on being called as it is.
func TestSlowBroker(t *testing.T) {
	slow := func(*testing.T) centrifuge.HistoryBroker {
		broker := centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})
		return centrifugetest.NewFaultyBroker(broker, 1, centrifugetest.Faults{MaxDelay: time.Millisecond})
	}
	centrifugetest.TestBroker(t, func(t *testing.T) centrifuge.Broker { return slow(t) }, centrifugetest.InBubble())
	centrifugetest.TestHistoryBroker(t, slow, centrifugetest.InBubble())
}

func TestMemoryBrokerHistory(t *testing.T) {
	centrifugetest.TestHistoryBroker(t, func(*testing.T) centrifuge.HistoryBroker {
		return centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})
	}, centrifugetest.InBubble())
}

func TestBus(t *testing.T) {
	centrifugetest.TestController(t, func(*testing.T) func() centrifuge.Controller {
		bus := centrifugetest.NewBus()
		return func() centrifuge.Controller { return bus.Controller() }
	})
}

// handlerFuncs is a handler written in place.
type handlerFuncs struct {
	publication func(channel string, pub *centrifuge.Publication)
}

func (h handlerFuncs) HandlePublication(channel string, pub *centrifuge.Publication, _ string, _ []byte) {
	if h.publication != nil {
		h.publication(channel, pub)
	}
}
func (handlerFuncs) Subscribed(string) bool                     { return true }
func (handlerFuncs) HandleGap(func(string) bool)                {}
func (handlerFuncs) HandleJoin(string, *centrifuge.ClientInfo)  {}
func (handlerFuncs) HandleLeave(string, *centrifuge.ClientInfo) {}

func startedBroker(tb testing.TB, config centrifuge.MemoryBrokerConfig, h centrifuge.BrokerHandler) *centrifuge.MemoryBroker {
	tb.Helper()
	b := centrifuge.NewMemoryBroker(config)
	if err := b.Start(h); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(context.Background()); err != nil {
			tb.Error(err)
		}
	})
	return b
}

func TestMemoryBrokerBeforeStartAndAfterClose(t *testing.T) {
	b := centrifuge.NewMemoryBroker(centrifuge.MemoryBrokerConfig{})
	ctx := t.Context()
	calls := map[string]func() error{
		"publish": func() error {
			_, err := b.Publish(ctx, "ch", &centrifuge.Publication{}, centrifuge.PublishOptions{})
			return err
		},
		"history": func() error {
			_, err := b.History(ctx, "ch", centrifuge.HistoryOptions{})
			return err
		},
		"subscribe":      func() error { return b.Subscribe(ctx, "ch") },
		"unsubscribe":    func() error { return b.Unsubscribe(ctx, "ch") },
		"remove history": func() error { return b.RemoveHistory(ctx, "ch") },
		"join":           func() error { return b.PublishJoin(ctx, "ch", &centrifuge.ClientInfo{}) },
		"leave":          func() error { return b.PublishLeave(ctx, "ch", &centrifuge.ClientInfo{}) },
	}
	for name, call := range calls {
		if call() == nil {
			t.Errorf("%s before start succeeded; want an error", name)
		}
	}
	if err := b.Start(nil); err == nil {
		t.Error("starting without a handler succeeded; want an error")
	}
	if err := b.Start(handlerFuncs{}); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls {
		if err := call(); !errors.Is(err, centrifuge.ErrShutdown) {
			t.Errorf("%s after close: %v; want %v", name, err, centrifuge.ErrShutdown)
		}
	}
}

// TestMemoryBrokerSlowHandler holds up one channel and uses the others.
func TestMemoryBrokerSlowHandler(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	b := startedBroker(t, centrifuge.MemoryBrokerConfig{}, handlerFuncs{publication: func(channel string, _ *centrifuge.Publication) {
		if channel == "slow" {
			close(entered)
			<-leave
		}
	}})
	ctx := t.Context()
	publish := func(channel string) {
		opts := centrifuge.PublishOptions{HistorySize: 1, HistoryTTL: time.Minute}
		if _, err := b.Publish(ctx, channel, &centrifuge.Publication{}, opts); err != nil {
			t.Error(err)
		}
	}
	if err := b.Subscribe(ctx, "slow"); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() { publish("slow") })
	<-entered
	for i := range 1000 { // in every shard
		channel := fmt.Sprint("fast", i)
		if err := b.Subscribe(ctx, channel); err != nil {
			t.Fatal(err)
		}
		publish(channel)
	}
	expired, cancel := context.WithCancel(ctx)
	cancel()
	if err := b.Close(expired); !errors.Is(err, context.Canceled) {
		t.Errorf("closing while the handler runs: %v; want %v", err, context.Canceled)
	}
	close(leave)
	wg.Wait()
}

// subscribedTo is a handler with subscribers of the channels that are set.
type subscribedTo struct {
	handlerFuncs
	channels map[string]bool
}

// Subscribed implements centrifuge.BrokerHandler.
func (s subscribedTo) Subscribed(channel string) bool { return s.channels[channel] }

// TestMemoryBrokerKeepsNoSubscriptions: the handler knows them, and a subscribed
// channel takes no memory in the broker.
func TestMemoryBrokerKeepsNoSubscriptions(t *testing.T) {
	var got []string
	handler := subscribedTo{channels: map[string]bool{"heard": true}, handlerFuncs: handlerFuncs{
		publication: func(channel string, _ *centrifuge.Publication) { got = append(got, channel) },
	}}
	b := startedBroker(t, centrifuge.MemoryBrokerConfig{}, handler)
	for _, channel := range []string{"heard", "silent"} {
		err := b.Subscribe(t.Context(), channel)
		_, errPublish := b.Publish(t.Context(), channel, &centrifuge.Publication{}, centrifuge.PublishOptions{})
		if err := errors.Join(err, errPublish); err != nil {
			t.Fatal(err)
		}
	}
	if len(got) != 1 || got[0] != "heard" {
		t.Errorf("publications into %q were handed on; want length 1 and [0] \"heard\"", got)
	}
	before := memtest.Heap()
	for i := range 10_000 {
		if err := b.Subscribe(t.Context(), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	if taken := memtest.Heap() - before; taken > 100_000 {
		t.Errorf("10,000 channels take %d bytes; want at most 100,000", taken)
	}
	runtime.KeepAlive(b)
}

func TestMemoryBrokerIdempotencyKeysAreBounded(t *testing.T) {
	b := startedBroker(t, centrifuge.MemoryBrokerConfig{IdempotencyKeys: 3}, handlerFuncs{})
	publish := func(key string) centrifuge.SuppressReason {
		result, err := b.Publish(t.Context(), "ch", &centrifuge.Publication{}, centrifuge.PublishOptions{IdempotencyKey: key})
		if err != nil {
			t.Fatal(err)
		}
		return result.Suppressed
	}
	for _, key := range []string{"1", "2", "3", "4"} {
		if publish(key) != centrifuge.NotSuppressed {
			t.Errorf("%s is suppressed; want %v", key, centrifuge.NotSuppressed)
		}
	}
	for _, key := range []string{"4", "3", "2"} {
		if publish(key) != centrifuge.SuppressedIdempotency {
			t.Errorf("%s is forgotten; want %v", key, centrifuge.SuppressedIdempotency)
		}
	}
	if got := publish("1"); got != centrifuge.NotSuppressed {
		t.Errorf("the oldest key was kept: publish(\"1\") = %v; want centrifuge.NotSuppressed", got)
	}
}

// TestMemoryBrokerGivesMemoryBack publishes into very many channels and sees the
// memory return, first that of the publications, then the rest.
func TestMemoryBrokerGivesMemoryBack(t *testing.T) {
	channels := 250_000
	if testing.Short() {
		channels = 50_000
	}
	synctest.Test(t, func(t *testing.T) {
		b := startedBroker(t, centrifuge.MemoryBrokerConfig{}, handlerFuncs{})
		empty := memtest.Heap()
		opts := centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: time.Minute, HistoryMetaTTL: time.Hour}
		for i := range channels {
			opts.IdempotencyKey = ""
			if i%10 == 0 {
				opts.IdempotencyKey = strconv.Itoa(i)
			}
			pub := &centrifuge.Publication{Data: []byte(strings.Repeat("x", 100))}
			if _, err := b.Publish(t.Context(), "channel"+strconv.Itoa(i), pub, opts); err != nil {
				t.Fatal(err)
			}
		}
		full := memtest.Heap() - empty
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		metadata := memtest.Heap() - empty
		time.Sleep(time.Hour)
		synctest.Wait()
		left := memtest.Heap() - empty
		each := int64(channels)
		t.Logf("%d channels: %d bytes each with a publication, %d with metadata only, %d bytes left", channels, full/each, metadata/each, left)
		if full < 300*each {
			t.Errorf("%d bytes each: the measurement is wrong; want at least %v", full/each, 300*each)
		}
		if metadata > full/2 {
			t.Errorf("of %d bytes %d are left without publications; want at most %v", full, metadata, full/2)
		}
		if left > max(full/100, 1<<20) {
			t.Errorf("of %d bytes %d are left; want at most %v", full, left, max(full/100, 1<<20))
		}
		runtime.KeepAlive(b)
	})
}

// TestMemoryBrokerChurn publishes into channels whose state others make and
// remove at the same time: no publication may go to a state that was removed.
func TestMemoryBrokerChurn(t *testing.T) {
	b := startedBroker(t, centrifuge.MemoryBrokerConfig{}, handlerFuncs{})
	ctx := t.Context()
	var current atomic.Int64
	done := make(chan struct{})
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				channel := strconv.FormatInt(current.Load(), 10)
				if err := errors.Join(b.Subscribe(ctx, channel), b.Unsubscribe(ctx, channel)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	opts := centrifuge.PublishOptions{HistorySize: 2, HistoryTTL: time.Minute}
	for i := range int64(50_000) {
		current.Store(i)
		channel := strconv.FormatInt(i, 10)
		_, errPublish := b.Publish(ctx, channel, &centrifuge.Publication{}, opts)
		result, errHistory := b.History(ctx, channel, centrifuge.HistoryOptions{Limit: -1})
		if err := errors.Join(errPublish, errHistory); err != nil || len(result.Publications) != 1 {
			t.Errorf("channel %d keeps %d publications, %v; want 1", i, len(result.Publications), err)
			break
		}
	}
	close(done)
	wg.Wait()
}

func TestMemoryBrokerPublishDoesNotAllocate(t *testing.T) {
	b := startedBroker(t, centrifuge.MemoryBrokerConfig{}, handlerFuncs{})
	ctx := t.Context()
	if err := b.Subscribe(ctx, "subscribed"); err != nil {
		t.Fatal(err)
	}
	pub := &centrifuge.Publication{}
	for name, opts := range map[string]centrifuge.PublishOptions{
		"subscribed":   {},
		"unsubscribed": {},
		"history":      {HistorySize: 10, HistoryTTL: time.Minute},
	} {
		publish := func() {
			if _, err := b.Publish(ctx, name, pub, opts); err != nil {
				t.Error(err)
			}
		}
		for range 20 {
			publish()
		}
		if n := testing.AllocsPerRun(100, publish); n != 0 {
			t.Errorf("%s: %v allocations; want 0", name, n)
		}
	}
}

func BenchmarkMemoryBroker(b *testing.B) {
	broker := startedBroker(b, centrifuge.MemoryBrokerConfig{}, handlerFuncs{})
	ctx := b.Context()
	pub := &centrifuge.Publication{Data: []byte(`{"a":1}`)}
	history := centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: time.Minute}
	if err := broker.Subscribe(ctx, "subscribed"); err != nil {
		b.Fatal(err)
	}
	for range 200 {
		if _, err := broker.Publish(ctx, "history", pub, history); err != nil {
			b.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		call func() error
	}{
		{"publish", func() error {
			_, err := broker.Publish(ctx, "subscribed", pub, centrifuge.PublishOptions{})
			return err
		}},
		{"publish to no subscriber", func() error {
			_, err := broker.Publish(ctx, "empty", pub, centrifuge.PublishOptions{})
			return err
		}},
		{"publish with history", func() error {
			_, err := broker.Publish(ctx, "history", pub, history)
			return err
		}},
		{"read 100", func() error {
			_, err := broker.History(ctx, "history", centrifuge.HistoryOptions{Limit: 100})
			return err
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
