package revocation

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// followInterval is how often a node looks for changes that it was not told of, and how
	// long it takes at most until they have their effect.
	followInterval = 500 * time.Millisecond
	// syncTimeout bounds one look.
	syncTimeout = 5 * time.Second
	// maxCopyAge is the time without a successful look after which the copy is made again: the
	// table remembers for an hour what was deleted.
	maxCopyAge = 30 * time.Minute
	// purgeInterval is the time between removals of entries that have expired.
	purgeInterval = time.Minute
	// maxEntries bounds the entries of a node.
	maxEntries = 1_000_000
)

var errFull = fmt.Errorf("there are %d revocations already", maxEntries)

// ErrNotLoaded reports that the node has not read the entries yet.
var ErrNotLoaded = errors.New("revocations are not loaded yet")

// Position is a place in the log of changes of a table.
type Position struct {
	Epoch   string
	Version uint64
}

// Change is an entry of a table that has changed. Value is empty if it was deleted.
type Change struct{ Key, Value string }

// Table keeps entries for all nodes. Its methods are safe for concurrent use.
type Table interface {
	// Set writes an entry; a TTL of zero means without a limit.
	Set(ctx context.Context, key, value string, ttl time.Duration) error
	// SetAbsent is Set for an entry that is neither there nor was deleted recently.
	SetAbsent(ctx context.Context, key, value string, ttl time.Duration) error
	// Delete removes an entry, if there is one. The table remembers for an hour that it did.
	Delete(ctx context.Context, key string) error
	// Changes returns what has changed after a position, and the position after that. If its
	// epoch is another one, the table was lost, and the changes are those since its beginning.
	Changes(ctx context.Context, since Position) (changes []Change, next Position, more bool, err error)
}

