package redisengine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"centrifugo/centrifuge"
)

const defaultPrefix = "centrifugo" // server.md 10.3

// errClosed is the error of calls after Close.
var errClosed = errors.New("redis engine is closed")

// Config says where the shards are.
type Config struct {
	// Prefix is the first part of every key and channel, default "centrifugo".
	Prefix string
	// Shards has at least one element. Their order decides which channel belongs to
	// which: all nodes must have the same, and a shard is added at the end.
	Shards []ShardConfig
	// ShardedPubSub, above zero, divides the channels of a Redis Cluster into as many
	// partitions, whose messages travel by sharded PUB/SUB, so that each goes to one server
	// of the cluster and not to all of them. It needs Redis 7. It changes the layout: all
	// nodes must have the same value, and nodes of other programs do not understand it.
	ShardedPubSub int
	// Streams makes messages travel through bus streams, which each node reads from its own
	// position, instead of PUB/SUB: a node whose connection was broken continues where it
	// stopped. Each node reads the messages of all channels. All nodes must have the same
	// value, and nodes of other programs do not understand it. In a cluster it needs
	// ShardedPubSub, whose number is that of the streams.
	Streams bool
	// StreamSize is about how many messages a bus stream keeps, default 100,000. A node that
	// was away for more reports a gap.
	StreamSize int
	// LogHandler receives what happens to connections; nil for none.
	LogHandler centrifuge.LogHandler
}

// Redis is a set of shards. The broker, presence manager and controller that are made from
// it share its connections for commands. It connects when the first of them is used, and
// disconnects when the last one is closed.
type Redis struct {
	// Static after construction.
	layout  layout
	busSize int // about, of a bus stream
	shards  []*shard
	log     centrifuge.LogHandler
	ctx     context.Context // cancelled when the last user is closed
	cancel  context.CancelFunc
	starts  sync.Once
	tasks   sync.WaitGroup // goroutines of the shards

	// Guarded by mu.
	mu     sync.Mutex
	users  int
	closed bool
}

// New returns the shards without connecting to them. The error says what is wrong with the
// configuration.
func New(c Config) (*Redis, error) {
	if c.Prefix == "" {
		c.Prefix = defaultPrefix
	}
	if len(c.Shards) == 0 {
		return nil, errors.New("redis: no shards")
	}
	r := &Redis{layout: layout{prefix: c.Prefix}, log: c.LogHandler}
	if r.log == nil {
		r.log = func(centrifuge.LogEntry) {}
	}
	for i, config := range c.Shards {
		config, err := config.withDefaults()
		if err != nil {
			return nil, fmt.Errorf("redis shard %d: %w", i, err)
		}
		if cluster := len(config.Cluster) > 0; i == 0 {
			r.layout.cluster = cluster
		} else if cluster != r.layout.cluster {
			return nil, errors.New("redis: some shards are clusters and others are not")
		}
		r.shards = append(r.shards, newShard(r, i, config))
	}
	if c.ShardedPubSub < 0 || c.ShardedPubSub > maxPartitions {
		return nil, fmt.Errorf("redis: %d partitions for sharded PUB/SUB, want 0 to %d", c.ShardedPubSub, maxPartitions)
	}
	if c.ShardedPubSub > 0 && !r.layout.cluster {
		return nil, errors.New("redis: sharded PUB/SUB needs a Redis Cluster")
	}
	r.layout.partitions, r.layout.streams, r.busSize = c.ShardedPubSub, c.Streams, c.StreamSize
	if r.busSize <= 0 {
		r.busSize = defaultStreamSize
	}
	if c.Streams && r.layout.cluster && c.ShardedPubSub == 0 {
		return nil, errors.New("redis: streams in a Redis Cluster need a number of partitions")
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r, nil
}

const defaultStreamSize = 100_000

// maxPartitions bounds the connections that a node makes: each partition has one.
const maxPartitions = 1024

// use registers a user. It must be released.
func (r *Redis) use() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return errClosed
	}
	r.users++
	r.starts.Do(func() {
		for _, s := range r.shards {
			r.tasks.Go(s.run)
		}
	})
	return nil
}

// release ends what use began. The last one closes the connections.
func (r *Redis) release() {
	r.mu.Lock()
	r.users--
	last := r.users == 0
	r.closed = r.closed || last
	r.mu.Unlock()
	if last {
		r.cancel()
		r.tasks.Wait()
	}
}

// shard returns the shard of a channel.
func (r *Redis) shard(channel string) *shard {
	if len(r.shards) == 1 {
		return r.shards[0]
	}
	return r.shards[jump(hash(channel), len(r.shards))]
}

// health returns an error if a shard cannot be used.
func (r *Redis) health() error {
	var errs []error
	for _, s := range r.shards {
		if err := s.health(); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *Redis) logf(level centrifuge.LogLevel, message string, fields ...any) {
	entry := centrifuge.LogEntry{Level: level, Message: message, Fields: make(map[string]any, len(fields)/2)}
	for i := 0; i+1 < len(fields); i += 2 {
		if key, ok := fields[i].(string); ok {
			entry.Fields[key] = fields[i+1]
		}
	}
	r.log(entry)
}
