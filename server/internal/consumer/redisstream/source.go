package redisstream

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge/engine/redisengine"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/consumer"

	"github.com/redis/rueidis"
)

const (
	// batch is how many entries are read, and acknowledged, together.
	batch = 64
	// block is how long a read waits for entries.
	block       = 2 * time.Second
	lagInterval = 10 * time.Second
	keepAlive   = 5 * time.Second
	// sentinelInterval is how often the sentinels are asked for the master, beside being
	// listened to.
	sentinelInterval = 5 * time.Second
)

// maxWorkers bounds num_workers: each has a connection.
const maxWorkers = 256

// minVisibility bounds visibility_timeout: entries in work are claimed again before it has
// passed.
const minVisibility = 100 * time.Millisecond

// Options of a source.
type Options struct {
	// Config is the section redis_stream of the consumer.
	Config config.RedisStreamConsumer
	// Shards are the servers that Config names. Each stream is read from all of them.
	Shards []redisengine.ShardConfig
	// Node is the name of this node, part of the names of consumers in the group. It must differ from
	// those of other nodes, and be the same after a restart.
	Node string
}

// Source implements consumer.Source.
type Source struct {
	// Static after construction.
	config config.RedisStreamConsumer
	shards []redisengine.ShardConfig
	node   string
}

var _ consumer.Source = (*Source)(nil)

// New checks the configuration and returns a source. It makes no connections.
func New(o Options) (*Source, error) {
	c := o.Config
	switch {
	case len(o.Shards) == 0:
		return nil, errors.New("address: at least one is needed")
	case len(c.Streams) == 0:
		return nil, errors.New("streams: at least one is needed")
	case c.ConsumerGroup == "":
		return nil, errors.New("consumer_group: is needed")
	case c.VisibilityTimeout < minVisibility:
		return nil, fmt.Errorf("visibility_timeout: must be at least %v", minVisibility)
	case c.NumWorkers < 1 || c.NumWorkers > maxWorkers:
		return nil, fmt.Errorf("num_workers: must be from 1 to %d", maxWorkers)
	case c.PayloadValue == "":
		return nil, errors.New("payload_value: is needed")
	}
	return &Source{config: c, shards: o.Shards, node: o.Node}, nil
}

// Format implements consumer.Source.
func (s *Source) Format() consumer.Format {
	return consumer.Format{Method: s.config.MethodValue, Publication: consumer.Values(s.config.PublicationDataMode)}
}

// Attempts implements consumer.Source. A worker waits for an entry that must be repeated.
func (s *Source) Attempts() int { return 0 }

// Run implements consumer.Source. Each stream of each server is read by workers of its own.
func (s *Source) Run(ctx context.Context, p *consumer.Processor) error {
	var tasks []func(context.Context) error
	waiting := make([]atomic.Int64, len(s.shards)*len(s.config.Streams))
	for i, shard := range s.shards {
		client, err := rueidis.NewClient(option(shard))
		if err != nil {
			return fmt.Errorf("connecting: %w", err)
		}
		defer client.Close()
		for k, name := range s.config.Streams {
			st := &stream{source: s, client: client, timeout: shard.IOTimeout, processor: p, name: name, waiting: &waiting[i*len(s.config.Streams)+k]}
			for number := range s.config.NumWorkers {
				w := &worker{stream: st, consumer: s.node}
				if number > 0 {
					w.consumer += "-" + strconv.Itoa(number)
				}
				tasks = append(tasks, func(ctx context.Context) error {
					p.Restart(ctx, "reading a stream failed", w.run)
					return nil
				})
			}
			tasks = append(tasks, func(ctx context.Context) error {
				p.Every(ctx, lagInterval, "counting waiting entries failed", st.count)
				return nil
			})
		}
	}
	tasks = append(tasks, func(ctx context.Context) error {
		p.Every(ctx, lagInterval, "", func(context.Context) error {
			var sum int64
			for i := range waiting {
				sum += waiting[i].Load()
			}
			p.Stats().SetLag(sum)
			return nil
		})
		return nil
	})
	return p.Together(ctx, tasks...)
}

// option returns the options of a client.
func option(c redisengine.ShardConfig) rueidis.ClientOption {
	dialer := net.Dialer{Timeout: c.ConnectTimeout, KeepAlive: keepAlive}
	o := rueidis.ClientOption{
		DialCtxFn: redisengine.Dial, TLSConfig: c.TLS, Dialer: dialer, Username: c.User, Password: c.Password, ClientName: c.ClientName, SelectDB: c.DB,
		ConnWriteTimeout: c.IOTimeout, AlwaysRESP2: c.ForceRESP2, DisableCache: true, DisableRetry: true,
	}
	switch {
	case len(c.Cluster) > 0:
		o.InitAddress = c.Cluster
	case len(c.Sentinels) > 0:
		o.InitAddress = c.Sentinels
		o.Sentinel = rueidis.SentinelOption{
			MasterSet: c.MasterName, Username: c.SentinelUser, Password: c.SentinelPassword, ClientName: c.SentinelClientName,
			TLSConfig: c.SentinelTLS, Dialer: dialer, TopologyRefreshInterval: sentinelInterval,
		}
	default:
		o.InitAddress, o.ForceSingleClient = []string{c.Address}, true
	}
	return o
}