// Options of a Registry.
type Options struct {
	// Table keeps the entries; nil: this node alone, as long as it runs.
	Table Table
	// Notify makes all other nodes call Poke. It may be nil.
	Notify func(ctx context.Context) error
	// Enforce applies new entries to the connections of this node. Run calls it.
	Enforce func(entries []Entry)
	// Log receives failures; nil means slog.Default.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// Registry is a node's copy of all entries. Its methods are safe for concurrent use.
type Registry struct {
	// Static after construction
	options Options
	log     *slog.Logger
	now     func() time.Time
	loaded  chan struct{} // closed when the entries have been read once
	poke    chan struct{} // capacity 1: look for changes, or enforce

	size      atomic.Int64 // of entries
	malformed atomic.Uint64
	failures  atomic.Uint64

	wanted atomic.Uint64 // calls of follow that have begun

	// Guarded by syncing, which is locked before mu
	syncing  sync.Mutex
	followed uint64 // the last call of follow whose changes have been read
	position Position
	synced   time.Time
	failing  bool

	// Guarded by mu
	mu      sync.RWMutex
	entries [kinds]map[string]Entry
	pending []Entry // to be enforced
}

// New returns a Registry. Run must be running for changes to arrive and to have an effect
// on connections.
func New(o Options) *Registry {
	r := &Registry{options: o, log: o.Log, now: o.Now, loaded: make(chan struct{}), poke: make(chan struct{}, 1)}
	if r.log == nil {
		r.log = slog.Default()
	}
	if r.now == nil {
		r.now = time.Now
	}
	for kind := range r.entries {
		r.entries[kind] = map[string]Entry{}
	}
	if o.Table == nil {
		close(r.loaded)
	}
	return r
}

// Token is what a token says about itself.
type Token struct {
	User     string
	ID       string // claim jti; empty: none
	IssuedAt int64  // claim iat, Unix seconds; zero: none, which is before any time
}

// Wait returns when the entries have been read once, or ErrNotLoaded when ctx ends before.
func (r *Registry) Wait(ctx context.Context) error {
	if r.Loaded() {
		return nil
	}
	select {
	case <-r.loaded:
		return nil
	case <-ctx.Done():
		return ErrNotLoaded
	}
}

// Loaded reports whether the entries have been read once.
func (r *Registry) Loaded() bool {
	select {
	case <-r.loaded:
		return true
	default:
		return false
	}
}

// Now returns the time by the registry's clock.
func (r *Registry) Now() time.Time { return r.now() }

// Blocked reports whether a user is blocked.
func (r *Registry) Blocked(user string) bool {
	if user == "" || r.size.Load() == 0 {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, found := r.findLocked(BlockUser, user)
	return found
}

// Revoked reports whether a token is revoked by itself or with others of its user.
func (r *Registry) Revoked(t Token) bool {
	if r.size.Load() == 0 {
		return false
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if t.ID != "" {
		if _, found := r.findLocked(RevokeToken, t.ID); found {
			return true
		}
	}
	e, found := r.findLocked(InvalidateTokens, t.User)
	return found && t.User != "" && t.IssuedAt < e.IssuedBefore
}

func (r *Registry) findLocked(kind Kind, key string) (Entry, bool) {
	e, found := r.entries[kind][key]
	return e, found && !e.expired(r.now())
}

// Stats are figures of a Registry.
type Stats struct {
	Entries  int64
	Failures uint64 // looks for changes that have failed
}

// Stats returns the figures.
func (r *Registry) Stats() Stats {
	return Stats{Entries: r.size.Load(), Failures: r.failures.Load()}
}

// Put adds an entry. One of InvalidateTokens refuses also what an earlier one for the
// same user refuses. When Put returns, this node refuses what the entry says, and the
// connections that it is about are being closed on all nodes. The error wraps ErrEntry if
// the entry cannot be used.
func (r *Registry) Put(ctx context.Context, e Entry) error {
	now := r.now()
	if err := e.check(now); err != nil {
		return err
	}
	if r.size.Load() >= maxEntries {
		return errFull
	}
	if e.Kind == InvalidateTokens {
		r.mu.RLock()
		if before, found := r.findLocked(e.Kind, e.Key); found {
			e = e.merged(before)
		}
		r.mu.RUnlock()
	}
	if r.options.Table == nil {
		r.apply([]Entry{e}, nil, false)
		return nil
	}
	if err := r.options.Table.Set(ctx, e.tableKey(), e.tableValue(), e.ttl(now)); err != nil {
		return fmt.Errorf("writing a revocation: %w", err)
	}
	r.changed(ctx, []Entry{e}, nil)
	return nil
}

// Remove removes the entry of a kind with a key, if there is one.
func (r *Registry) Remove(ctx context.Context, kind Kind, key string) error {
	e := Entry{Kind: kind, Key: key}
	if err := e.check(r.now()); err != nil {
		return err
	}
	if r.options.Table == nil {
		r.apply(nil, []Entry{e}, false)
		return nil
	}
	if err := r.options.Table.Delete(ctx, e.tableKey()); err != nil {
		return fmt.Errorf("removing a revocation: %w", err)
	}
	r.changed(ctx, nil, []Entry{e})
	return nil
}

// changed reads back what this node has written, in the order in which the table has it,
// and tells the others. What fails is logged: every node looks by itself, too.
func (r *Registry) changed(ctx context.Context, set, removed []Entry) {
	if r.follow(ctx) != nil {
		r.apply(set, removed, false)
	}
	if r.options.Notify == nil {
		return
	}
	if err := r.options.Notify(ctx); err != nil {
		r.log.Warn("other nodes not told of a revocation, they find it themselves", "error", err)
	}
}

// Poke makes Run look for changes at once.
func (r *Registry) Poke() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// apply changes entries. With reset they replace all others.
func (r *Registry) apply(set, removed []Entry, reset bool) {
	r.mu.Lock()
	if reset {
		for kind := range r.entries {
			r.entries[kind] = map[string]Entry{}
		}
	}
	for _, e := range removed {
		delete(r.entries[e.Kind], e.Key)
	}
	for _, e := range set {
		r.entries[e.Kind][e.Key] = e
	}
	r.pending = append(r.pending, set...)
	size := 0
	for _, entries := range r.entries {
		size += len(entries)
	}
	r.size.Store(int64(size))
	r.mu.Unlock()
	if len(set) > 0 {
		r.Poke()
	}
}

// purge removes entries that have expired.
func (r *Registry) purge() {
	now := r.now()
	var expired []Entry
	r.mu.RLock()
	for _, entries := range r.entries {
		for _, e := range entries {
			if e.expired(now) {
				expired = append(expired, e)
			}
		}
	}
	r.mu.RUnlock()
	r.apply(nil, expired, false)
}

// Run follows the changes and enforces them until ctx ends.
func (r *Registry) Run(ctx context.Context) {
	look := time.NewTicker(followInterval)
	defer look.Stop()
	purge := time.NewTicker(purgeInterval)
	defer purge.Stop()
	for {
		if r.options.Table != nil {
			_ = r.follow(ctx) // it has logged the error
		}
		r.enforce()
		select {
		case <-ctx.Done():
			return
		case <-r.poke:
		case <-look.C:
		case <-purge.C:
			r.purge()
		}
	}
}

func (r *Registry) enforce() {
	r.mu.Lock()
	entries := r.pending
	r.pending = nil
	r.mu.Unlock()
	if len(entries) > 0 && r.options.Enforce != nil {
		r.options.Enforce(entries)
	}
}
