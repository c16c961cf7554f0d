package redisengine

import (
	"testing"
)

func TestJump(t *testing.T) {
	for _, c := range []struct {
		key     uint64
		buckets int
		want    int
	}{{1, 1, 0}, {42, 57, 43}, {0xDEAD10CC, 1, 0}, {0xDEAD10CC, 666, 361}, {256, 1024, 520}} {
		if got := jump(c.key, c.buckets); got != c.want {
			t.Errorf("jump(%d, %d) = %d; want %d", c.key, c.buckets, got, c.want)
		}
	}
	for text, want := range map[string]uint64{"": 0xcbf29ce484222325, "a": 0xaf63dc4c8601ec8c, "foobar": 0x85944171f73967e8} {
		if got := hash(text); got != want {
			t.Errorf("hash(%q) = %#x; want %#x", text, got, want)
		}
	}
}

// TestJumpMovesFew: a shard at the end takes about its part of the channels, and no others
// move.
func TestJumpMovesFew(t *testing.T) {
	const keys = 10_000
	moved := 0
	for key := range uint64(keys) {
		key *= 0x9e3779b97f4a7c15
		before, after := jump(key, 4), jump(key, 5)
		if before != after {
			moved++
			if after != 4 {
				t.Fatalf("key %d moves from %d to %d; want 4", key, before, after)
			}
		}
	}
	if moved < keys/5*8/10 || moved > keys/5*12/10 {
		t.Errorf("%d of %d keys move, want about a fifth", moved, keys)
	}
}

func TestLayout(t *testing.T) {
	plain, clustered := layout{prefix: "p"}, layout{prefix: "p", cluster: true}
	parts := layout{prefix: "p", cluster: true, partitions: 1}
	for _, c := range []struct{ got, want string }{
		{plain.key("stream", "news:a"), "p.stream.news:a"},
		{plain.key("stream.meta", "news:a"), "p.stream.meta.news:a"},
		{plain.result("news:a", "key"), "p.result.news:a.key"},
		{plain.messages("news:a"), "p.client.news:a"},
		{clustered.key("presence.data", "news:a"), "p.presence.data.{news:a}"},
		{clustered.result("news:a", "key"), "p.result.{news:a}.key"},
		{clustered.messages("news:a"), "p.client.news:a"},
		{clustered.key("stream", "}a"), "p.stream.{-}}a."},
		{parts.key("stream", "a"), "p.stream.{0}.a"},
		{parts.messages("a"), "p.client.{0}.a"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
	for _, l := range []layout{plain, clustered, parts, {prefix: "a.b", cluster: true, partitions: 64}} {
		for _, channel := range []string{"", "a", "a.b", "{x}", ".client."} {
			if got, ok := l.channel(l.messages(channel)); !ok || got != channel {
				t.Errorf("%+v: channel %q came back as %q, %v; want it as it was", l, channel, got, ok)
			}
		}
	}
}
