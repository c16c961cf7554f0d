package revocation

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"centrifugo/internal/await"
)

// sharedTable is a table in memory. The tests of package redisengine and of package app use
// one in Redis; this one is for tests with a clock.
type sharedTable struct {
	mu      sync.Mutex
	epoch   int
	version uint64
	rows    map[string]row
	page    int
	err     error
	reads   int
}

type row struct {
	value    string
	version  uint64
	expireAt time.Time
}

func newSharedTable() *sharedTable { return &sharedTable{epoch: 1, rows: map[string]row{}, page: 1000} }

func (t *sharedTable) Set(_ context.Context, key, value string, ttl time.Duration) error {
	return t.write(key, value, ttl, false)
}

func (t *sharedTable) SetAbsent(_ context.Context, key, value string, ttl time.Duration) error {
	return t.write(key, value, ttl, true)
}

func (t *sharedTable) Delete(_ context.Context, key string) error {
	return t.write(key, "", time.Hour, false)
}

func (t *sharedTable) write(key, value string, ttl time.Duration, absent bool) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.err != nil {
		return t.err
	}
	t.expire()
	if _, there := t.rows[key]; there == absent && (absent || value == "") {
		return nil
	}
	t.version++
	r := row{value: value, version: t.version}
	if ttl > 0 {
		r.expireAt = time.Now().Add(ttl)
	}
	t.rows[key] = r
	return nil
}

func (t *sharedTable) expire() {
	for key, r := range t.rows {
		if !r.expireAt.IsZero() && !time.Now().Before(r.expireAt) {
			delete(t.rows, key)
		}
	}
}

func (t *sharedTable) Changes(ctx context.Context, since Position) (changes []Change, next Position, more bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.reads++
	if t.err != nil || ctx.Err() != nil {
		return nil, next, false, errors.Join(t.err, ctx.Err())
	}
	t.expire()
	next = Position{Epoch: fmt.Sprint(t.epoch), Version: t.version}
	if since.Epoch != next.Epoch {
		since.Version = 0
	}
	var keys []string
	for key, r := range t.rows {
		if r.version > since.Version {
			keys = append(keys, key)
		}
	}
	slices.SortFunc(keys, func(a, b string) int { return int(t.rows[a].version) - int(t.rows[b].version) })
	if more = len(keys) >= t.page; more {
		keys = keys[:t.page]
		next.Version = t.rows[keys[len(keys)-1]].version
	}
	for _, key := range keys {
		changes = append(changes, Change{Key: key, Value: t.rows[key].value})
	}
	return changes, next, more, nil
}

// lose forgets everything, as a server without persistence that is started again.
func (t *sharedTable) lose() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.epoch, t.version, t.rows = t.epoch+1, 0, map[string]row{}
}

func (t *sharedTable) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = err
}

// node is a registry that runs.
type node struct {
	*Registry
	log *await.Output

	mu       sync.Mutex
	enforced []Entry
}

