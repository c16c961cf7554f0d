package redisengine_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/nettest"
	"centrifugo/internal/redistest"
)

// streams is a configuration with bus streams.
func streams(address string) redisengine.Config {
	return redisengine.Config{Shards: []redisengine.ShardConfig{{Address: address}}, Streams: true}
}

// TestTailLosesNothing: messages without history arrive, each once and in order, although
// the connection of the node is cut and silenced while they are published.
func TestTailLosesNothing(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := nettest.StartProxy(t, s.Address())
	b := startBroker(t, streams(p.Address()), redisengine.BrokerConfig{})
	publisher := startBroker(t, streams(s.Address()), redisengine.BrokerConfig{})
	b.subscribe("x")
	b.awaitHealth()
	const messages = 3000
	for i := range messages {
		publisher.publish("x", strconv.Itoa(i), centrifuge.PublishOptions{})
		switch {
		case i == 0:
			b.want(t, "x 0") // from an empty stream a gap could not be excluded
		case i%500 == 100:
			p.Cut()
		case i == 1200:
			p.SetSilent(true)
		case i == 2400:
			b.awaitFailure()
			p.SetSilent(false)
			p.Cut()
		}
	}
	b.want(t, fmt.Sprintf("x %d 0", messages-1))
	b.receiver.mu.Lock()
	defer b.receiver.mu.Unlock()
	if len(b.events) != messages {
		t.Errorf("%d messages have arrived, want %d", len(b.events), messages)
	}
	for i, e := range b.events {
		if !strings.HasPrefix(e, fmt.Sprintf("x %d ", i)) {
			t.Fatalf("message %d is %s; want x %d", i, e, i)
		}
	}
	if len(b.gaps) != 0 {
		t.Errorf("%d gaps were reported, want none", len(b.gaps))
	}
}

// TestTailGap: a node that was away for longer than the stream lasts reports a gap.
func TestTailGap(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	p := nettest.StartProxy(t, s.Address())
	config := streams(p.Address())
	config.StreamSize = 100
	b := startBroker(t, config, redisengine.BrokerConfig{})
	config.Shards = single(s).Shards
	publisher := startBroker(t, config, redisengine.BrokerConfig{})
	b.subscribe("x")
	b.awaitHealth()
	p.SetSilent(true)
	for i := range 2000 {
		publisher.publish("x", strconv.Itoa(i), centrifuge.PublishOptions{})
	}
	b.awaitFailure()
	p.SetSilent(false)
	p.Cut()
	b.wantDelivery("x")
	if n, ok := s.Do("XLEN", "centrifugo.bus").(int64); !ok || n > 400 {
		t.Errorf("the stream has %d entries, want about 100", n)
	}
}

// TestTailRestart: a server that comes back without its data, or is replaced by another one,
// is read from the beginning, and a gap is reported.
func TestTailRestart(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, streams(s.Address()), redisengine.BrokerConfig{})
	b.subscribe("x")
	b.publish("x", "1", kept)
	b.want(t, "x 1 1")
	s.Kill()
	b.awaitFailure()
	s.Restart()
	b.persistently("x", "2", kept)
	b.want(t, "x 2 1")
	b.wantDelivery("x")
}

// TestTailSilence: a stopped server is noticed.
func TestTailSilence(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, streams(s.Address()), redisengine.BrokerConfig{})
	b.subscribe("x")
	b.awaitHealth()
	start := time.Now()
	s.Pause()
	b.awaitFailure()
	t.Logf("red after %v", time.Since(start).Round(10*time.Millisecond))
	s.Resume()
	b.awaitHealth()
	data := uniqueName("after")
	b.persistently("x", data, kept)
	b.want(t, "x "+data)
}

// TestTailLargeMessages: the number of entries that are read at once falls with their size.
func TestTailLargeMessages(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, streams(s.Address()), redisengine.BrokerConfig{})
	b.subscribe("x")
	large := strings.Repeat("x", 1<<20)
	for i := range 20 {
		b.publish("x", large+strconv.Itoa(i), centrifuge.PublishOptions{})
	}
	for i := range 20 {
		b.want(t, "x "+large+strconv.Itoa(i))
	}
}
