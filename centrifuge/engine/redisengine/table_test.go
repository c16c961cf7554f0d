package redisengine_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
)

// tableCopy is a copy of a table.
type tableCopy struct {
	table    *redisengine.Table
	position redisengine.TablePosition
	entries  map[string]string
	resets   int
}

func newTable(t *testing.T, c redisengine.Config) *redisengine.Table {
	t.Helper()
	table := redisengine.NewTable(connect(t, c), "things")
	closeAtEnd(t, table)
	return table
}

func newCopy(t *testing.T, c redisengine.Config) *tableCopy {
	t.Helper()
	return &tableCopy{table: newTable(t, c), entries: map[string]string{}}
}

// follow brings the copy up to date, and returns it as text.
func (c *tableCopy) follow(t *testing.T) string {
	t.Helper()
	for more := true; more; {
		entries, next, m, err := c.table.Changes(t.Context(), c.position)
		if err != nil {
			t.Fatal(err)
		}
		if next.Epoch != c.position.Epoch {
			c.entries, c.resets = map[string]string{}, c.resets+1
		}
		for _, e := range entries {
			c.entries[e.Key] = e.Value
			if e.Value == "" {
				delete(c.entries, e.Key)
			}
		}
		c.position, more = next, m
	}
	var b strings.Builder
	for _, key := range slices.Sorted(maps.Keys(c.entries)) {
		fmt.Fprintf(&b, "%s=%s ", key, c.entries[key])
	}
	return strings.TrimSpace(b.String())
}

func (c *tableCopy) expect(t *testing.T, want string) {
	t.Helper()
	if got := c.follow(t); got != want {
		t.Errorf("table: got %q; want %q", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestTable(t *testing.T) {
	t.Parallel()
	for _, d := range deployments {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			config := patient(d.start(t))
			ctx := t.Context()
			a, b := newCopy(t, config), newCopy(t, config)
			a.expect(t, "")
			must(t, a.table.Set(ctx, "x", "1", 0))
			must(t, b.table.Set(ctx, "y", "2", 0))
			a.expect(t, "x=1 y=2")
			must(t, a.table.Set(ctx, "x", "3", 0))
			must(t, a.table.SetAbsent(ctx, "x", "4", 0))
			must(t, a.table.SetAbsent(ctx, "z", "5", 0))
			must(t, a.table.Delete(ctx, "never there"))
			b.expect(t, "x=3 y=2 z=5")
			must(t, b.table.Delete(ctx, "y"))
			must(t, b.table.SetAbsent(ctx, "y", "6", 0)) // it was deleted just now
			a.expect(t, "x=3 z=5")
			b.expect(t, "x=3 z=5")
			must(t, b.table.Set(ctx, "y", "7", 0))
			a.expect(t, "x=3 y=7 z=5")
			newCopy(t, config).expect(t, "x=3 y=7 z=5")
			if a.resets != 1 || b.resets != 1 {
				t.Errorf("copies were made %d and %d times; want once, at the start", a.resets, b.resets)
			}
		})
	}
}

// A table of several pages, whose older entries change while it is read.
func TestTablePages(t *testing.T) {
	t.Parallel()
	config := single(redistest.Start(t))
	a := newCopy(t, config)
	const n = 2500
	for i := range n {
		must(t, a.table.Set(t.Context(), fmt.Sprintf("%04d", i), "a", 0))
	}
	b := newCopy(t, config)
	entries, next, more, err := b.table.Changes(t.Context(), b.position)
	if err != nil || !more || len(entries) != 1000 || next.Version != 1000 {
		t.Fatalf("first page: %d entries, %+v, %v, %v; want 1000 and more", len(entries), next, more, err)
	}
	b.position = next
	for _, e := range entries {
		b.entries[e.Key] = e.Value
	}
	must(t, a.table.Set(t.Context(), "0000", "b", 0))
	must(t, a.table.Delete(t.Context(), "2000"))
	a.follow(t)
	if got, want := b.follow(t), a.follow(t); got != want || len(b.entries) != n-1 || b.entries["0000"] != "b" {
		t.Errorf("copies differ: %d and %d entries; want %d", len(b.entries), len(a.entries), n-1)
	}
}

// Entries that have expired leave the server, with the next change.
func TestTableExpiry(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a := newCopy(t, single(server))
	must(t, a.table.Set(t.Context(), "short", "1", time.Millisecond))
	must(t, a.table.Set(t.Context(), "long", "2", time.Hour))
	must(t, a.table.Set(t.Context(), "extended", "3", time.Millisecond))
	must(t, a.table.Set(t.Context(), "extended", "4", 0))
	await.Until(t, "the end of the entry", func() bool {
		must(t, a.table.Set(t.Context(), "other", "5", 0))
		return newCopy(t, single(server)).follow(t) == "extended=4 long=2 other=5"
	})
}

// A server that has lost the table, or its newest changes, begins a new epoch, so
// that no copy takes the new version 1 for one that it knows.
func TestTableIsLost(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, b := newCopy(t, single(server)), newCopy(t, single(server))
	must(t, a.table.Set(t.Context(), "x", "1", 0))
	must(t, a.table.Set(t.Context(), "y", "2", 0))
	a.expect(t, "x=1 y=2")
	b.expect(t, "x=1 y=2")
	server.Do("flushall")
	must(t, a.table.SetAbsent(t.Context(), "z", "3", 0))
	a.expect(t, "z=3")
	b.expect(t, "z=3")
	if a.resets != 2 || b.resets != 2 {
		t.Errorf("copies were made %d and %d times; want twice", a.resets, b.resets)
	}
	ahead := a.position
	ahead.Version += 5
	_, next, _, err := a.table.Changes(t.Context(), ahead)
	if err != nil || next.Epoch == ahead.Epoch {
		t.Errorf("position of the future: %+v, %v; want another epoch than %s", next, err, ahead.Epoch)
	}
	b.expect(t, "z=3")
	if b.resets != 3 {
		t.Errorf("a copy was made %d times; want three times", b.resets)
	}
}

// A server with too little memory may evict any of the keys. The copies are made again, so that
// nodes can write back what is lost, and nothing of what is left is taken for the table.
func TestTableIsEvicted(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	for _, key := range []string{"meta", "values", "log"} {
		a := newCopy(t, single(server))
		must(t, a.table.Set(t.Context(), "x", "1", 0))
		must(t, a.table.Set(t.Context(), "y", "2", time.Hour))
		a.expect(t, "x=1 y=2")
		before := a.position.Epoch
		server.Do("del", "centrifugo.table."+key+".things")
		a.expect(t, "")
		if a.position.Epoch == before {
			t.Errorf("without the key %s: epoch %s as before; want another one", key, before)
		}
		must(t, a.table.SetAbsent(t.Context(), "x", "1", 0))
		a.expect(t, "x=1")
		newCopy(t, single(server)).expect(t, "x=1")
		must(t, a.table.Delete(t.Context(), "x"))
		a.expect(t, "")
		newCopy(t, single(server)).expect(t, "")
	}
	// A write that finds no metadata drops what is left, too.
	a := newCopy(t, single(server))
	must(t, a.table.Set(t.Context(), "x", "1", 0))
	server.Do("del", "centrifugo.table.meta.things")
	must(t, a.table.Set(t.Context(), "y", "2", 0))
	a.expect(t, "y=2")
}
