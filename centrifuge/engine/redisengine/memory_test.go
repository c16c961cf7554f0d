package redisengine_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/redistest"
)

// keptAll keeps all that these tests publish into a channel.
var keptAll = centrifuge.PublishOptions{HistorySize: 100, HistoryTTL: time.Hour}

// TestMaxMemory: a server that reaches maxmemory evicts keys of streams or refuses to write.
// A client has then recovered with what it has missed, or is told that it has not; a
// publication was accepted, or there is an error.
func TestMaxMemory(t *testing.T) {
	t.Parallel()
	for name, lists := range map[string]bool{"streams": false, "lists": true} {
		config := redisengine.BrokerConfig{HistoryUseLists: lists}
		t.Run("allkeys-lru, "+name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t, "--maxmemory-policy", "allkeys-lru")
			b, other := startBroker(t, single(s), config), startBroker(t, single(s), config)
			testEvicting(t, s, b, other)
		})
		t.Run("noeviction, "+name, func(t *testing.T) {
			t.Parallel()
			s := redistest.Start(t)
			testFull(t, s, startBroker(t, single(s), config))
		})
	}
	t.Run("noeviction, bus streams", func(t *testing.T) {
		t.Parallel()
		s := redistest.Start(t)
		config := single(s)
		config.Streams = true
		b := startBroker(t, config, redisengine.BrokerConfig{})
		testFull(t, s, b)
		s.Do("CONFIG", "SET", "maxmemory", "1")
		if _, err := b.try("plain", "1", centrifuge.PublishOptions{}); err == nil {
			t.Error("publishing through a bus stream that cannot grow: no error; want one")
		}
	})
}

// testEvicting publishes into new channels until the server has evicted keys, and looks at
// what clients would get that were away since the third publication of each.
func testEvicting(t *testing.T, s *redistest.Server, b, other *running) {
	t.Helper()
	s.Do("CONFIG", "SET", "maxmemory", strconv.Itoa(s.Number("used_memory")+1<<20))
	const before = 3
	published := make(map[string][]string)
	left := make(map[string]centrifuge.StreamPosition)
	publish := func(b *running, channel string) centrifuge.StreamPosition {
		data := fmt.Sprintf("%d in %s %s", len(published[channel])+1, channel, strings.Repeat("x", 1000))
		published[channel] = append(published[channel], data)
		return b.publish(channel, data, keptAll).StreamPosition
	}
	for s.Number("evicted_keys") < 100 {
		channel := fmt.Sprint("channel", len(left))
		for n := 1; n <= before+2; n++ {
			if at := publish(b, channel); n == before {
				left[channel] = at
			}
		}
	}
	attempts, recovered := 0, 0
	for channel, at := range left {
		for range 2 {
			for _, reader := range []*running{other, b} { // other has seen nothing
				attempts++
				ok, missed := reader.recovered(channel, at)
				if !ok {
					continue
				}
				recovered++
				var got []string
				for _, p := range missed {
					got = append(got, string(p.Data))
				}
				if want := published[channel][before:]; !slices.Equal(got, want) {
					t.Errorf("%s: recovered with %.30q; want %.30q", channel, got, want)
				}
			}
			publish(other, channel)
		}
	}
	if recovered == 0 || recovered == attempts {
		t.Errorf("%d of %d attempts have recovered; want some, but not all", recovered, attempts)
	}
	t.Logf("%d keys evicted, %d of %d recovered", s.Number("evicted_keys"), recovered, attempts)
}

