package centrifuge

import (
	"context"
	"hash/maphash"
	"slices"
	"sync"
	"sync/atomic"
)

const registryShards = 64

// registry knows the node's connections: all of them by id, those that have
// connected by user.
type registry struct {
	seed   maphash.Seed
	byID   [registryShards]idShard
	byUser [registryShards]userShard
	total  atomic.Int64  // of all
	known  atomic.Int64  // of those that have connected
	empty  chan struct{} // one token when total falls to zero
}

type idShard struct {
	mu      sync.RWMutex
	clients map[string]*Client
}

type userShard struct {
	mu    sync.RWMutex
	users map[string][]*Client
}

func newRegistry() *registry {
	r := &registry{seed: maphash.MakeSeed(), empty: make(chan struct{}, 1)}
	for i := range registryShards {
		r.byID[i].clients = make(map[string]*Client)
		r.byUser[i].users = make(map[string][]*Client)
	}
	return r
}

func (r *registry) ids(id string) *idShard { return &r.byID[maphash.String(r.seed, id)%registryShards] }

func (r *registry) users(user string) *userShard {
	return &r.byUser[maphash.String(r.seed, user)%registryShards]
}

func (r *registry) add(c *Client) {
	r.total.Add(1)
	sh := r.ids(c.id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	sh.clients[c.id] = c
}

// addUser makes a connection findable by its user, whose connections it counts;
// those of anonymous users are not limited.
func (r *registry) addUser(c *Client, limit int) bool {
	user := c.UserID()
	sh := r.users(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if limit > 0 && user != "" && len(sh.users[user]) >= limit {
		return false
	}
	sh.users[user] = append(sh.users[user], c)
	r.known.Add(1)
	return true
}

func (r *registry) remove(c *Client) {
	r.removeUser(c, c.UserID())
	sh := r.ids(c.id)
	sh.mu.Lock()
	delete(sh.clients, c.id)
	sh.mu.Unlock()
	if r.total.Add(-1) == 0 {
		select {
		case r.empty <- struct{}{}:
		default:
		}
	}
}

func (r *registry) removeUser(c *Client, user string) {
	sh := r.users(user)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	clients := sh.users[user]
	i := slices.Index(clients, c)
	if i < 0 {
		return
	}
	r.known.Add(-1)
	if len(clients) == 1 {
		delete(sh.users, user)
		return
	}
	clients[i] = clients[len(clients)-1]
	clients[len(clients)-1] = nil
	sh.users[user] = clients[:len(clients)-1]
}

// client returns the connection with an id, or nil.
func (r *registry) client(id string) *Client {
	sh := r.ids(id)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.clients[id]
}

// ofUser returns the connections of a user.
func (r *registry) ofUser(user string) []*Client {
	sh := r.users(user)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return slices.Clone(sh.users[user])
}

func (r *registry) each(f func(*Client)) {
	for i := range r.byID {
		sh := &r.byID[i]
		sh.mu.RLock()
		clients := make([]*Client, 0, len(sh.clients))
		for _, c := range sh.clients {
			clients = append(clients, c)
		}
		sh.mu.RUnlock()
		for _, c := range clients {
			f(c)
		}
	}
}

func (r *registry) numUsers() (n int) {
	for i := range r.byUser {
		sh := &r.byUser[i]
		sh.mu.RLock()
		n += len(sh.users)
		sh.mu.RUnlock()
	}
	return n
}

// waitEmpty returns when the last connection is gone.
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
