package redisengine

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"centrifugo/centrifuge"
)

const (
	defaultHistoryMetaTTL = 720 * time.Hour // server.md 10.3
	defaultIdempotencyTTL = 5 * time.Minute // server.md 1.6
)

// BrokerConfig configures a Broker; the zero value is complete.
type BrokerConfig struct {
	// HistoryUseLists keeps history in lists instead of streams, for servers without
	// streams. Pages cost as much as the whole history then.
	HistoryUseLists bool
	// HistoryMetaTTL is how long a stream's offset and epoch outlive its last use where the
	// options do not say; default 720 hours.
	HistoryMetaTTL time.Duration
}

// Broker carries messages between nodes through Redis, and keeps history there. Its
// methods are safe for concurrent use.
//
// A publication with history is one atomic step on the server. If a connection to the
// server is lost, or messages do not arrive any more, the broker connects again, restores
// its subscriptions and reports a gap. Delivery without history is at most once.
type Broker struct {
	// Static after construction.
	redis   *Redis
	config  BrokerConfig
	scripts historyScripts
	seen    *positions
	stats   Stats
	losses  lossLog
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc

	// Static after Start.
	handler centrifuge.BrokerHandler
	sources [][]source // by shard and partition
	workers []*worker
	tasks   sync.WaitGroup

	closing sync.Once
}

var (
	_ centrifuge.HistoryBroker   = (*Broker)(nil)
	_ centrifuge.MultiSubscriber = (*Broker)(nil)
)

// NewBroker returns a broker that must be started and closed.
func NewBroker(r *Redis, c BrokerConfig) *Broker {
	if c.HistoryMetaTTL <= 0 {
		c.HistoryMetaTTL = defaultHistoryMetaTTL
	}
	b := &Broker{redis: r, config: c, scripts: streamScripts}
	b.seen = newPositions(b.renewed)
	if c.HistoryUseLists {
		b.scripts = listScripts
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	return b
}

// Start implements centrifuge.Broker. It does not wait for connections: Health tells
// whether there are any.
func (b *Broker) Start(h centrifuge.BrokerHandler) error {
	if h == nil {
		return errors.New("starting redis broker: no handler")
	}
	if b.ctx.Err() != nil {
		return errClosed
	}
	if err := b.redis.use(); err != nil {
		return err
	}
	b.handler = h
	id := newID()
	for _, s := range b.redis.shards {
		var sources []source
		for p := range max(b.redis.layout.partitions, 1) {
			name, probe, partition := fmt.Sprintf("redis shard %s", s.config), b.redis.layout.prefix+".probe."+id, -1
			if b.redis.layout.partitions > 0 {
				name, partition = fmt.Sprintf("%s, partition %d", name, p), p
				probe = b.redis.layout.prefix + ".probe." + b.redis.layout.partitionTag(p) + "." + id
			}
			sources = append(sources, b.newSource(s, p, name, probe, partition))
		}
		b.sources = append(b.sources, sources)
	}
	for range runtime.GOMAXPROCS(0) {
		w := newWorker(b)
		b.workers = append(b.workers, w)
		b.tasks.Go(w.run)
	}
	for _, sources := range b.sources {
		for _, one := range sources {
			b.tasks.Go(one.run)
		}
	}
	return nil
}

// Close implements centrifuge.Broker.
func (b *Broker) Close(ctx context.Context) error {
	b.cancel()
	if b.handler == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.closing.Do(func() {
			for _, w := range b.workers {
				w.inbox.close()
			}
			b.tasks.Wait()
			b.redis.release()
		})
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing redis broker: %w", ctx.Err())
	}
}

// Health returns nil if every shard can be used and this node receives what is published
// there, which it proves by messages to itself. Otherwise the error says what is wrong.
func (b *Broker) Health() error {
	if b.handler == nil {
		return errors.New("redis broker is not started")
	}
	errs := []error{b.redis.health()}
	for _, sources := range b.sources {
		for _, one := range sources {
			errs = append(errs, one.health())
		}
	}
	return errors.Join(errs...)
}

// Stats returns counters that go on counting.
func (b *Broker) Stats() *Stats { return &b.stats }