func startNode(t *testing.T, table Table, notify func(context.Context) error) *node {
	t.Helper()
	n := &node{log: new(await.Output)}
	n.Registry = New(Options{
		Table: table, Notify: notify, Log: slog.New(slog.NewTextHandler(n.log, nil)),
		Enforce: func(entries []Entry) {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.enforced = append(n.enforced, entries...)
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); n.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return n
}

// took returns what was enforced since it was called last.
func (n *node) took() []Entry {
	n.mu.Lock()
	defer n.mu.Unlock()
	got := n.enforced
	n.enforced = nil
	return got
}

func (n *node) put(t *testing.T, e Entry) {
	t.Helper()
	if err := n.Put(t.Context(), e); err != nil {
		t.Fatal(err)
	}
}

func TestEntries(t *testing.T) {
	for _, table := range []func() Table{func() Table { return nil }, func() Table { return newSharedTable() }} {
		synctest.Test(t, func(t *testing.T) {
			n := startNode(t, table(), nil)
			synctest.Wait()
			now := time.Now().Unix()
			n.put(t, Entry{Kind: BlockUser, Key: "blocked"})
			n.put(t, Entry{Kind: BlockUser, Key: "for an hour", ExpireAt: now + 3600})
			n.put(t, Entry{Kind: RevokeToken, Key: "t1", ExpireAt: now + 3600})
			n.put(t, Entry{Kind: InvalidateTokens, Key: "u", IssuedBefore: now})
			n.put(t, Entry{Kind: InvalidateTokens, Key: "u", IssuedBefore: now - 100, ExpireAt: now + 60}) // weaker
			for user, want := range map[string]bool{"blocked": true, "for an hour": true, "u": false, "t1": false, "": false} {
				if got := n.Blocked(user); got != want {
					t.Errorf("user %q blocked: %v; want %v", user, got, want)
				}
			}
			tokens := map[Token]bool{
				{User: "x", ID: "t1"}:                    true,
				{User: "x", ID: "t2"}:                    false,
				{User: "x", ID: "u"}:                     false,
				{User: "u", IssuedAt: now - 1}:           true,
				{User: "u", IssuedAt: now}:               false,
				{User: "u"}:                              true,
				{User: ""}:                               false,
				{User: "u", ID: "t1", IssuedAt: now}:     true,
				{User: "blocked", IssuedAt: now}:         false,
				{User: "u", ID: "t2", IssuedAt: now + 1}: false,
			}
			for token, want := range tokens {
				if got := n.Revoked(token); got != want {
					t.Errorf("token %+v revoked: %v; want %v", token, got, want)
				}
			}
			if got := n.Stats().Entries; got != 4 {
				t.Errorf("%d entries; want 4", got)
			}
			time.Sleep(time.Hour + 2*purgeInterval)
			if n.Blocked("for an hour") || n.Revoked(Token{ID: "t1"}) || !n.Blocked("blocked") || !n.Revoked(Token{User: "u"}) {
				t.Error("after an hour the entries without an end are not exactly those in force; want only these")
			}
			if got := n.Stats().Entries; got != 2 {
				t.Errorf("%d entries after an hour; want 2", got)
			}
			if err := n.Remove(t.Context(), BlockUser, "blocked"); err != nil || n.Blocked("blocked") {
				t.Errorf("removed: %v, blocked %v; want nil, false", err, n.Blocked("blocked"))
			}
			if err := n.Remove(t.Context(), BlockUser, "never blocked"); err != nil {
				t.Errorf("nothing to remove: %v; want no error", err)
			}
		})
	}
}

func TestRefusedEntries(t *testing.T) {
	r := New(Options{})
	now := time.Now().Unix()
	for _, e := range []Entry{
		{}, {Key: strings.Repeat("x", MaxKey+1)}, {Key: "\xff"}, {Key: "x", ExpireAt: now - 1}, {Key: "x", ExpireAt: -1},
		{Key: "x", ExpireAt: now * 1000}, {Kind: InvalidateTokens, Key: "x", IssuedBefore: now * 1000}, {Kind: InvalidateTokens, Key: "x", IssuedBefore: -1},
	} {
		if err := r.Put(t.Context(), e); !errors.Is(err, ErrEntry) {
			t.Errorf("%.80q, %+v: %v; want ErrEntry", e.Key, e, err)
		}
	}
	if err := r.Remove(t.Context(), BlockUser, ""); !errors.Is(err, ErrEntry) {
		t.Errorf("removing nothing: %v; want ErrEntry", err)
	}
	if err := r.Put(t.Context(), Entry{Key: strings.Repeat("x", MaxKey)}); err != nil {
		t.Errorf("the longest key: %v", err)
	}
}

// Another node enforces within a second, without being told, and at once if it is.
func TestOtherNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSharedTable()
		var nodes []*node
		told := 0
		notify := func(context.Context) error {
			told++
			for _, n := range nodes {
				n.Poke()
			}
			return nil
		}
		nodes = append(nodes, startNode(t, table, notify), startNode(t, table, notify))
		silent := startNode(t, table, func(context.Context) error { return errors.New("no way") })
		synctest.Wait()
		block := Entry{Kind: BlockUser, Key: "u"}
		nodes[0].put(t, block)
		synctest.Wait()
		for i, n := range nodes {
			if got := n.took(); !slices.Contains(got, block) || !n.Blocked("u") {
				t.Errorf("node %d has enforced %v at once; want %v", i, got, block)
			}
		}
		time.Sleep(time.Second)
		if got := silent.took(); !slices.Contains(got, block) {
			t.Errorf("the node that was not told has enforced %v after a second; want %v", got, block)
		}
		revoke := Entry{Kind: RevokeToken, Key: "t"}
		silent.put(t, revoke)
		if !strings.Contains(silent.log.String(), "no way") {
			t.Errorf("log %q; want the failure to tell others", silent.log)
		}
		time.Sleep(time.Second)
		for i, n := range nodes {
			if got := n.took(); !slices.Equal(got, []Entry{revoke}) {
				t.Errorf("node %d has enforced %v within a second; want %v once", i, got, revoke)
			}
		}
		if told != 1 {
			t.Errorf("others were told %d times; want once", told)
		}
		if err := nodes[1].Remove(t.Context(), BlockUser, "u"); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if nodes[0].Blocked("u") || nodes[1].Blocked("u") {
			t.Error("the user is still blocked; want the entry removed")
		}
		late := startNode(t, table, nil)
		if err := late.Wait(t.Context()); err != nil || !late.Revoked(Token{ID: "t"}) || late.Blocked("u") {
			t.Errorf("a node that starts later: %v, token revoked %v, user blocked %v; want nil, true, false", err, late.Revoked(Token{ID: "t"}), late.Blocked("u"))
		}
	})
}

