package auth

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

var errKeyNotInSet = errors.New("the key set has no key with this kid")

// keySet is the key set of one URL.
type keySet struct {
	// Static after construction
	id   keySetID
	sets *KeySets

	used time.Time // guarded by sets.mu

	// Guarded by mu
	mu      sync.Mutex
	keys    setKeys
	fetched time.Time // when the keys were requested; zero: never
	tried   time.Time // when the last fetch was started; zero: never
	err     error     // of the last fetch that has ended
	// absent holds the kids that were looked for and not in the set when it was fetched
	// last. A fetch starts it again.
	absent map[string]struct{}
	flight *flight // nil: none
}

// flight is a fetch that is running.
type flight struct {
	done chan struct{} // closed when err is set
	err  error
}

// find returns the keys with a kid. It fetches the set if the kid is not in it, unless
// that was done recently. Whether a kid is absent is decided only by a fetch that
// began after the kid was looked for: a provider may have published it meanwhile.
func (s *keySet) find(ctx context.Context, r *remoteKeys, kid string) ([]setKey, error) {
	s.mu.Lock()
	now := s.sets.now()
	due := s.tried.IsZero() || now.Sub(s.tried) >= refetchInterval
	if keys := s.keys[kid]; keys != nil {
		if s.flight == nil && due && now.Sub(s.fetched) >= maxKeySetAge {
			_, _ = s.startLocked(r, now)
		}
		s.mu.Unlock()
		return keys, nil
	}
	f, mine := s.flight, false
	switch {
	case f != nil:
	case due:
		var err error
		if f, err = s.startLocked(r, now); err != nil {
			s.mu.Unlock()
			return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, err)
		}
		mine = true
	default:
		defer s.mu.Unlock()
		return nil, s.recentLocked(kid)
	}
	s.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, context.Cause(ctx))
	}
	if f.err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeysUnavailable, f.err)
	}
	return s.afterFetch(kid, mine)
}

// recentLocked returns the answer for a kid that is not in a set which was fetched, or
// could not be fetched, recently.
func (s *keySet) recentLocked(kid string) error {
	if s.err != nil {
		return fmt.Errorf("%w: %w", ErrKeysUnavailable, s.err)
	}
	if _, absent := s.absent[kid]; absent {
		return errKeyNotInSet
	}
	return fmt.Errorf("%w: the key set has no key with this kid and was fetched less than %v ago", ErrKeysUnavailable, refetchInterval)
}

// afterFetch returns the keys with a kid after a successful fetch, which the caller has
// started if mine is set.
func (s *keySet) afterFetch(kid string, mine bool) ([]setKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if keys := s.keys[kid]; keys != nil {
		return keys, nil
	}
	if !mine {
		return nil, s.recentLocked(kid)
	}
	if len(s.absent) < maxAbsent {
		s.absent[kid] = struct{}{}
	}
	return nil, errKeyNotInSet
}

// startLocked starts a fetch. It goes on when the caller no longer waits for it.
func (s *keySet) startLocked(r *remoteKeys, now time.Time) (*flight, error) {
	if err := s.sets.begin(); err != nil {
		return nil, err
	}
	f := &flight{done: make(chan struct{})}
	s.flight, s.tried = f, now
	go func() {
		defer s.sets.end()
		keys, left, err := s.fetch(r)
		s.finish(f, now, keys, left, err)
	}()
	return f, nil
}

// fetch gets the set. A panic of a decoder is an error, because it would end the process.
func (s *keySet) fetch(r *remoteKeys) (keys setKeys, left []string, err error) {
	defer func() {
		if caught := recover(); caught != nil {
			err = fmt.Errorf("panic: %v\n%s", caught, debug.Stack())
		}
	}()
	location := s.id.url
	if s.id.openID {
		if location, err = s.sets.discover(r.client, s.id.url); err != nil {
			return nil, nil, err
		}
	}
	body, err := s.sets.get(r.client, location)
	if err != nil {
		return nil, nil, fmt.Errorf("key set: %w", err)
	}
	return parseKeySet(body, s.id.openID)
}

// finish keeps the result of a fetch and wakes those that wait for it. A fetch that failed
// leaves the keys that are known.
func (s *keySet) finish(f *flight, started time.Time, keys setKeys, left []string, err error) {
	k := s.sets
	s.mu.Lock()
	s.flight, s.err, f.err = nil, err, err
	if err == nil {
		s.keys, s.fetched, s.absent = keys, started, map[string]struct{}{}
	}
	known := len(s.keys)
	s.mu.Unlock()
	close(f.done)
	endpoint := printable(s.id.url)
	if err != nil {
		k.failed.Add(1)
		k.log.Error("key set not fetched, known keys remain valid", "endpoint", endpoint, "known_keys", known, "error", err)
		return
	}
	k.fetched.Add(1)
	k.ignored.Add(uint64(len(left)))
	if len(left) > 0 {
		k.log.Info("entries of the key set ignored", "endpoint", endpoint, "count", len(left), "first", left[0])
	}
	k.log.Debug("key set fetched", "endpoint", endpoint, "keys", known)
}
