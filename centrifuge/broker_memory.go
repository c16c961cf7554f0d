package centrifuge

import (
	"container/heap"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/maphash"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"centrifugo/centrifuge/internal/keylock"
	"centrifugo/centrifuge/internal/stream"
	"centrifugo/centrifuge/internal/wheel"
)

const (
	memoryShards = 64
	// memoryTick is how exactly memory is given back. What has expired is not
	// seen any more at once, see memoryChannel.expireLocked.
	memoryTick = time.Second

	defaultHistoryMetaTTL  = 720 * time.Hour // server.md 10.1
	defaultIdempotencyTTL  = 5 * time.Minute // server.md 1.6
	defaultIdempotencyKeys = 100_000
	// maxIdempotencyKey is the longest key kept as it is; of a longer one the hash is.
	maxIdempotencyKey = 64
)

var (
	_ HistoryBroker = (*MemoryBroker)(nil)
	_ PatternBroker = (*MemoryBroker)(nil)
)

var errBrokerNotStarted = errors.New("broker is not started")

// MemoryBrokerConfig configures a MemoryBroker; the zero value is complete.
type MemoryBrokerConfig struct {
	// HistoryMetaTTL is how long a stream's offset and epoch outlive its last
	// use where the options do not say; default 720 hours.
	HistoryMetaTTL time.Duration
	// IdempotencyKeys is how many idempotency keys are remembered for one
	// channel; default 100,000. One more makes the one that would expire first
	// be forgotten.
	IdempotencyKeys int
	// HistoryMaxSize in bytes, about, of what is remembered of all channels;
	// default half of the Go memory limit, 1 GiB where there is none, negative for
	// no bound. HistoryMaxChannels bounds their number; default none. Beyond either
	// the history of channels that were not used for long is dropped, those without
	// subscribers first: who recovers it is told that it is not recovered.
	HistoryMaxSize     int
	HistoryMaxChannels int
}

// MemoryBroker is the broker of a node that is alone. It keeps history in
// memory, with the semantics of the Redis broker but for one: a publication
// without a version resets the stored version (server.md 1.6).
//
// The broker allocates state only for channels that keep history or idempotency
// keys: a channel with subscribers alone takes no memory.
//
// The handler runs on the publisher's goroutine with the channel locked. If it
// blocks, only operations on that channel wait. The handler must not call the
// broker for the same channel: that deadlocks.
type MemoryBroker struct {
	// Static after construction.
	config MemoryBrokerConfig
	start  time.Time // times are kept as durations since then
	seed   maphash.Seed
	locks  *keylock.Locks // what concerns one channel happens one after another
	shards [memoryShards]memoryShard
	budget memoryBudget

	// Static after Start.
	handler BrokerHandler
	wheel   *wheel.Wheel

	closed atomic.Bool
}

type memoryShard struct {
	// Guarded by mu, which is a leaf.
	mu       sync.RWMutex
	channels shrinkingMap[*memoryChannel]
}

// memoryChannel is what the broker remembers of one channel.
type memoryChannel struct {
	// Static after construction.
	broker *MemoryBroker
	name   string
	timer  wheel.Timer

	used atomic.Int64 // when the stream was last used, since the broker's start

	// Guarded by the channel's key in MemoryBroker.locks.
	armed         time.Duration // when timer expires, zero if it is not set
	stream        *stream.Stream
	streamExpires time.Duration // of the stream's publications
	metaExpires   time.Duration // of the stream itself
	results       *savedResults
	counted       int // bytes that the budget counts for the channel
}

// NewMemoryBroker returns a broker that must be started and closed.
func NewMemoryBroker(config MemoryBrokerConfig) *MemoryBroker {
	if config.HistoryMetaTTL <= 0 {
		config.HistoryMetaTTL = defaultHistoryMetaTTL
	}
	if config.IdempotencyKeys <= 0 {
		config.IdempotencyKeys = defaultIdempotencyKeys
	}
	b := &MemoryBroker{config: config, start: time.Now(), seed: maphash.MakeSeed(), locks: keylock.New()}
	b.budget.maxBytes, b.budget.maxChannels = int64(config.HistoryMaxSize), max(int64(config.HistoryMaxChannels), 0)
	if config.HistoryMaxSize == 0 {
		b.budget.maxBytes = historySizeDefault()
	}
	return b
}

// Start implements Broker.
func (b *MemoryBroker) Start(h BrokerHandler) error {
	if h == nil {
		return errors.New("starting memory broker: no handler")
	}
	b.wheel = wheel.New(memoryTick, 1)
	b.handler = h
	return nil
}

