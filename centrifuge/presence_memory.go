package centrifuge

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"time"

	"centrifugo/centrifuge/internal/wheel"
)

// defaultPresenceTTL is more than twice the interval at which entries are
// renewed (protocol.md 6.10).
const defaultPresenceTTL = 60 * time.Second

var _ PresenceManager = (*MemoryPresence)(nil)

var errNoClientInfo = errors.New("adding presence: no client info")

// MemoryPresence is the presence manager of a node that is alone. An entry that
// was not renewed for the TTL is not seen any more, and its memory is given back.
type MemoryPresence struct {
	// Static after construction.
	ttl    time.Duration
	start  time.Time // times are kept as durations since then
	seed   maphash.Seed
	wheel  *wheel.Wheel
	shards [memoryShards]presenceShard
}

// presenceShard holds some of the channels. All entries live equally long, so a
// list in the order of their renewal is also the order in which they expire.
type presenceShard struct {
	// Static after construction.
	presence *MemoryPresence
	timer    wheel.Timer // set while there are entries

	// Guarded by mu.
	mu       sync.RWMutex
	closed   bool
	channels shrinkingMap[*presenceChannel]
	oldest   *presenceEntry
	newest   *presenceEntry
}

// presenceChannel holds who is subscribed to a channel.
type presenceChannel struct {
	name    string
	entries shrinkingMap[*presenceEntry] // by client
	users   shrinkingMap[int]            // number of entries by user
}

type presenceEntry struct {
	channel    *presenceChannel
	client     string
	info       *ClientInfo
	expires    time.Duration
	prev, next *presenceEntry
}

// NewMemoryPresence returns a manager that must be closed. A ttl of zero means 60
// seconds; it should be more than twice the interval of renewals.
func NewMemoryPresence(ttl time.Duration) *MemoryPresence {
	if ttl <= 0 {
		ttl = defaultPresenceTTL
	}
	p := &MemoryPresence{ttl: ttl, start: time.Now(), seed: maphash.MakeSeed(), wheel: wheel.New(memoryTick, 1)}
	for i := range p.shards {
		s := &p.shards[i]
		s.presence, s.timer.Owner = p, s
	}
	return p
}

// Presence implements PresenceManager. The infos are shared and must not be changed.
func (p *MemoryPresence) Presence(ctx context.Context, channel string) (map[string]*ClientInfo, error) {
	s, err := p.reading(ctx, channel)
	if err != nil {
		return nil, err
	}
	defer s.mu.RUnlock()
	c := s.channels.get(channel)
	if c == nil {
		return map[string]*ClientInfo{}, nil
	}
	infos := make(map[string]*ClientInfo, len(c.entries.items))
	for client, e := range c.entries.items {
		infos[client] = e.info
	}
	return infos, nil
}

// PresenceStats implements PresenceManager. Its time does not depend on how many
// are subscribed.
func (p *MemoryPresence) PresenceStats(ctx context.Context, channel string) (PresenceStats, error) {
	s, err := p.reading(ctx, channel)
	if err != nil {
		return PresenceStats{}, err
	}
	defer s.mu.RUnlock()
	c := s.channels.get(channel)
	if c == nil {
		return PresenceStats{}, nil
	}
	return PresenceStats{NumClients: len(c.entries.items), NumUsers: len(c.users.items)}, nil
}

// AddPresence implements PresenceManager. Info must not be changed afterwards.
func (p *MemoryPresence) AddPresence(ctx context.Context, channel, client string, info *ClientInfo) error {
	if info == nil {
		return errNoClientInfo
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	s := p.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrShutdown
	}
	now := time.Since(p.start)
	s.expireLocked(now)
	c := s.channels.get(channel)
	if c == nil {
		c = &presenceChannel{name: channel}
		s.channels.set(channel, c)
	}
	e := c.entries.get(client)
	if e == nil {
		e = &presenceEntry{channel: c, client: client}
		c.entries.set(client, e)
	} else {
		c.countUser(e.info.User, -1)
		s.unlinkLocked(e)
	}
	e.info, e.expires = info, later(now, p.ttl)
	c.countUser(info.User, 1)
	s.appendLocked(e)
	if s.oldest == e { // the only one: the timer was not set, or for one that is gone
		p.wheel.Set(&s.timer, p.ttl)
	}
	return nil
}

// RemovePresence implements PresenceManager.
func (p *MemoryPresence) RemovePresence(ctx context.Context, channel, client, _ string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s := p.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrShutdown
	}
	if c := s.channels.get(channel); c != nil {
		if e := c.entries.get(client); e != nil {
			s.removeLocked(e)
		}
	}
	return nil
}

// Close implements PresenceManager.
func (p *MemoryPresence) Close(context.Context) error {
	for i := range p.shards {
		s := &p.shards[i]
		s.mu.Lock()
		s.closed, s.channels, s.oldest, s.newest = true, shrinkingMap[*presenceChannel]{}, nil, nil
		s.mu.Unlock()
	}
	p.wheel.Close()
	return nil
}

// Expired implements wheel.Owner.
func (s *presenceShard) Expired(t *wheel.Timer, _ time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(s.presence.start)
	s.expireLocked(now)
	if s.oldest != nil {
		s.presence.wheel.Set(t, s.oldest.expires-now)
	}
}

// reading returns the channel's shard locked for reading, without expired entries.
func (p *MemoryPresence) reading(ctx context.Context, channel string) (*presenceShard, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := p.shard(channel)
	s.mu.RLock()
	for !s.closed {
		now := time.Since(p.start)
		if s.oldest == nil || s.oldest.expires > now {
			return s, nil
		}
		s.mu.RUnlock()
		s.mu.Lock()
		s.expireLocked(now)
		s.mu.Unlock()
		s.mu.RLock()
	}
	s.mu.RUnlock()
	return nil, ErrShutdown
}

func (p *MemoryPresence) shard(channel string) *presenceShard {
	return &p.shards[maphash.String(p.seed, channel)%memoryShards]
}

func (s *presenceShard) expireLocked(now time.Duration) {
	for s.oldest != nil && s.oldest.expires <= now {
		s.removeLocked(s.oldest)
	}
}

func (s *presenceShard) removeLocked(e *presenceEntry) {
	s.unlinkLocked(e)
	c := e.channel
	c.countUser(e.info.User, -1)
	c.entries.remove(e.client)
	if len(c.entries.items) == 0 {
		s.channels.remove(c.name)
	}
}

func (s *presenceShard) appendLocked(e *presenceEntry) {
	e.prev, e.next = s.newest, nil
	if s.newest != nil {
		s.newest.next = e
	} else {
		s.oldest = e
	}
	s.newest = e
}

func (s *presenceShard) unlinkLocked(e *presenceEntry) {
	if e.prev != nil {
		e.prev.next = e.next
	} else {
		s.oldest = e.next
	}
	if e.next != nil {
		e.next.prev = e.prev
	} else {
		s.newest = e.prev
	}
	e.prev, e.next = nil, nil
}

func (c *presenceChannel) countUser(user string, delta int) {
	if n := c.users.get(user) + delta; n > 0 {
		c.users.set(user, n)
	} else {
		c.users.remove(user)
	}
}
