package redisengine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge"

	"github.com/redis/rueidis"
)

const (
	// probeInterval is how often a message is sent through each bus, to prove that
	// messages arrive.
	probeInterval = 500 * time.Millisecond
	// probeTimeout is how long none may arrive before the bus is connected again.
	probeTimeout = 3500 * time.Millisecond
	// auditInterval is how often a bus is compared with what the server says that it is
	// subscribed to.
	auditInterval = 2 * time.Second
	// subscribeBatch is the greatest number of channels in one command.
	subscribeBatch = 1000
)

// errNotSubscribed is the reason why a bus is not healthy until it is connected.
var errNotSubscribed = errors.New("not subscribed yet")

// bus is a connection on which a node receives messages, with the channels that it is
// subscribed to. It is connected again whenever it fails: when the connection ends, when
// its own probes do not arrive, or when the server says that it is subscribed to something
// else. After each connection but the first it reports a gap.
type bus struct {
	// Static after construction.
	shard     *shard
	name      string
	probe     string // PUB/SUB channel of the probes
	partition int    // of sharded PUB/SUB, -1 without
	receive   func(m received)
	gap       func()        // called when messages may have been lost
	wake      chan struct{} // something is in dirty; one is enough
	ctx       context.Context
	stats     *Stats

	// Guarded by mu.
	mu        sync.Mutex
	topics    map[string]*topic
	dirty     []string // topics that must be subscribed to or unsubscribed from
	conn      *busConn // nil while there is none
	changes   uint64   // of topics and of the connection, for the audit
	unsettled int      // answers that the server has not given yet
	reason    error    // why the bus is not healthy, if so
}

// topic is a PUB/SUB channel.
type topic struct {
	wanted     bool
	subscribed bool // as the last command said
	pending    int  // answers that the server has not given yet
	dirty      bool
	restoring  bool              // its first answer on this connection has not arrived
	waiters    []chan<- struct{} // closed when the server's state is the wanted one
}

// busConn is one connection of a bus.
type busConn struct {
	// Static after construction.
	bus    *bus
	link   *link
	client rueidis.DedicatedClient
	failed <-chan error // by the client, when the connection has ended
	broken chan error   // capacity 1: by what finds the connection useless

	probed   atomic.Int64 // when the last probe arrived, since the start of the bus
	received atomic.Uint64
	sent     atomic.Uint64
	doubtful atomic.Bool // a probe may not have been published

	// Guarded by bus.mu.
	restoring int           // topics whose subscription is being restored
	restored  chan struct{} // closed when none is
}

var busEpoch = time.Now() // times of probes count from it

func newBus(ctx context.Context, s *shard, name, probe string, partition int, stats *Stats) *bus {
	return &bus{
		shard: s, name: name, probe: probe, partition: partition, ctx: ctx, stats: stats, reason: errNotSubscribed,
		wake: make(chan struct{}, 1), topics: make(map[string]*topic),
	}
}

// subscribe returns when the server has confirmed the subscription, or with ctx's error.
func (b *bus) subscribe(ctx context.Context, name string) error { return b.want(ctx, name, true) }

// unsubscribe returns when the server has confirmed it, or there is no connection.
func (b *bus) unsubscribe(ctx context.Context, name string) error { return b.want(ctx, name, false) }

func (b *bus) want(ctx context.Context, name string, wanted bool) error {
	return b.await(ctx, b.request(wanted, name)[0])
}

// await waits for the result of request.
func (b *bus) await(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", b.name, ctx.Err())
	case <-b.ctx.Done():
		return errClosed
	}
}

// request notes what is wanted of topics, which is sent to the server in one command. A
// result is closed when that is so; nil means that it is so already.
func (b *bus) request(wanted bool, names ...string) []<-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := make([]<-chan struct{}, len(names))
	for i, name := range names {
		done[i] = b.requestLocked(wanted, name)
	}
	return done
}