// Close implements Broker. Calls that have begun are waited for until ctx ends;
// later ones return ErrShutdown.
func (b *MemoryBroker) Close(ctx context.Context) error {
	if b.handler == nil {
		return nil
	}
	b.closed.Store(true)
	b.wheel.Close()
	idle := make(chan struct{})
	go func() {
		defer close(idle)
		b.locks.Drain() // a later holder of a lock sees closed
	}()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("closing memory broker: %w", ctx.Err())
	}
}

// Subscribe implements Broker. The handler knows which channels have subscribers.
func (b *MemoryBroker) Subscribe(ctx context.Context, _ string) error { return b.usable(ctx) }

// Unsubscribe implements Broker.
func (b *MemoryBroker) Unsubscribe(ctx context.Context, _ string) error { return b.usable(ctx) }

// Publish implements Broker.
func (b *MemoryBroker) Publish(ctx context.Context, channel string, pub *Publication, opts PublishOptions) (PublishResult, error) {
	lock, err := b.lock(ctx, channel)
	if err != nil {
		return PublishResult{}, err
	}
	defer lock.Unlock()
	var prev []byte
	var result PublishResult
	keep := opts.HistorySize > 0 && opts.HistoryTTL > 0
	if keep || opts.IdempotencyKey != "" {
		c := b.channelLocked(channel, true)
		result, prev = c.recordLocked(pub, &opts, keep)
		c.settleLocked()
		b.makeSpaceLocked(c)
		if result.Suppressed != NotSuppressed {
			return result, nil
		}
	}
	if b.handler.Subscribed(channel) {
		b.handler.HandlePublication(channel, pub, result.Epoch, prev)
	}
	return result, nil
}

// SubscribePattern implements PatternBroker. The handler knows the patterns.
func (b *MemoryBroker) SubscribePattern(ctx context.Context, _, _ string) error { return b.usable(ctx) }

// UnsubscribePattern implements PatternBroker.
func (b *MemoryBroker) UnsubscribePattern(ctx context.Context, _, _ string) error {
	return b.usable(ctx)
}

// PublishJoin implements Broker.
func (b *MemoryBroker) PublishJoin(ctx context.Context, channel string, info *ClientInfo) error {
	lock, err := b.lock(ctx, channel)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if b.handler.Subscribed(channel) {
		b.handler.HandleJoin(channel, info)
	}
	return nil
}

// PublishLeave implements Broker.
func (b *MemoryBroker) PublishLeave(ctx context.Context, channel string, info *ClientInfo) error {
	lock, err := b.lock(ctx, channel)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if b.handler.Subscribed(channel) {
		b.handler.HandleLeave(channel, info)
	}
	return nil
}

// History implements HistoryBroker.
func (b *MemoryBroker) History(ctx context.Context, channel string, opts HistoryOptions) (HistoryResult, error) {
	since := opts.Since
	if opts.Reverse && since != nil && since.Offset == 0 {
		return HistoryResult{}, ErrorBadRequest
	}
	lock, err := b.lock(ctx, channel)
	if err != nil {
		return HistoryResult{}, err
	}
	defer lock.Unlock()
	c, now := b.channelLocked(channel, true), time.Since(b.start)
	s := c.streamLocked(now, opts.MetaTTL)
	c.armLocked(now)
	c.settleLocked()
	b.makeSpaceLocked(c)
	result := HistoryResult{StreamPosition: s.Position()}
	if since != nil && since.Epoch != "" && since.Epoch != result.Epoch {
		return HistoryResult{}, ErrorUnrecoverablePosition
	}
	switch {
	case opts.Reverse && since == nil:
		result.Publications = s.Latest(opts.Limit)
	case opts.Reverse:
		result.Publications = s.Before(since.Offset, opts.Limit)
	case since == nil:
		result.Publications = s.After(0, opts.Limit)
	default:
		result.Publications = s.After(since.Offset, opts.Limit)
	}
	return result, nil
}

// RemoveHistory implements HistoryBroker.
func (b *MemoryBroker) RemoveHistory(ctx context.Context, channel string) error {
	lock, err := b.lock(ctx, channel)
	if err != nil {
		return err
	}
	defer lock.Unlock()
	if c := b.channelLocked(channel, false); c != nil && c.stream != nil {
		c.stream.Clear()
		c.settleLocked()
	}
	return nil
}

// usable is nil between Start and Close, while ctx lasts.
func (b *MemoryBroker) usable(ctx context.Context) error {
	switch {
	case b.handler == nil:
		return errBrokerNotStarted
	case b.closed.Load():
		return ErrShutdown
	}
	return ctx.Err()
}

