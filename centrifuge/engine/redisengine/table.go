package redisengine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"
)

const (
	// tablePage is how many changes one call returns at most.
	tablePage = 1000
	// TableMemory is how long the log of a table remembers that an entry was deleted. A copy
	// that has not been brought up to date for longer must be made again.
	TableMemory = time.Hour
)

// Table is a table of texts by key in Redis, shared by nodes. Entries may expire. Its log
// of changes lets each node keep a copy, so that reading costs no round trip. It is meant
// for at most some 100,000 entries that change rarely: it is on one shard, and in a
// cluster in one slot. The server's clock decides what has expired. Its methods are safe for
// concurrent use; each takes one round trip.
type Table struct {
	tenant

	name string // static after construction
}

// TableEntry is an entry that has changed. Value is empty if it was deleted.
type TableEntry struct{ Key, Value string }

// TablePosition is a place in the log of changes. The zero value is before the first one.
type TablePosition struct {
	Epoch   string
	Version uint64
}

// NewTable returns the table with a name, which must be closed.
func NewTable(r *Redis, name string) *Table { return &Table{tenant: tenant{redis: r}, name: name} }

// Close ends the use of the connections.
func (t *Table) Close(context.Context) error {
	t.leave()
	return nil
}

// Set writes an entry, which must not be empty. A TTL of zero means that it does not
// expire; another is at least a millisecond.
func (t *Table) Set(ctx context.Context, key, value string, ttl time.Duration) error {
	return t.write(ctx, key, value, ttl, "0")
}

// SetAbsent is Set for an entry that is neither there nor was deleted in the last hour.
// Otherwise it does nothing.
func (t *Table) SetAbsent(ctx context.Context, key, value string, ttl time.Duration) error {
	return t.write(ctx, key, value, ttl, "1")
}

// Delete removes an entry, if there is one.
func (t *Table) Delete(ctx context.Context, key string) error {
	return t.write(ctx, key, "", TableMemory, "0")
}

func (t *Table) write(ctx context.Context, key, value string, ttl time.Duration, onlyAbsent string) error {
	life := "0"
	if ttl > 0 {
		life = milliseconds(ttl)
	}
	_, err := t.exec(ctx, tableSet, newEpoch(), key, value, life, onlyAbsent)
	return err
}

var errTable = errors.New("not a table")

// Changes returns the entries that have changed after a position, each in its present
// state, and the position after them. There are more if more is set. If the epoch of the
// position differs from that of since, the table was lost, or its newest changes: the
// entries are those of the table from its beginning.
func (t *Table) Changes(ctx context.Context, since TablePosition) (entries []TableEntry, next TablePosition, more bool, err error) {
	answer, err := t.exec(ctx, tableChanges, newEpoch(), since.Epoch, unsignedDecimal(since.Version), strconv.Itoa(tablePage))
	if err != nil {
		return nil, TablePosition{}, false, err
	}
	parts, err := answer.AsStrSlice()
	if err != nil || len(parts) < 2 || len(parts)%2 != 0 {
		return nil, TablePosition{}, false, fmt.Errorf("reading table %s: unexpected answer of %d parts: %w", t.name, len(parts), cmp.Or(err, errTable))
	}
	next.Epoch = parts[0]
	if next.Version, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return nil, TablePosition{}, false, fmt.Errorf("reading table %s: version: %w", t.name, err)
	}
	for i := 2; i < len(parts); i += 2 {
		entries = append(entries, TableEntry{Key: parts[i], Value: parts[i+1]})
	}
	return entries, next, len(entries) == tablePage, nil
}

func (t *Table) exec(ctx context.Context, s *script, args ...string) (rueidis.RedisResult, error) {
	if err := t.use(); err != nil {
		return rueidis.RedisResult{}, err
	}
	l := t.redis.layout
	keys := []string{l.key("table.meta", t.name), l.key("table.values", t.name), l.key("table.log", t.name), l.key("table.expiry", t.name)}
	return t.redis.shard(t.name).exec(ctx, s, keys, args)
}
