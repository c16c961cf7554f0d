package redisengine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"

	"github.com/redis/rueidis"
)

const defaultPresenceTTL = 60 * time.Second // server.md 10.4

// PresenceConfig configures a Presence; the zero value is complete.
type PresenceConfig struct {
	// TTL is how long an entry lives without being renewed, default 60 seconds. It should
	// be more than twice the interval of renewals, and the same for all nodes: reads, and
	// clients that come or leave, shorten longer lives. So a clock of the server that is set
	// back prolongs none, except with HashFieldTTL.
	TTL time.Duration
	// HashFieldTTL uses the time to live of the fields of hashes instead of a sorted set.
	// It needs Redis 7.4.
	HashFieldTTL bool
	// UserMapping counts the connections of each user, so that the cost of PresenceStats
	// does not depend on how many clients there are. All nodes must have the same value.
	UserMapping bool
}

// Presence keeps in Redis who is subscribed. Its methods are safe for concurrent use and
// take one round trip. The server's clock decides what has expired.
type Presence struct {
	tenant

	// Static after construction.
	config  PresenceConfig
	scripts presenceScripts
}

var _ centrifuge.PresenceManager = (*Presence)(nil)

// NewPresence returns a presence manager that must be closed.
func NewPresence(r *Redis, c PresenceConfig) *Presence {
	if c.TTL <= 0 {
		c.TTL = defaultPresenceTTL
	}
	p := &Presence{tenant: tenant{redis: r}, config: c, scripts: sortedSetScripts}
	if c.HashFieldTTL {
		p.scripts = fieldTTLScripts
	}
	return p
}

// Close implements centrifuge.PresenceManager.
func (p *Presence) Close(context.Context) error {
	p.leave()
	return nil
}

// Health returns nil if every shard can be used, or what is wrong.
func (p *Presence) Health() error {
	if err := p.use(); err != nil {
		return err
	}
	return p.redis.health()
}

func (p *Presence) exec(ctx context.Context, s *script, channel string, args ...string) (rueidis.RedisResult, error) {
	if err := p.use(); err != nil {
		return rueidis.RedisResult{}, err
	}
	l := p.redis.layout
	keys := []string{
		l.key("presence.data", channel), l.key("presence.expire", channel),
		l.key("presence.user.clients", channel), l.key("presence.user.expire", channel),
	}
	mapping := "0"
	if p.config.UserMapping {
		mapping = "1"
	}
	args = append([]string{mapping, milliseconds(p.config.TTL)}, args...)
	return p.redis.shard(channel).exec(ctx, s, keys, args)
}

// AddPresence implements centrifuge.PresenceManager.
func (p *Presence) AddPresence(ctx context.Context, channel, client string, info *centrifuge.ClientInfo) error {
	if info == nil {
		return errors.New("adding presence: no client info")
	}
	_, err := p.exec(ctx, p.scripts.add, channel, client, rueidis.BinaryString(protocol.EncodeClientInfo(info)), info.User)
	return err
}

// RemovePresence implements centrifuge.PresenceManager.
func (p *Presence) RemovePresence(ctx context.Context, channel, client, user string) error {
	_, err := p.exec(ctx, p.scripts.remove, channel, client, user)
	return err
}

// Presence implements centrifuge.PresenceManager.
func (p *Presence) Presence(ctx context.Context, channel string) (map[string]*centrifuge.ClientInfo, error) {
	answer, err := p.exec(ctx, p.scripts.list, channel)
	if err != nil {
		return nil, err
	}
	entries, err := answer.ToArray()
	if err != nil || len(entries)%2 != 0 {
		return nil, fmt.Errorf("%w: presence of %d parts: %w", errAnswer, len(entries), err)
	}
	infos := make(map[string]*centrifuge.ClientInfo, len(entries)/2)
	for i := 0; i < len(entries); i += 2 {
		client, err := entries[i].ToString()
		if err != nil {
			return nil, fmt.Errorf("%w: client: %w", errAnswer, err)
		}
		info, err := entries[i+1].AsBytes()
		if err != nil {
			return nil, fmt.Errorf("%w: info: %w", errAnswer, err)
		}
		if infos[client], err = protocol.DecodeClientInfo(info); err != nil {
			return nil, fmt.Errorf("presence of client %q: %w", client, err)
		}
	}
	return infos, nil
}

// PresenceStats implements centrifuge.PresenceManager. With UserMapping it does not read
// the members.
func (p *Presence) PresenceStats(ctx context.Context, channel string) (stats centrifuge.PresenceStats, err error) {
	if !p.config.UserMapping {
		infos, err := p.Presence(ctx, channel)
		users := make(map[string]struct{}, len(infos))
		for _, info := range infos {
			users[info.User] = struct{}{}
		}
		return centrifuge.PresenceStats{NumClients: len(infos), NumUsers: len(users)}, err
	}
	answer, err := p.exec(ctx, p.scripts.stats, channel)
	if err != nil {
		return stats, err
	}
	counts, err := answer.AsIntSlice()
	if err != nil || len(counts) != 2 {
		return stats, fmt.Errorf("%w: %d counts, want 2: %w", errAnswer, len(counts), err)
	}
	return centrifuge.PresenceStats{NumClients: int(counts[0]), NumUsers: int(counts[1])}, nil
}