// lock makes the caller the only one who does something with channel.
func (b *MemoryBroker) lock(ctx context.Context, channel string) (*keylock.Entry, error) {
	if err := b.usable(ctx); err != nil {
		return nil, err
	}
	lock := b.locks.Lock(channel)
	if b.closed.Load() { // looked at under the lock: Close waits for those who saw false
		lock.Unlock()
		return nil, ErrShutdown
	}
	return lock, nil
}

func (b *MemoryBroker) shard(channel string) *memoryShard {
	return &b.shards[maphash.String(b.seed, channel)%memoryShards]
}

// channelLocked returns what is remembered of a channel; nil when that is
// nothing and create does not ask for it.
func (b *MemoryBroker) channelLocked(channel string, create bool) *memoryChannel {
	s := b.shard(channel)
	s.mu.RLock()
	c := s.channels.get(channel)
	s.mu.RUnlock()
	if c == nil && create {
		c = &memoryChannel{broker: b, name: strings.Clone(channel)} // a client's message must not be kept
		c.timer.Owner = c
		s.mu.Lock()
		s.channels.set(c.name, c)
		s.mu.Unlock()
	}
	return c
}

// forgetLocked removes a channel about which there is nothing to know any more.
func (c *memoryChannel) forgetLocked() {
	if c.stream != nil || c.results != nil {
		return
	}
	c.broker.wheel.Stop(&c.timer)
	s := c.broker.shard(c.name)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.channels.get(c.name) == c { // not one that was made after c was forgotten
		s.channels.remove(c.name)
	}
}

// recordLocked does in one step what must be known before anybody gets pub:
// idempotency, version, offset, stream (server.md 10.1). Prev is the
// payload of the publication before, if deltas are asked for.
func (c *memoryChannel) recordLocked(pub *Publication, opts *PublishOptions, keep bool) (result PublishResult, prev []byte) {
	now := time.Since(c.broker.start)
	c.expireLocked(now)
	defer c.armLocked(now)
	key := idempotencyKey(opts.IdempotencyKey)
	if position, found := c.results.get(key); found {
		return PublishResult{StreamPosition: position, Suppressed: SuppressedIdempotency}, nil
	}
	if keep {
		s := c.streamLocked(now, opts.HistoryMetaTTL)
		if s.Stale(opts.Version, opts.VersionEpoch) {
			return PublishResult{StreamPosition: s.Position(), Suppressed: SuppressedVersion}, nil
		}
		if last := s.Last(); opts.UseDelta && last != nil {
			prev = last.Data
		}
		s.Append(pub, opts.HistorySize)
		s.SetVersion(opts.Version, opts.VersionEpoch)
		c.streamExpires = later(now, opts.HistoryTTL)
		result.StreamPosition = s.Position()
	}
	if key != "" {
		ttl := opts.IdempotencyTTL
		if ttl <= 0 {
			ttl = defaultIdempotencyTTL
		}
		if c.results == nil {
			c.results = &savedResults{byKey: make(map[string]StreamPosition)}
		}
		c.results.put(key, result.StreamPosition, later(now, ttl), c.broker.config.IdempotencyKeys)
	}
	return result, prev
}

// streamLocked returns the stream, makes it if need be and prolongs its life.
func (c *memoryChannel) streamLocked(now, metaTTL time.Duration) *stream.Stream {
	c.expireLocked(now)
	if c.stream == nil {
		c.stream = stream.New()
	}
	if metaTTL <= 0 {
		metaTTL = c.broker.config.HistoryMetaTTL
	}
	c.metaExpires = later(now, metaTTL)
	c.used.Store(int64(now))
	return c.stream
}

// expireLocked forgets what has expired.
func (c *memoryChannel) expireLocked(now time.Duration) {
	if c.stream != nil {
		if c.metaExpires <= now {
			c.stream = nil
		} else if c.streamExpires <= now && c.stream.Len() > 0 {
			c.stream.Clear()
		}
	}
	if c.results != nil && !c.results.expire(now) {
		c.results = nil
	}
}

// armLocked makes Expired be called when something expires. A timer that is set
// for an earlier time is left alone, so that a busy channel seldom sets it.
func (c *memoryChannel) armLocked(now time.Duration) {
	next := time.Duration(0)
	sooner := func(t time.Duration) {
		if next == 0 || t < next {
			next = t
		}
	}
	if c.stream != nil {
		sooner(c.metaExpires)
		if c.stream.Len() > 0 {
			sooner(c.streamExpires)
		}
	}
	if c.results != nil {
		sooner(c.results.heap[0].expires)
	}
	if next != 0 && (c.armed == 0 || next < c.armed) {
		c.armed = next
		c.broker.wheel.Set(&c.timer, next-now)
	}
}