// testFull fills the memory of a server that evicts nothing.
func testFull(t *testing.T, s *redistest.Server, b *running) {
	t.Helper()
	b.subscribe("old", "new")
	var at centrifuge.StreamPosition
	for n := range 3 {
		position := b.publish("old", fmt.Sprint("before ", n), keptAll).StreamPosition
		if n == 0 {
			at = position
		}
	}
	s.Do("CONFIG", "SET", "maxmemory", "1")
	once, delta, version := keptAll, keptAll, keptAll
	once.IdempotencyKey, delta.UseDelta, version.Version = "k", true, 7
	for name, opts := range map[string]centrifuge.PublishOptions{
		"history": keptAll, "history and key": once, "delta": delta, "version": version, "key": {IdempotencyKey: "k"},
	} {
		for _, channel := range []string{"old", "new"} {
			if got, err := b.try(channel, "refused", opts); err == nil {
				t.Errorf("publishing with %s into %s: %+v; want an error", name, channel, got)
			}
		}
	}
	if ok, missed := b.recovered("old", at); !ok || len(missed) != 2 {
		t.Errorf("recovered %v with %d publications; want true with 2", ok, len(missed))
	}
	b.history("unknown", centrifuge.HistoryOptions{}) // as a first subscriber does
	s.Do("CONFIG", "SET", "maxmemory", "0")
	if got := b.publish("old", "after", once); got.Suppressed != centrifuge.NotSuppressed || got.Epoch != at.Epoch || got.Offset != 4 {
		t.Errorf("publishing afterwards: %+v; want offset 4 in epoch %s", got, at.Epoch)
	}
	b.want(t, "old after 4")
	if b.has("old refused") || b.has("new refused") {
		t.Error("a publication that was refused has arrived; want none")
	}
}

// TestEvictedResult: without the result of an earlier publication, a repeated one is a new
// one. A result that outlives its stream names a position from which no client recovers.
func TestEvictedResult(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	b := startBroker(t, single(s), redisengine.BrokerConfig{})
	once := keptAll
	once.IdempotencyKey = "k"
	first := b.publish("x", "1", once)
	s.Do("DEL", "centrifugo.result.x.k")
	second := b.publish("x", "1", once)
	if second.Suppressed != centrifuge.NotSuppressed || second.Epoch != first.Epoch || second.Offset != first.Offset+1 {
		t.Errorf("repeating without the result: %+v after %+v; want the next offset", second, first)
	}
	s.Do("DEL", "centrifugo.stream.meta.x")
	if again := b.publish("x", "1", once); again.Suppressed != centrifuge.SuppressedIdempotency || again.StreamPosition != second.StreamPosition {
		t.Errorf("repeating without the metadata: %+v; want %+v again", again, second)
	}
	if ok, missed := b.recovered("x", second.StreamPosition); ok {
		t.Errorf("recovered from a position of a lost stream with %d publications; want it refused", len(missed))
	}
}

// TestEvictedPresence: without any one key, some of those that are present are not shown until
// they are renewed, and no others are shown.
func TestEvictedPresence(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	clients := map[string]*centrifuge.ClientInfo{"a": {Client: "a", User: "1"}, "b": {Client: "b", User: "1"}, "c": {Client: "c", User: "2"}}
	for _, mapping := range []bool{false, true} {
		p := redisengine.NewPresence(connect(t, single(s)), redisengine.PresenceConfig{UserMapping: mapping})
		closeAtEnd(t, p)
		for _, key := range []string{"data", "expire", "user.clients", "user.expire"} {
			channel := fmt.Sprintf("%s-%v", key, mapping)
			renew := func() {
				for client, info := range clients {
					if err := p.AddPresence(t.Context(), channel, client, info); err != nil {
						t.Fatal(err)
					}
				}
			}
			renew()
			s.Do("DEL", "centrifugo.presence."+key+"."+channel)
			present, err := p.Presence(t.Context(), channel)
			if err != nil {
				t.Fatal(err)
			}
			for client, info := range present {
				if clients[client] == nil || clients[client].User != info.User {
					t.Errorf("%s: %s of user %q is present; want only %v", channel, client, info.User, clients)
				}
			}
			renew()
			present, err = p.Presence(t.Context(), channel)
			stats, statsErr := p.PresenceStats(t.Context(), channel)
			if want := (centrifuge.PresenceStats{NumClients: 3, NumUsers: 2}); err != nil || statsErr != nil || len(present) != 3 || stats != want {
				t.Errorf("%s after a renewal: %d clients, %+v, %v, %v; want 3, %+v", channel, len(present), stats, err, statsErr, want)
			}
		}
	}
}
