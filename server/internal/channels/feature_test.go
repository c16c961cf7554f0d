package channels

import (
	"testing"
	"time"

	"centrifugo/server/internal/config"
)

func TestBatch(t *testing.T) {
	r := newRules(t, Settings{}, config.ChannelOptions{}, map[string]config.ChannelOptions{
		"slow":   {BatchMaxDelay: time.Second, BatchMaxSize: 10},
		"latest": {BatchMaxDelay: time.Millisecond, BatchFlushLatest: true},
		"tagged": {BatchMaxDelay: time.Millisecond, BatchFlushLatest: true, AllowTagsFilter: true},
	})
	for channel, want := range map[string]Batch{
		"plain":    {},
		"none:x":   {},
		"slow:x":   {MaxDelay: time.Second, MaxSize: 10},
		"latest:x": {MaxDelay: time.Millisecond, FlushLatest: true},
		"tagged:x": {MaxDelay: time.Millisecond, FlushLatest: true, ByTags: true},
	} {
		if got := r.Batch(channel); got != want {
			t.Errorf("%s: %+v, want %+v", channel, got, want)
		}
	}
}

// TestPatterns: a pattern stays in its namespace, and is private only if it says so.
func TestPatterns(t *testing.T) {
	r := newRules(t, Settings{}, config.ChannelOptions{AllowWildcards: true}, map[string]config.ChannelOptions{
		"wild": {AllowWildcards: true, Presence: true, AllowPresenceForClient: true, HistorySize: 1, HistoryTTL: time.Second,
			AllowHistoryForClient: true, AllowPublishForClient: true},
		"tame": {},
	})
	for channel, want := range map[string]struct {
		prefix      string
		ok, pattern bool
	}{
		"desk.1":       {"", true, false},
		"desk.*":       {"", true, true},
		">":            {"", true, true},
		"a>b.c*":       {"", true, false},
		"$desk.>":      {"$", true, true},
		"wild:desk.*":  {"wild:", true, true},
		"wild:desk.1":  {"wild:", true, false},
		"$wild:desk.*": {"$wild:", true, true},
		"tame:desk.*":  {"tame:", false, false},
		"none:desk.*":  {"none:", false, false},
		"w*:desk.1":    {"w*:", false, false},
	} {
		length, ok := r.PatternPrefix(channel)
		if got := channel[:length]; got != want.prefix || ok != want.ok {
			t.Errorf("PatternPrefix(%q) = %q, %v; want %q, %v", channel, got, ok, want.prefix, want.ok)
		}
		if got := r.Pattern(channel); got != want.pattern {
			t.Errorf("Pattern(%q) = %v; want %v", channel, got, want.pattern)
		}
	}
	query := ReadQuery{Channel: "wild:desk.*", User: "1"}
	if got := r.MayPresence(query).Outcome; got != NotAvailable {
		t.Errorf("presence of a pattern: %v; want %v", got, NotAvailable)
	}
	if got := r.MayHistory(query).Outcome; got != NotAvailable {
		t.Errorf("history of a pattern: %v; want %v", got, NotAvailable)
	}
	if got := r.MayPublish(PublishQuery{Channel: query.Channel, User: "1", Data: []byte("1")}).Outcome; got != BadRequest {
		t.Errorf("publishing to a pattern: %v; want %v", got, BadRequest)
	}
	if got := r.MaySubscribe(SubscribeQuery{Channel: query.Channel, User: "1"}).Outcome; got != Denied {
		t.Errorf("subscribing to a pattern without permission: %v; want %v", got, Denied)
	}
	if n := testing.AllocsPerRun(100, func() { r.PatternPrefix("wild:desk.1") }); n != 0 {
		t.Errorf("PatternPrefix: %v allocations; want none", n)
	}
}