func (b *bus) requestLocked(wanted bool, name string) <-chan struct{} {
	t := b.topics[name]
	if t == nil {
		if !wanted {
			return nil
		}
		name = strings.Clone(name)
		t = &topic{}
		b.topics[name] = t
	}
	t.wanted = wanted
	b.changes++
	if !wanted && b.conn == nil {
		b.forgetLocked(name, t)
		return nil
	}
	if t.subscribed == wanted && t.pending == 0 && !t.dirty {
		if !wanted {
			b.forgetLocked(name, t)
		}
		return nil
	}
	b.markLocked(name, t)
	done := make(chan struct{})
	t.waiters = append(t.waiters, done)
	return done
}

func (b *bus) markLocked(name string, t *topic) {
	if t.dirty {
		return
	}
	t.dirty = true
	b.dirty = append(b.dirty, name)
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// forgetLocked removes a topic that is not wanted.
func (b *bus) forgetLocked(name string, t *topic) {
	b.restoredLocked(t)
	t.release()
	delete(b.topics, name)
}

// restoredLocked is called when a topic need not be restored any more on this connection.
func (b *bus) restoredLocked(t *topic) {
	if c := b.conn; c != nil && t.restoring {
		t.restoring = false
		if c.restoring--; c.restoring == 0 {
			close(c.restored)
		}
	}
}

func (t *topic) release() {
	for _, w := range t.waiters {
		close(w)
	}
	t.waiters = nil
}

// run keeps the bus connected until its context ends.
func (b *bus) run() {
	backoff, first := minBackoff, true
	for b.ctx.Err() == nil {
		l, err := b.shard.wait(b.ctx)
		var c *busConn
		if err == nil {
			c, err = b.connect(l)
		} else {
			backoff = minBackoff // waiting for the shard was the pause: its next link is used at once
		}
		if err == nil {
			b.adopt(c)
			err = c.serve(!first)
			if c.isRestored() {
				first, backoff = false, minBackoff
			}
			c.client.Close()
		}
		if b.ctx.Err() != nil {
			break
		}
		b.stats.Reconnects.Add(1)
		b.lose(err)
		if !pause(b.ctx, backoff) {
			break
		}
		backoff = min(2*backoff, maxBackoff)
	}
	b.lose(errClosed)
}

// connect makes a connection without subscriptions.
func (b *bus) connect(l *link) (*busConn, error) {
	c := &busConn{bus: b, link: l, broken: make(chan error, 1), restored: make(chan struct{})}
	ctx, cancel := context.WithTimeout(b.ctx, b.shard.config.IOTimeout)
	defer cancel()
	var err error
	c.client, c.failed, err = l.dedicate(ctx, rueidis.PubSubHooks{OnMessage: c.onMessage, OnSubscription: c.onSubscription})
	if err != nil {
		return nil, err
	}
	c.probed.Store(int64(time.Since(busEpoch)))
	return c, nil
}

// adopt makes c the connection, and marks all topics for subscription.
func (b *bus) adopt(c *busConn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conn, b.dirty = c, b.dirty[:0]
	b.changes++
	b.unsettled = 0
	if b.topics[b.probe] == nil {
		b.topics[b.probe] = &topic{wanted: true}
	}
	for name, t := range b.topics {
		t.dirty, t.subscribed, t.pending, t.restoring = false, false, 0, true
		b.markLocked(name, t)
	}
	c.restoring = len(b.topics)
}

// lose notes that there is no connection. What is not wanted is not subscribed any more.
func (b *bus) lose(reason error) {
	b.mu.Lock()
	changed := b.reason == nil || reason != nil && b.reason.Error() != reason.Error()
	b.conn, b.reason = nil, reason
	b.changes++
	for name, t := range b.topics {
		if !t.wanted {
			b.forgetLocked(name, t)
		}
	}
	b.mu.Unlock()
	if changed && !errors.Is(reason, errClosed) {
		b.shard.redis.logf(centrifuge.LogError, "redis bus not connected", "bus", b.name, "error", reason)
	}
}

// health returns why messages may not arrive, if so.
func (b *bus) health() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.reason != nil {
		return fmt.Errorf("%s: %w", b.name, b.reason)
	}
	return nil
}