// While the table cannot be reached, what is known stays in force, nothing can be added, and
// a node that starts does not know anything.
func TestTableDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSharedTable()
		n := startNode(t, table, nil)
		n.put(t, Entry{Key: "u"})
		table.fail(errors.New("down"))
		time.Sleep(10 * time.Second)
		if !n.Blocked("u") {
			t.Error("the entry is no longer in force; want it kept")
		}
		if err := n.Put(t.Context(), Entry{Key: "v"}); err == nil || errors.Is(err, ErrEntry) || n.Blocked("v") {
			t.Errorf("added: %v, blocked %v; want an error and no entry", err, n.Blocked("v"))
		}
		if got := strings.Count(n.log.String(), "not followed"); got != 1 {
			t.Errorf("%d lines about the failure; want 1:\n%s", got, n.log)
		}
		late := startNode(t, table, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		if err := late.Wait(ctx); !errors.Is(err, ErrNotLoaded) {
			t.Errorf("waiting for a node that starts: %v; want ErrNotLoaded", err)
		}
		table.fail(nil)
		if err := late.Wait(t.Context()); err != nil || !late.Blocked("u") {
			t.Errorf("when the table is there again: %v, blocked %v; want nil, true", err, late.Blocked("u"))
		}
		time.Sleep(time.Second)
		if !strings.Contains(n.log.String(), "followed again") || n.Stats().Failures == 0 {
			t.Errorf("%+v, log %q; want failures and the end of them", n.Stats(), n.log)
		}
	})
}

// Nodes write back what a table has lost, but not what was removed meanwhile.
func TestTableLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSharedTable()
		a, b := startNode(t, table, nil), startNode(t, table, nil)
		now := time.Now().Unix()
		a.put(t, Entry{Key: "u"})
		a.put(t, Entry{Kind: InvalidateTokens, Key: "u", IssuedBefore: now, ExpireAt: now + 3600})
		time.Sleep(time.Second)
		table.lose()
		time.Sleep(time.Second)
		late := startNode(t, table, nil)
		if err := late.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, n := range []*node{a, b, late} {
			if !n.Blocked("u") || !n.Revoked(Token{User: "u", IssuedAt: now - 1}) {
				t.Errorf("node %d has lost an entry; want both", i)
			}
		}
		if got := table.version; got != 2 {
			t.Errorf("%d writes to restore two entries; want 2", got)
		}
		if err := late.Remove(t.Context(), BlockUser, "u"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		if a.Blocked("u") || b.Blocked("u") {
			t.Error("the user is still blocked; want the entry removed")
		}
	})
}

// A node that was cut off for longer than the table remembers removals has none that it
// missed.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSharedTable()
		a := startNode(t, table, nil)
		far := &farTable{sharedTable: table}
		b := startNode(t, far, nil)
		a.put(t, Entry{Key: "u"})
		a.put(t, Entry{Key: "v"})
		time.Sleep(time.Second)
		far.setCut(true)
		if err := a.Remove(t.Context(), BlockUser, "u"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Hour)
		if !b.Blocked("u") {
			t.Error("Blocked on a node that was cut off = true; want false")
		}
		far.setCut(false)
		time.Sleep(time.Second)
		if b.Blocked("u") || !b.Blocked("v") || a.Blocked("u") {
			t.Errorf("blocked: u %v, v %v; want only v", b.Blocked("u"), b.Blocked("v"))
		}
	})
}

// farTable is a table that one node cannot always reach.
type farTable struct {
	*sharedTable
	cutMu sync.Mutex
	cut   bool
}