// Buffered returns how many messages wait for delivery, for each worker.
func (b *Broker) Buffered() []int {
	counts := make([]int, len(b.workers))
	for i, w := range b.workers {
		counts[i] = w.inbox.waiting()
	}
	return counts
}

// source is a connection on which messages arrive: a bus for PUB/SUB, a tail for streams.
type source interface {
	// run keeps it connected until the broker is closed.
	run()
	// request and await are those of bus.
	request(wanted bool, topics ...string) []<-chan struct{}
	await(ctx context.Context, done <-chan struct{}) error
	// health returns why messages may not arrive, if so.
	health() error
}

// newSource makes the source of a partition of a shard. Name is for logs, and sharded is the
// partition of sharded PUB/SUB, or -1.
func (b *Broker) newSource(s *shard, partition int, name, probe string, sharded int) source {
	gap := func() {
		b.reportGap(func(channel string) bool {
			return b.redis.shard(channel) == s && b.redis.layout.partition(channel) == partition
		})
	}
	if b.redis.layout.streams {
		return newTail(b.ctx, s, name, b.redis.layout.bus(partition), probe, b.receive, gap, &b.stats)
	}
	one := newBus(b.ctx, s, name, probe, sharded, &b.stats)
	one.receive, one.gap = b.receive, gap
	return one
}

// source returns the connection on which a channel's messages arrive.
func (b *Broker) source(channel string) source {
	return b.sources[b.redis.shard(channel).index][b.redis.layout.partition(channel)]
}

// usable is nil between Start and Close.
func (b *Broker) usable() error {
	switch {
	case b.handler == nil:
		return errors.New("redis broker is not started")
	case b.ctx.Err() != nil:
		return errClosed
	}
	return nil
}

// Subscribe implements centrifuge.Broker.
func (b *Broker) Subscribe(ctx context.Context, channel string) error {
	if err := b.usable(); err != nil {
		return err
	}
	return b.want(ctx, channel, true)
}

// Unsubscribe implements centrifuge.Broker.
func (b *Broker) Unsubscribe(ctx context.Context, channel string) error {
	if err := b.usable(); err != nil {
		return err
	}
	return b.want(ctx, channel, false)
}

func (b *Broker) want(ctx context.Context, channel string, wanted bool) error {
	one := b.source(channel)
	return one.await(ctx, one.request(wanted, b.redis.layout.messages(channel))[0])
}

// SubscribeMany implements centrifuge.MultiSubscriber. It takes one round trip to each
// server for a thousand channels.
func (b *Broker) SubscribeMany(ctx context.Context, channels []string) []error {
	return b.wantMany(ctx, channels, true)
}

// UnsubscribeMany implements centrifuge.MultiSubscriber.
func (b *Broker) UnsubscribeMany(ctx context.Context, channels []string) []error {
	return b.wantMany(ctx, channels, false)
}

func (b *Broker) wantMany(ctx context.Context, channels []string, wanted bool) []error {
	errs := make([]error, len(channels))
	if err := b.usable(); err != nil {
		for i := range errs {
			errs[i] = err
		}
		return errs
	}
	type part struct {
		indexes []int
		topics  []string
		done    []<-chan struct{}
	}
	parts := make(map[source]*part)
	for i, channel := range channels {
		one := b.source(channel)
		p := parts[one]
		if p == nil {
			p = &part{}
			parts[one] = p
		}
		p.indexes, p.topics = append(p.indexes, i), append(p.topics, b.redis.layout.messages(channel))
	}
	for one, p := range parts {
		p.done = one.request(wanted, p.topics...)
	}
	failed := false
	for one, p := range parts {
		for k, done := range p.done {
			err := one.await(ctx, done)
			errs[p.indexes[k]] = err
			failed = failed || err != nil
		}
	}
	if !failed {
		return nil
	}
	return errs
}

// receive passes a message to the worker of its channel. It is called by the readers of
// the connections.
func (b *Broker) receive(m received) {
	w := b.workers[hash(m.topic)%uint64(len(b.workers))]
	if !w.inbox.put(m) {
		w.drop(m.topic)
	}
}

func (b *Broker) reportGap(affected func(channel string) bool) {
	b.stats.Gaps.Add(1)
	b.handler.HandleGap(affected)
}