// serve uses the connection until it fails. Gap says whether messages may have been lost
// before it.
func (c *busConn) serve(gap bool) error {
	ctx, cancel := context.WithCancel(c.bus.ctx)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel()
	tasks.Go(func() { c.write(ctx) })
	tasks.Go(func() { c.prove(ctx) })
	restored := c.restored
	for {
		select {
		case <-ctx.Done():
			return errClosed
		case err := <-c.failed:
			if err == nil {
				err = errors.New("connection closed")
			}
			return err
		case <-c.link.broken:
			return c.link.reason
		case err := <-c.broken:
			if !c.bus.shard.redis.layout.cluster { // the client follows a cluster by itself
				c.link.breakLink(err) // the master may have moved, and commands may hang as well
			}
			return err
		case <-restored:
			restored = nil
			c.bus.mu.Lock()
			c.bus.reason = nil
			c.bus.mu.Unlock()
			c.bus.shard.redis.logf(centrifuge.LogInfo, "redis bus connected", "bus", c.bus.name)
			if gap {
				c.bus.gap()
			}
		}
	}
}

func (c *busConn) fail(err error) {
	select {
	case c.broken <- err:
	default:
	}
}

func (c *busConn) isRestored() bool {
	select {
	case <-c.restored:
		return true
	default:
		return false
	}
}

// write sends the commands that make the subscriptions the wanted ones.
func (c *busConn) write(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.bus.wake:
		}
		for _, cmd := range c.commands() {
			if err := c.client.Do(ctx, cmd).Error(); err != nil {
				if ctx.Err() == nil {
					c.fail(fmt.Errorf("subscribing: %w", err))
				}
				return
			}
		}
	}
}

// commands takes the dirty topics and returns the commands for them. Topics that are
// subscribed to come before others, since callers may wait for them.
func (c *busConn) commands() []rueidis.Completed {
	b := c.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != c {
		return nil
	}
	var names [2][]string
	for _, name := range b.dirty {
		t := b.topics[name]
		if t == nil {
			continue
		}
		t.dirty = false
		if t.subscribed == t.wanted {
			b.settleLocked(name, t)
			continue
		}
		t.subscribed = t.wanted
		t.pending++
		b.unsettled++
		kind := 0
		if !t.wanted {
			kind = 1
		}
		names[kind] = append(names[kind], name)
	}
	b.dirty = b.dirty[:0]
	var commands []rueidis.Completed
	for kind, names := range names {
		for len(names) > 0 {
			n := min(len(names), subscribeBatch)
			commands = append(commands, c.command(kind == 0, names[:n]))
			names = names[n:]
		}
	}
	return commands
}

func (c *busConn) command(subscribe bool, names []string) rueidis.Completed {
	build, sharded := c.client.B(), c.bus.partition >= 0
	switch {
	case subscribe && sharded:
		return build.Ssubscribe().Channel(names...).Build()
	case subscribe:
		return build.Subscribe().Channel(names...).Build()
	case sharded:
		return build.Sunsubscribe().Channel(names...).Build()
	}
	return build.Unsubscribe().Channel(names...).Build()
}

// settleLocked is called when the server's state of a topic may be the wanted one.
func (b *bus) settleLocked(name string, t *topic) {
	if t.pending > 0 || t.dirty || t.subscribed != t.wanted {
		return
	}
	if t.wanted {
		t.release()
	} else {
		b.forgetLocked(name, t)
	}
}

// onSubscription takes the confirmation of a command. It is called by the reader.
func (c *busConn) onSubscription(s rueidis.PubSubSubscription) {
	b := c.bus
	b.mu.Lock()
	defer b.mu.Unlock()
	t := b.topics[s.Channel]
	if b.conn != c || t == nil {
		return
	}
	if t.pending == 0 { // a cluster has moved the slot
		if t.subscribed && strings.HasSuffix(s.Kind, "unsubscribe") {
			c.fail(fmt.Errorf("the server has ended the subscription of %s", s.Channel))
		}
		return
	}
	t.pending--
	b.unsettled--
	b.changes++
	b.restoredLocked(t)
	b.settleLocked(s.Channel, t)
}

// onMessage takes a message. It is called by the reader.
func (c *busConn) onMessage(m rueidis.PubSubMessage) {
	if m.Channel == c.bus.probe {
		c.onProbe(m.Message)
		return
	}
	c.bus.receive(received{m.Channel, m.Message, c.link.run})
}