// Expired implements wheel.Owner.
func (c *memoryChannel) Expired(t *wheel.Timer, _ time.Time) {
	lock, free := c.broker.locks.TryLock(c.name)
	if !free { // a handler may hold it for long, and the wheel must go on
		c.broker.wheel.Set(t, memoryTick)
		return
	}
	defer lock.Unlock()
	now := time.Since(c.broker.start)
	c.armed = 0
	c.expireLocked(now)
	c.armLocked(now)
	c.settleLocked()
	c.forgetLocked()
}

// later is now+ttl, without overflow.
func later(now, ttl time.Duration) time.Duration {
	if sum := now + ttl; sum > now {
		return sum
	}
	return 1<<63 - 1
}

// idempotencyKey bounds the memory that a key takes.
func idempotencyKey(key string) string {
	if len(key) <= maxIdempotencyKey {
		return key
	}
	sum := sha256.Sum256([]byte(key))
	return string(sum[:])
}

// savedResults remembers what became of publications by idempotency key. A nil
// pointer is empty.
type savedResults struct {
	byKey map[string]StreamPosition
	heap  resultHeap
	peak  int
}

// savedResult is when a key expires.
type savedResult struct {
	key     string
	expires time.Duration
}

func (r *savedResults) get(key string) (StreamPosition, bool) {
	if r == nil || key == "" {
		return StreamPosition{}, false
	}
	position, found := r.byKey[key]
	return position, found
}

// put saves the position under a key that get did not find.
func (r *savedResults) put(key string, position StreamPosition, expires time.Duration, limit int) {
	if len(r.heap) >= limit {
		r.pop()
	}
	r.byKey[key] = position
	heap.Push(&r.heap, savedResult{key, expires})
	r.peak = max(r.peak, len(r.heap))
}

// expire removes what has expired and says whether something is left.
func (r *savedResults) expire(now time.Duration) bool {
	for len(r.heap) > 0 && r.heap[0].expires <= now {
		r.pop()
	}
	if r.peak > shrinkAbove && len(r.heap) < r.peak/4 { // see shrinkingMap
		r.byKey, r.peak = cloneMap(r.byKey), len(r.heap)
		r.heap = append(resultHeap(nil), r.heap...)
	}
	return len(r.heap) > 0
}

func (r *savedResults) pop() {
	oldest, _ := heap.Pop(&r.heap).(savedResult)
	delete(r.byKey, oldest.key)
}

// resultHeap has the first to expire on top. It implements heap.Interface.
type resultHeap []savedResult

func (h resultHeap) Len() int           { return len(h) }
func (h resultHeap) Less(i, j int) bool { return h[i].expires < h[j].expires }
func (h resultHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *resultHeap) Push(x any) {
	if result, ok := x.(savedResult); ok {
		*h = append(*h, result)
	}
}

// Pop implements heap.Interface.
func (h *resultHeap) Pop() any {
	last := (*h)[len(*h)-1]
	(*h)[len(*h)-1] = savedResult{}
	*h = (*h)[:len(*h)-1]
	return last
}

// shrinkAbove is the size under which a map is never rebuilt.
const shrinkAbove = 256

// shrinkingMap is a map by channel that gives memory back when it has lost most
// of its entries, which Go's maps do not. The copy is paid for by the removals
// that led to it. The zero value is empty. Keys must not be parts of a client's
// message, which must not be kept.
type shrinkingMap[V any] struct {
	items map[string]V
	peak  int
}

func (m *shrinkingMap[V]) get(key string) V { return m.items[key] }

func (m *shrinkingMap[V]) set(key string, value V) {
	if m.items == nil {
		m.items = make(map[string]V)
	}
	m.items[key] = value
	m.peak = max(m.peak, len(m.items))
}

func (m *shrinkingMap[V]) remove(key string) {
	delete(m.items, key)
	if m.peak > shrinkAbove && len(m.items) < m.peak/4 {
		m.items, m.peak = cloneMap(m.items), len(m.items)
	}
}

// cloneMap copies a map into one of its present size; maps.Clone keeps the
// capacity.
func cloneMap[V any](m map[string]V) map[string]V {
	clone := make(map[string]V, len(m))
	for key, value := range m {
		clone[key] = value
	}
	return clone
}
