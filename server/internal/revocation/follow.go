package revocation

import (
	"context"
	"errors"
	"fmt"
)

// follow brings the copy up to date: it has what was written before the call. Calls that
// wait for each other share a look. It logs when that begins to fail and when it succeeds
// again.
func (r *Registry) follow(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, syncTimeout)
	defer cancel()
	mine := r.wanted.Add(1)
	r.syncing.Lock()
	defer r.syncing.Unlock()
	if r.followed >= mine {
		return nil
	}
	begun := r.wanted.Load()
	err := r.followLocked(ctx)
	switch {
	case err == nil:
		r.followed = begun
		if r.failing {
			r.log.Info("revocations are followed again")
		}
		r.failing = false
	case !errors.Is(ctx.Err(), context.Canceled): // the caller has not gone
		r.failures.Add(1)
		if !r.failing {
			r.log.Error("revocations not followed, those that are known stay in force", "error", err)
		}
		r.failing = true
	}
	return err
}

// changeSet holds the last change of each entry.
type changeSet map[string]struct {
	Entry
	deleted bool
}

func (r *Registry) followLocked(ctx context.Context) error {
	now := r.now()
	since := r.position
	reset := since.Epoch == "" || now.Sub(r.synced) > maxCopyAge
	if reset {
		since = Position{}
	}
	changed := changeSet{}
	for more := true; more; {
		changes, next, m, err := r.options.Table.Changes(ctx, since)
		if err != nil {
			return fmt.Errorf("reading revocations: %w", err)
		}
		if next.Epoch != since.Epoch { // from the beginning
			reset = true
			clear(changed)
		}
		for _, c := range changes {
			r.parse(c, changed)
		}
		since, more = next, m
	}
	var set, removed []Entry
	for _, c := range changed {
		if c.deleted || c.expired(now) {
			removed = append(removed, c.Entry)
		} else {
			set = append(set, c.Entry)
		}
	}
	if reset && r.position.Epoch != "" && since.Epoch != r.position.Epoch {
		set = append(set, r.restore(ctx, changed)...)
	}
	if reset || len(changed) > 0 {
		r.apply(set, removed, reset)
	}
	r.position, r.synced = since, now
	select {
	case <-r.loaded:
	default:
		close(r.loaded)
	}
	return nil
}

// parse adds a change. What it does not understand, of a newer version of this server, is
// counted and logged once.
func (r *Registry) parse(c Change, to changeSet) {
	e, err := parseKey(c.Key)
	if err == nil && c.Value != "" {
		e, err = parseEntry(c.Key, c.Value)
	}
	if err != nil {
		if r.malformed.Add(1) == 1 {
			r.log.Warn("revocation ignored", "error", err)
		}
		return
	}
	to[c.Key] = struct {
		Entry
		deleted bool
	}{e, c.Value == ""}
}

// restore writes the entries of this node into a table that has lost them, unless they
// were removed since, and returns them.
func (r *Registry) restore(ctx context.Context, there changeSet) []Entry {
	now := r.now()
	var missing []Entry
	r.mu.RLock()
	for _, entries := range r.entries {
		for _, e := range entries {
			if _, found := there[e.tableKey()]; !found && !e.expired(now) {
				missing = append(missing, e)
			}
		}
	}
	r.mu.RUnlock()
	written := 0
	for i := range missing {
		e := &missing[i]
		if err := r.options.Table.SetAbsent(ctx, e.tableKey(), e.tableValue(), e.ttl(now)); err != nil {
			r.log.Error("revocation not restored, it stays in force on this node", "error", err)
			break
		}
		written++
	}
	r.log.Warn("the engine had lost revocations", "missing", len(missing), "restored", written)
	return missing
}
