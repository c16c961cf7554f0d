package redisengine_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/await"
)

// receiver is a handler that keeps what arrives. It is subscribed to everything.
type receiver struct {
	mu     sync.Mutex
	events []string
	gaps   []func(string) bool
}

func (r *receiver) Subscribed(string) bool { return true }

func (r *receiver) HandlePublication(channel string, pub *centrifuge.Publication, epoch string, prev []byte) {
	r.add(fmt.Sprintf("%s %s %d %s %q", channel, pub.Data, pub.Offset, epoch, prev))
}

func (r *receiver) HandleJoin(channel string, info *centrifuge.ClientInfo) {
	r.add(fmt.Sprintf("%s join %s %s", channel, info.User, info.Client))
}

func (r *receiver) HandleLeave(channel string, info *centrifuge.ClientInfo) {
	r.add(fmt.Sprintf("%s leave %s %s", channel, info.User, info.Client))
}

func (r *receiver) HandleGap(affected func(channel string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gaps = append(r.gaps, affected)
}

func (r *receiver) add(event string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
}

// has reports whether an event has arrived.
func (r *receiver) has(event string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if strings.HasPrefix(e, event) {
			return true
		}
	}
	return false
}

// gap reports whether a gap was reported for a channel.
func (r *receiver) gap(channel string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, affected := range r.gaps {
		if affected == nil || affected(channel) {
			return true
		}
	}
	return false
}

func (r *receiver) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events, r.gaps = nil, nil
}

// want waits for an event.
func (r *receiver) want(t *testing.T, event string) {
	t.Helper()
	await.Until(t, "the event "+event, func() bool { return r.has(event) })
}

// running is a broker that has started.
type running struct {
	*redisengine.Broker
	*receiver
	t *testing.T
}

func startBroker(t *testing.T, c redisengine.Config, options redisengine.BrokerConfig) *running {
	t.Helper()
	b := &running{redisengine.NewBroker(connect(t, c), options), &receiver{}, t}
	if err := b.Start(b.receiver); err != nil {
		t.Fatal(err)
	}
	closeAtEnd(t, b)
	return b
}

func (b *running) subscribe(channels ...string) {
	b.t.Helper()
	for _, channel := range channels {
		if err := b.Subscribe(b.t.Context(), channel); err != nil {
			b.t.Fatalf("subscribing to %s: %v", channel, err)
		}
	}
}

func (b *running) publish(channel, data string, opts centrifuge.PublishOptions) centrifuge.PublishResult {
	b.t.Helper()
	result, err := b.try(channel, data, opts)
	if err != nil {
		b.t.Fatalf("publishing into %s: %v", channel, err)
	}
	return result
}

func (b *running) try(channel, data string, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	return b.Publish(context.Background(), channel, &centrifuge.Publication{Data: []byte(data)}, opts)
}

// persistently publishes until that succeeds.
func (b *running) persistently(channel, data string, opts centrifuge.PublishOptions) (result centrifuge.PublishResult) {
	b.t.Helper()
	await.Until(b.t, "publishing to succeed", func() (ok bool) {
		var err error
		result, err = b.try(channel, data, opts)
		return err == nil
	})
	return result
}

func (b *running) history(channel string, opts centrifuge.HistoryOptions) centrifuge.HistoryResult {
	b.t.Helper()
	result, err := b.History(b.t.Context(), channel, opts)
	if err != nil {
		b.t.Fatalf("history of %s: %v", channel, err)
	}
	return result
}

func (b *running) awaitHealth() {
	b.t.Helper()
	await.Until(b.t, "the broker to be healthy", func() bool { return b.Health() == nil })
}

func (b *running) awaitFailure() {
	b.t.Helper()
	await.Until(b.t, "the broker to be not healthy", func() bool { return b.Health() != nil })
}