func (t *farTable) setCut(cut bool) {
	t.cutMu.Lock()
	defer t.cutMu.Unlock()
	t.cut = cut
}

func (t *farTable) Changes(ctx context.Context, since Position) ([]Change, Position, bool, error) {
	t.cutMu.Lock()
	cut := t.cut
	t.cutMu.Unlock()
	if cut {
		return nil, Position{}, false, errors.New("cut off")
	}
	return t.sharedTable.Changes(ctx, since)
}

// Many pages, in which an entry is removed while they are read.
func TestPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSharedTable()
		table.page = 3
		a := startNode(t, table, nil)
		for i := range 10 {
			a.put(t, Entry{Key: fmt.Sprint(i)})
		}
		b := startNode(t, &removesAfterPage{sharedTable: table, key: "block:0"}, nil)
		if err := b.Wait(t.Context()); err != nil || b.Blocked("0") || b.Stats().Entries != 9 {
			t.Errorf("%v, removed entry in force: %v, %d entries; want 9", err, b.Blocked("0"), b.Stats().Entries)
		}
	})
}

// removesAfterPage removes an entry after the first page was read.
type removesAfterPage struct {
	*sharedTable
	key  string
	once sync.Once
}

func (t *removesAfterPage) Changes(ctx context.Context, since Position) ([]Change, Position, bool, error) {
	changes, next, more, err := t.sharedTable.Changes(ctx, since)
	t.once.Do(func() { _ = t.Delete(ctx, t.key) })
	return changes, next, more, err
}

// Calls at the same time share a look at the table.
func TestPutsAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := startNode(t, newSharedTable(), nil)
		var puts sync.WaitGroup
		for i := range 100 {
			puts.Go(func() {
				if err := n.Put(t.Context(), Entry{Key: fmt.Sprint(i)}); err != nil || !n.Blocked(fmt.Sprint(i)) {
					t.Errorf("%d: %v, blocked %v; want nil, true", i, err, n.Blocked(fmt.Sprint(i)))
				}
			})
		}
		puts.Wait()
		synctest.Wait()
		if got := len(n.took()); got < 100 {
			t.Errorf("%d entries enforced; want 100", got)
		}
	})
}

// What a table should not have, such as entries of a later version, is ignored.
func TestMalformed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newSharedTable()
		for key, value := range map[string]string{"block:": "{}", "later:x": "{}", "block:u": "[]", "block:v": "x", "block:w": `{"later":1}`} {
			if err := table.Set(t.Context(), key, value, 0); err != nil {
				t.Fatal(err)
			}
		}
		n := startNode(t, table, nil)
		if err := n.Wait(t.Context()); err != nil || n.Stats().Entries != 1 || !n.Blocked("w") {
			t.Errorf("%v, %+v; want one entry", err, n.Stats())
		}
		if got := strings.Count(n.log.String(), "revocation ignored"); got != 1 {
			t.Errorf("%d lines; want 1:\n%s", got, n.log)
		}
	})
}

func FuzzParseEntry(f *testing.F) {
	f.Add("block:u", `{"expire_at":1}`)
	f.Add("invalidate:u", `{"issued_before":1}`)
	f.Fuzz(func(t *testing.T, key, value string) {
		e, err := parseEntry(key, value)
		if err != nil {
			return
		}
		again, err := parseEntry(e.tableKey(), e.tableValue())
		if err != nil || again != e || e.tableKey() != key {
			t.Errorf("%q %q: %+v, then %+v, %v; want the same entry, of the same key", key, value, e, again, err)
		}
	})
}

// Every connect command asks; that must cost nothing.
func TestAsksWithoutAllocating(t *testing.T) {
	r := New(Options{})
	for i := range 1000 {
		if err := r.Put(t.Context(), Entry{Kind: Kind(i % int(kinds)), Key: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	got := testing.AllocsPerRun(100, func() {
		r.Blocked("u")
		r.Revoked(Token{User: "u", ID: "t"})
		if err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
	})
	if got != 0 {
		t.Errorf("%v allocations; want 0", got)
	}
}

func BenchmarkRevoked(b *testing.B) {
	r := New(Options{Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	for i := range 1000 {
		if err := r.Put(b.Context(), Entry{Kind: RevokeToken, Key: fmt.Sprint(i)}); err != nil {
			b.Fatal(err)
		}
	}
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			r.Revoked(Token{User: "u", ID: "t"})
		}
	})
}
