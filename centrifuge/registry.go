package centrifuge

import (
	"context"
	"hash/maphash"
	"iter"
	"slices"
	"sync"
	"sync/atomic"
)

const registryShards = 64

// maxScanned is the number of connections of a user up to which a slice holds them.
// A set is used above it, because a connection is searched for when it ends.
const maxScanned = 32

// registry holds the node's connections: all of them by id, those that have
// connected by user, and those that have a session by session. Each lookup takes
// constant time.
type registry struct {
	seed      maphash.Seed
	byID      [registryShards]clientShard // by id of the connection
	bySession [registryShards]clientShard
	byUser    [registryShards]userShard
	total     atomic.Int64  // all connections
	known     atomic.Int64  // connections that have connected
	empty     chan struct{} // one token when total falls to zero
}

type clientShard struct {
	mu      sync.RWMutex
	clients map[string]*Client // nil until the first one is added
}

// userShard has each user in one of its maps.
type userShard struct {
	mu   sync.RWMutex
	few  map[string][]*Client
	many map[string]map[*Client]struct{} // users with more than maxScanned connections
}

func newRegistry() *registry {
	r := &registry{seed: maphash.MakeSeed(), empty: make(chan struct{}, 1)}
	for i := range r.byUser {
		r.byUser[i].few = make(map[string][]*Client)
		r.byUser[i].many = make(map[string]map[*Client]struct{})
	}
	return r
}

func (r *registry) shard(key string) uint64 { return maphash.String(r.seed, key) % registryShards }

func (r *registry) add(c *Client) {
	r.total.Add(1)
	r.byID[r.shard(c.id)].put(c.id, c)
}

// addUser makes a connection findable by its user, unless it is closed. It reports
// false, and adds nothing, if the user has limit connections. The number of anonymous
// connections is not limited.
func (r *registry) addUser(c *Client, limit int) bool {
	user := c.UserID()
	if user == "" {
		limit = 0
	}
	added, ok := r.byUser[r.shard(user)].add(user, c, limit)
	if added {
		r.known.Add(1)
	}
	return ok
}

// addSession makes a connection findable by its session, unless it is closed.
func (r *registry) addSession(c *Client, session string) {
	r.bySession[r.shard(session)].put(session, c)
}

// remove removes a connection altogether.
func (r *registry) remove(c *Client) {
	r.forget(c)
	r.byID[r.shard(c.id)].delete(c.id)
	if r.total.Add(-1) == 0 {
		select {
		case r.empty <- struct{}{}:
		default:
		}
	}
}

// forget undoes addUser and addSession.
func (r *registry) forget(c *Client) {
	r.removeUser(c, c.UserID())
	if session := c.sessionID(); session != "" {
		r.bySession[r.shard(session)].delete(session)
	}
}

func (r *registry) removeUser(c *Client, user string) {
	if r.byUser[r.shard(user)].remove(user, c) {
		r.known.Add(-1)
	}
}

// client returns the connection with an id, or nil.
func (r *registry) client(id string) *Client { return r.byID[r.shard(id)].get(id) }

// session returns the connection with a session, or nil.
func (r *registry) session(session string) *Client { return r.bySession[r.shard(session)].get(session) }

// ofUser returns the connections of a user.
func (r *registry) ofUser(user string) []*Client { return r.byUser[r.shard(user)].connections(user) }

// all yields the connections there are. A connection that is added or removed
// during the iteration may or may not be yielded. No lock is held meanwhile.
func (r *registry) all() iter.Seq[*Client] {
	return func(yield func(*Client) bool) {
		for i := range r.byID {
			for _, c := range r.byID[i].snapshot() {
				if !yield(c) {
					return
				}
			}
		}
	}
}

func (r *registry) numUsers() (n int) {
	for i := range r.byUser {
		sh := &r.byUser[i]
		sh.mu.RLock()
		n += len(sh.few) + len(sh.many)
		sh.mu.RUnlock()
	}
	return n
}

// waitEmpty returns when the last connection has been removed, or with the error of ctx.
func (r *registry) waitEmpty(ctx context.Context) error {
	for r.total.Load() > 0 {
		select {
		case <-r.empty:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// put adds c unless it is closed. The state is read under the lock: a connection that is
// closed later is removed later.
func (sh *clientShard) put(key string, c *Client) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if c.isClosed() {
		return
	}
	if sh.clients == nil {
		sh.clients = make(map[string]*Client)
	}
	sh.clients[key] = c
}

func (sh *clientShard) delete(key string) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	delete(sh.clients, key)
}

func (sh *clientShard) get(key string) *Client {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.clients[key]
}

func (sh *clientShard) snapshot() []*Client {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	clients := make([]*Client, 0, len(sh.clients))
	for _, c := range sh.clients {
		clients = append(clients, c)
	}
	return clients
}

// add adds c unless it is closed, as put does. ok is false if the user has limit
// connections; a limit of zero is none.
func (sh *userShard) add(user string, c *Client, limit int) (added, ok bool) {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	few, many := sh.few[user], sh.many[user]
	switch {
	case c.isClosed():
		return false, true
	case limit > 0 && len(few)+len(many) >= limit:
		return false, false
	case many != nil:
		many[c] = struct{}{}
	case len(few) < maxScanned:
		sh.few[user] = append(few, c)
	default:
		many = make(map[*Client]struct{}, 2*maxScanned)
		for _, other := range append(few, c) {
			many[other] = struct{}{}
		}
		sh.many[user] = many
		delete(sh.few, user)
	}
	return true, true
}

// remove reports whether c was there.
func (sh *userShard) remove(user string, c *Client) bool {
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if many := sh.many[user]; many != nil {
		_, found := many[c]
		delete(many, c)
		if len(many) == 0 {
			delete(sh.many, user)
		}
		return found
	}
	few := sh.few[user]
	i := slices.Index(few, c)
	switch {
	case i < 0:
		return false
	case len(few) == 1:
		delete(sh.few, user)
		return true
	}
	last := len(few) - 1
	few[i], few[last] = few[last], nil
	sh.few[user] = few[:last]
	return true
}

func (sh *userShard) connections(user string) []*Client {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	many := sh.many[user]
	if many == nil {
		return slices.Clone(sh.few[user])
	}
	clients := make([]*Client, 0, len(many))
	for c := range many {
		clients = append(clients, c)
	}
	return clients
}
