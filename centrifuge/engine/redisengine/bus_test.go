package redisengine

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
)

// startBus returns a bus that runs until the test ends, with the messages that it gets.
func startBus(t *testing.T, s *redistest.Server) (b *bus, messages chan string) {
	t.Helper()
	r, err := New(Config{Shards: []ShardConfig{{Address: s.Address()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.use(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	messages = make(chan string, 1000)
	b = newBus(ctx, r.shards[0], "test", "probe", -1, &Stats{})
	b.receive = func(m received) { messages <- m.topic + " " + m.payload }
	b.gap = func() { b.stats.Gaps.Add(1) }
	var task sync.WaitGroup
	task.Go(b.run)
	t.Cleanup(func() {
		cancel()
		task.Wait()
		r.release()
	})
	await.Until(t, "the bus to be healthy", func() bool { return b.health() == nil })
	return b, messages
}

// TestAudit: a subscription that the node has and the server lacks is noticed, and made.
func TestAudit(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, messages := startBus(t, s)
	b.mu.Lock()
	b.topics["forgotten"] = &topic{wanted: true, subscribed: true}
	b.mu.Unlock()
	await.Until(t, "the audit to fail, and the gap to be reported", func() bool {
		return b.stats.AuditsFailed.Load() > 0 && b.stats.Gaps.Load() > 0 && b.health() == nil
	})
	s.Do("PUBLISH", "forgotten", "1")
	if got := <-messages; got != "forgotten 1" {
		t.Errorf("got %q; want \"forgotten 1\"", got)
	}
}

// TestAuditIsQuiet: subscriptions that come and go are no reason to connect again.
func TestAuditIsQuiet(t *testing.T) {
	t.Parallel()
	b, _ := startBus(t, redistest.Start(t))
	deadline := time.Now().Add(2*auditInterval + auditInterval/2)
	var churn sync.WaitGroup
	for worker := range 4 {
		churn.Go(func() {
			for i := 0; time.Now().Before(deadline); i++ {
				name := fmt.Sprintf("%d-%d", worker, i%10)
				if err := b.subscribe(t.Context(), name); err != nil {
					t.Errorf("subscribing: %v", err)
				}
				if err := b.unsubscribe(t.Context(), name); err != nil {
					t.Errorf("unsubscribing: %v", err)
				}
			}
		})
	}
	churn.Wait()
	if n := b.stats.AuditsFailed.Load(); n > 0 {
		t.Errorf("%d audits have failed; want 0", n)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.topics) != 1 {
		t.Errorf("%d topics are left, want that of the probes", len(b.topics))
	}
}

// TestSubscribeInBatches: channels that are subscribed to at the same time share commands.
func TestSubscribeInBatches(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, _ := startBus(t, s)
	before := s.Calls("subscribe")
	const channels = 1000
	names := make([]string, channels)
	for i := range names {
		names[i] = fmt.Sprint(i)
	}
	for _, done := range b.request(true, names...) {
		if err := b.await(t.Context(), done); err != nil {
			t.Fatal(err)
		}
	}
	if n := s.Calls("subscribe") - before; n != 1 {
		t.Errorf("%d commands for %d channels, want 1", n, channels)
	}

	// After a lost connection all are subscribed to in as few commands as possible.
	before = s.Calls("subscribe")
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	await.Until(t, "the gap", func() bool { return b.stats.Gaps.Load() == 1 })
	if n := s.Calls("subscribe") - before; n != 2 {
		t.Errorf("%d commands for %d channels and the probe, want 2", n, channels)
	}
	if got := s.Do("PUBSUB", "NUMSUB", "0", "999"); fmt.Sprint(got) != "[0 1 999 1]" {
		t.Errorf("subscribers are %v, want one of each", got)
	}
}

// TestResubscribeMany: a connection with 100,000 channels is restored.
func TestResubscribeMany(t *testing.T) {
	if testing.Short() {
		t.Skip("100,000 channels")
	}
	t.Parallel()
	s := redistest.Start(t)
	b, _ := startBus(t, s)
	for i := range 100_000 {
		b.request(true, fmt.Sprintf("channel:%d", i))
	}
	await.Until(t, "the subscriptions", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.unsettled == 0 && len(b.dirty) == 0
	})
	start := time.Now()
	s.Do("CLIENT", "KILL", "TYPE", "pubsub")
	await.Until(t, "the gap", func() bool { return b.stats.Gaps.Load() == 1 })
	t.Logf("restored after %v", time.Since(start).Round(time.Millisecond))
}

func TestCancelledSubscribe(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b, _ := startBus(t, s)
	s.Pause()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := b.subscribe(ctx, "x"); err == nil {
		t.Error("subscribing at a stopped server has succeeded; want an error")
	}
	if err := b.unsubscribe(ctx, "x"); err == nil {
		t.Error("unsubscribing at a stopped server was confirmed; want an error")
	}
	s.Resume()
	await.Until(t, "no subscription", func() bool {
		return b.health() == nil && fmt.Sprint(s.Do("PUBSUB", "NUMSUB", "x")) == "[x 0]"
	})
	if err := b.subscribe(t.Context(), "x"); err != nil {
		t.Errorf("subscribing again: %v", err)
	}
}

func TestInbox(t *testing.T) {
	t.Parallel()
	i := newInbox()
	large := received{topic: "t", payload: strings.Repeat("x", inboxSize/4)}
	for n := range 3 {
		if !i.put(large) {
			t.Fatalf("message %d was dropped; want it taken", n)
		}
	}
	if i.put(large) { // waits for a moment
		t.Fatal("put into a full inbox = true; want false")
	}
	start := time.Now()
	for range 1000 {
		if i.put(received{topic: "t"}) {
			t.Fatal("a message was taken while others were dropped; want it dropped")
		}
	}
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("dropping 1000 messages took %v; want at most %v", d, 10*time.Second)
	}
	batch := i.take(nil)
	for n, m := range batch {
		if n == 1 && i.put(received{topic: "t", payload: "early"}) {
			t.Error("a message was taken before half of the space was free; want it dropped")
		}
		i.done(m)
	}
	if !i.put(received{topic: "t", payload: strings.Repeat("x", 2*inboxSize)}) {
		t.Error("put of a message larger than the inbox = false with an empty one; want true")
	}
	if got := i.take(batch); len(got) != 1 || len(got[0].payload) != 2*inboxSize {
		t.Errorf("got %d messages; want 1 and length %v", len(got), 2*inboxSize)
	}
	i.close()
	if !i.put(large) || i.take(nil) != nil {
		t.Error("a closed inbox drops or gives messages; want it to ignore them")
	}
}

// TestInboxWaits: the reader waits for space instead of dropping at once.
func TestInboxWaits(t *testing.T) {
	t.Parallel()
	i := newInbox()
	var dropped atomic.Int64
	const messages = 200
	var reader sync.WaitGroup
	reader.Go(func() {
		for range messages {
			if !i.put(received{topic: "t", payload: strings.Repeat("x", inboxSize/8)}) {
				dropped.Add(1)
			}
		}
		i.put(received{topic: "end"})
	})
	taken := 0
	for ended := false; !ended; {
		for _, m := range i.take(nil) {
			taken++
			ended = m.topic == "end"
			i.done(m)
		}
	}
	reader.Wait()
	if dropped.Load() != 0 || taken != messages+1 {
		t.Errorf("%d taken, %d dropped of %d; want 0 and %v", taken, dropped.Load(), messages, messages+1)
	}
}
