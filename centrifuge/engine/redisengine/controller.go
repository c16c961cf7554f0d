package redisengine

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"centrifugo/centrifuge"

	"github.com/redis/rueidis"
)

// Controller carries control messages between nodes. A node receives them from all shards,
// and sends all of its own through one shard, which keeps their order; if that fails, it
// uses the next one. Its methods are safe for concurrent use.
type Controller struct {
	// Static after construction.
	redis  *Redis
	stats  Stats
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	inbox  *inbox
	tasks  sync.WaitGroup

	// Static after Start.
	handler centrifuge.ControlHandler
	first   int // shard that messages are sent through
	buses   []*bus

	closing sync.Once
}

var _ centrifuge.Controller = (*Controller)(nil)

// NewController returns a controller that must be started and closed.
func NewController(r *Redis) *Controller {
	c := &Controller{redis: r, inbox: newInbox()}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Nodes of other programs send control messages of their own on PREFIX.control, which are
// not understood here and the reverse; therefore the channel has another name.
func (c *Controller) broadcastTopic() string { return c.redis.layout.prefix + ".control.json" }

func (c *Controller) nodeTopic(id string) string { return c.redis.layout.prefix + ".node." + id }

// Start implements centrifuge.Controller.
func (c *Controller) Start(nodeID string, h centrifuge.ControlHandler) error {
	if nodeID == "" || h == nil {
		return errors.New("starting redis controller: no node id or no handler")
	}
	if c.ctx.Err() != nil {
		return errClosed
	}
	if err := c.redis.use(); err != nil {
		return err
	}
	c.handler, c.first = h, int(hash(nodeID)%uint64(len(c.redis.shards))) //nolint:gosec // below the number of shards
	c.tasks.Go(c.deliver)
	for _, s := range c.redis.shards {
		probe := c.redis.layout.prefix + ".probe." + newID()
		b := newBus(c.ctx, s, fmt.Sprintf("control messages of redis shard %s", s.config), probe, -1, &c.stats)
		b.receive, b.gap = c.receive, func() { c.stats.Gaps.Add(1) }
		b.request(true, c.broadcastTopic(), c.nodeTopic(nodeID))
		c.buses = append(c.buses, b)
		c.tasks.Go(b.run)
	}
	c.awaitSubscriptions(nodeID)
	return nil
}

// awaitSubscriptions waits until the node receives control messages, so that it does not
// miss the answers to its first announcement. A shard that cannot be reached does not keep
// the node from starting.
func (c *Controller) awaitSubscriptions(nodeID string) {
	ctx, cancel := context.WithTimeout(c.ctx, c.redis.shards[0].config.IOTimeout)
	defer cancel()
	for _, b := range c.buses {
		for _, topic := range []string{c.broadcastTopic(), c.nodeTopic(nodeID)} {
			if err := b.subscribe(ctx, topic); err != nil {
				c.redis.logf(centrifuge.LogWarn, "control messages are not received yet", "error", err)
				break
			}
		}
	}
}

// Close implements centrifuge.Controller.
func (c *Controller) Close(ctx context.Context) error {
	c.cancel()
	if c.handler == nil {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.closing.Do(func() {
			c.inbox.close()
			c.tasks.Wait()
			c.redis.release()
		})
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing redis controller: %w", ctx.Err())
	}
}

// Health returns nil if the node receives what is sent to it through every shard, which it
// proves by messages to itself. Otherwise the error says what is wrong.
func (c *Controller) Health() error {
	if c.handler == nil {
		return errors.New("redis controller is not started")
	}
	var errs []error
	for _, b := range c.buses {
		errs = append(errs, b.health())
	}
	return errors.Join(errs...)
}

// Stats returns counters that go on counting.
func (c *Controller) Stats() *Stats { return &c.stats }

// Buffered returns how many messages wait to be handled.
func (c *Controller) Buffered() []int { return []int{c.inbox.waiting()} }

// PublishControl implements centrifuge.Controller.
func (c *Controller) PublishControl(ctx context.Context, nodeID string, message []byte) error {
	switch {
	case c.handler == nil:
		return errors.New("redis controller is not started")
	case c.ctx.Err() != nil:
		return errClosed
	}
	topic := c.broadcastTopic()
	if nodeID != "" {
		topic = c.nodeTopic(nodeID)
	}
	payload := string(message)
	var errs []error
	for i := range c.redis.shards {
		s := c.redis.shards[(c.first+i)%len(c.redis.shards)]
		_, err := s.do(ctx, func(l *link) rueidis.RedisResult {
			return l.client.Do(ctx, publishCommand(s, l.client, topic, payload))
		})
		if err == nil {
			return nil
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// receive is called by the readers of the connections.
func (c *Controller) receive(m received) {
	if !c.inbox.put(m) && c.stats.Dropped.Add(1)%1000 == 1 {
		c.redis.logf(centrifuge.LogError, "control messages from redis dropped: they arrive faster than they are handled")
	}
}

// deliver calls the handler, one message at a time.
func (c *Controller) deliver() {
	var batch []received
	for {
		if batch = c.inbox.take(batch); batch == nil {
			return
		}
		for _, m := range batch {
			if c.ctx.Err() == nil {
				c.handle([]byte(m.payload))
			}
			c.inbox.done(m)
		}
	}
}

func (c *Controller) handle(message []byte) {
	defer func() {
		if p := recover(); p != nil {
			c.redis.logf(centrifuge.LogError, "panic", "doing", "handling a control message", "panic", fmt.Sprint(p))
		}
	}()
	c.handler(message)
}