// onProbe takes a probe. A number that is missing means that messages were lost.
func (c *busConn) onProbe(payload string) {
	n, err := strconv.ParseUint(payload, 10, 64)
	if err != nil {
		return
	}
	c.probed.Store(int64(time.Since(busEpoch)))
	last := c.received.Swap(n)
	if n == last+1 {
		c.doubtful.Store(false)
	}
	if n > last+1 && last != 0 && !c.doubtful.Swap(false) {
		c.bus.stats.ProbesLost.Add(n - last - 1)
		c.fail(fmt.Errorf("%d probes were lost", n-last-1))
	}
}

// prove sends probes, and fails the connection when they do not arrive or the server's
// subscriptions are not those of the bus.
func (c *busConn) prove(ctx context.Context) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	audited := time.Now()
	var publishing, auditing atomic.Bool
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			if silent := time.Since(busEpoch) - time.Duration(c.probed.Load()); silent > probeTimeout {
				c.bus.stats.ProbesLost.Add(1)
				c.fail(fmt.Errorf("no probe has arrived for %v", silent.Round(100*time.Millisecond)))
				return
			}
			if c.isRestored() && publishing.CompareAndSwap(false, true) {
				tasks.Go(func() { c.sendProbe(ctx); publishing.Store(false) })
			}
			if now.Sub(audited) >= auditInterval && c.isRestored() && auditing.CompareAndSwap(false, true) {
				audited = now
				tasks.Go(func() { c.audit(ctx); auditing.Store(false) })
			}
		}
	}
}

// sendProbe publishes the next probe through the connections for commands, as other
// messages are published.
func (c *busConn) sendProbe(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	n := unsignedDecimal(c.sent.Add(1))
	result := c.link.client.Do(ctx, c.bus.publishCommand(c.link.client, c.bus.probe, n))
	if err := result.Error(); err != nil {
		c.doubtful.Store(true)
		if e, ok := rueidis.IsRedisErr(err); ok && strings.HasPrefix(e.Error(), "READONLY") {
			c.fail(fmt.Errorf("the server is no longer the master: %w", err))
		}
	}
}

// publishCommand returns the command that publishes into a topic, other than that of a
// channel.
func (b *bus) publishCommand(client rueidis.Client, name, payload string) rueidis.Completed {
	if b.partition >= 0 {
		return client.B().Spublish().Channel(name).Message(payload).Build()
	}
	return publishCommand(b.shard, client, name, payload)
}

// publishCommand returns the command that publishes into a PUB/SUB channel. In a cluster
// any server takes it and tells the others. The commands for one channel go to the same
// one, since messages from different servers may overtake each other.
func publishCommand(s *shard, client rueidis.Client, name, payload string) rueidis.Completed {
	if s.redis.layout.cluster {
		return client.B().Arbitrary("PUBLISH").Keys(name).Args(payload).Build()
	}
	return client.B().Publish().Channel(name).Message(payload).Build()
}

// audit compares the number of subscriptions that the server knows with that of the bus.
// It needs version 3 of the protocol, in which the connection takes other commands.
func (c *busConn) audit(ctx context.Context) {
	if c.bus.shard.config.ForceRESP2 {
		return
	}
	b := c.bus
	b.mu.Lock()
	want, changes, settled := len(b.topics), b.changes, b.unsettled == 0 && len(b.dirty) == 0
	b.mu.Unlock()
	if !settled {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	info, err := c.client.Do(ctx, c.client.B().ClientInfo().Build()).ToString()
	if err != nil {
		return // an old server, or the connection fails, which is noticed elsewhere
	}
	field := "sub"
	if b.partition >= 0 {
		field = "ssub"
	}
	got, ok := clientField(info, field)
	b.mu.Lock()
	same := b.changes == changes
	b.mu.Unlock()
	if ok && same && got != want {
		b.stats.AuditsFailed.Add(1)
		c.fail(fmt.Errorf("the server has %d subscriptions, the node %d", got, want))
	}
}

// clientField returns a number of the answer to CLIENT INFO.
func clientField(info, name string) (int, bool) {
	for field := range strings.FieldsSeq(info) {
		if value, found := strings.CutPrefix(field, name+"="); found {
			n, err := strconv.Atoi(value)
			return n, err == nil
		}
	}
	return 0, false
}
