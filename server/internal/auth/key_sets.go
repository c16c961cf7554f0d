package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/server/internal/config"
)

// ErrKeysUnavailable reports that the key of a token is not known and could not be
// fetched. The token may be valid: the client should try again.
var ErrKeysUnavailable = errors.New("keys are not available")

const (
	// refetchInterval is the time between two fetches of a key set, so that tokens with
	// invented key ids cause no more requests than that.
	refetchInterval = 10 * time.Second
	// maxKeySetAge is the time after which a key set is fetched again in the background. A
	// key that the provider has removed is valid no longer than that.
	maxKeySetAge = 10 * time.Minute
	// fetchTimeout bounds one request, and fetchAttempts the requests of one fetch
	// (server.md 3.3).
	fetchTimeout  = time.Second
	fetchAttempts = 2
	// maxKeySets bounds the sets that are kept. Without
	// insecure_skip_jwks_endpoint_safety_check the configuration names all of them.
	maxKeySets = 1000
	// maxFetches bounds the fetches at a time.
	maxFetches = 64
	// maxAbsent bounds the key ids that a set remembers as absent.
	maxAbsent = 256
)

// KeySetOptions are options of NewKeySets. The zero value is for production.
type KeySetOptions struct {
	// Log receives failures; nil means slog.Default.
	Log *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// Timeout bounds one request; zero means one second (server.md 3.3).
	Timeout time.Duration
}

// KeySets fetches JSON Web Key Sets and keeps them. A set is fetched when a token needs it
// first, again when a token has a key id that is not in it, at most once in ten seconds,
// and every ten minutes while it is used. While it cannot be fetched, the keys that
// are known remain valid.
//
// A KeySets outlives the verifiers that use it, so a reload of the configuration loses no
// keys. It is safe for concurrent use. Close ends it.
type KeySets struct {
	// Static after construction
	log     *slog.Logger
	now     func() time.Time
	timeout time.Duration
	ctx     context.Context //nolint:containedctx // ends with Close; fetches outlive the commands that start them
	cancel  context.CancelFunc

	fetched, failed, ignored atomic.Uint64

	// Guarded by mu
	mu      sync.Mutex
	sets    map[keySetID]*keySet
	flights sync.WaitGroup
	flying  int
	closed  bool
}

// NewKeySets returns a KeySets. It has no goroutines while nothing is being fetched.
func NewKeySets(o KeySetOptions) *KeySets {
	k := &KeySets{log: o.Log, now: o.Now, timeout: o.Timeout, sets: map[keySetID]*keySet{}}
	if k.log == nil {
		k.log = slog.Default()
	}
	if k.now == nil {
		k.now = time.Now
	}
	if k.timeout <= 0 {
		k.timeout = fetchTimeout
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// Close ends the fetches that are running and waits for them. Later ones fail.
func (k *KeySets) Close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	k.cancel()
	k.flights.Wait()
}

// KeySetStats are counters of a KeySets.
type KeySetStats struct {
	Fetched uint64 // fetches that succeeded
	Failed  uint64 // fetches that failed
	Ignored uint64 // entries of sets that cannot verify tokens, counted with each fetch
}

// Stats returns the counters.
func (k *KeySets) Stats() KeySetStats {
	return KeySetStats{Fetched: k.fetched.Load(), Failed: k.failed.Load(), Ignored: k.ignored.Load()}
}

// keySetID identifies a key set.
type keySetID struct {
	url    string // of the set or, with openID, of the issuer
	openID bool
	tls    config.TLS
}

// remoteKeys are keys that are fetched.
type remoteKeys struct {
	sets     *KeySets
	client   *http.Client
	openID   bool
	tls      config.TLS
	template *urlTemplate // of the set or, with openID, the issuer
}

// find returns the keys with a kid. The error is, or wraps, ErrKeysUnavailable if they
// may exist. Groups are the values of the variables of the template.
func (r *remoteKeys) find(ctx context.Context, kid string, groups map[string]string) ([]setKey, error) {
	if kid == "" {
		return nil, errors.New("the token names no key (kid)")
	}
	if len(kid) > maxKeyID {
		return nil, errKeyNotInSet
	}
	location, err := r.template.resolve(groups)
	if err != nil {
		return nil, err
	}
	s := r.sets.set(keySetID{url: location, openID: r.openID, tls: r.tls})
	return s.find(ctx, r, kid)
}

// set returns the set with an id. A new one replaces the least recently used if there are
// too many.
func (k *KeySets) set(id keySetID) *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	s := k.sets[id]
	if s == nil {
		if len(k.sets) >= maxKeySets {
			k.evictLocked()
		}
		s = &keySet{id: id, sets: k}
		k.sets[id] = s
	}
	s.used = k.now()
	return s
}

func (k *KeySets) evictLocked() {
	var oldest *keySet
	for _, s := range k.sets {
		if oldest == nil || s.used.Before(oldest.used) {
			oldest = s
		}
	}
	delete(k.sets, oldest.id)
}

// begin reserves a fetch. The caller calls end afterwards unless begin returns an error.
func (k *KeySets) begin() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch {
	case k.closed:
		return errors.New("the server stops")
	case k.flying >= maxFetches:
		return fmt.Errorf("%d key sets are being fetched", k.flying)
	}
	k.flying++
	k.flights.Add(1)
	return nil
}

func (k *KeySets) end() {
	k.mu.Lock()
	k.flying--
	k.mu.Unlock()
	k.flights.Done()
}
