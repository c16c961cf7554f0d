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
	// tailBatch is the greatest number of entries that are read at once. Fewer are if they
	// are large: about tailBytes, by the sizes of the entries before.
	tailBatch = 1000
	tailBytes = 4 << 20
	// tailBlock is how long the server waits for an entry.
	tailBlock = time.Second
)

// tail reads a bus stream from where it stopped, on a connection of its own. Messages of all
// channels arrive, so there are no subscriptions. It is connected again when it fails, and
// when its probes do not arrive. If the server still has all that it has not read, nothing
// is lost; otherwise it reports a gap.
type tail struct {
	// Static after construction.
	ctx     context.Context
	shard   *shard
	name    string
	key     string // of the stream
	probe   string // topic of the probes
	receive func(m received)
	gap     func()
	stats   *Stats

	probed atomic.Int64 // when the last probe arrived, since busEpoch

	// Owned by run.
	last   streamID // the last entry that was read
	server string   // that last belongs to: the id of its run
	batch  int      // number of entries that are read next

	// Guarded by mu.
	mu     sync.Mutex
	ready  chan struct{} // closed while messages arrive
	reason error         // why they do not
}

// streamID is the id of an entry.
type streamID struct{ time, sequence uint64 }

func (i streamID) String() string { return unsignedDecimal(i.time) + "-" + unsignedDecimal(i.sequence) }

func (i streamID) before(other streamID) bool {
	return i.time < other.time || i.time == other.time && i.sequence < other.sequence
}

func parseStreamID(text string) (i streamID, err error) {
	before, after, _ := strings.Cut(text, "-")
	if i.time, err = strconv.ParseUint(before, 10, 64); err == nil {
		i.sequence, err = strconv.ParseUint(after, 10, 64)
	}
	if err != nil {
		err = fmt.Errorf("%w: id %q of an entry", errAnswer, text)
	}
	return i, err
}

func newTail(ctx context.Context, s *shard, name, key, probe string, receive func(m received), gap func(), stats *Stats) *tail {
	return &tail{
		ctx: ctx, shard: s, name: name, key: key, probe: probe, receive: receive, gap: gap, stats: stats,
		ready: make(chan struct{}), reason: errNotSubscribed, batch: tailBatch,
	}
}

// busAdd returns the command that adds a message to a bus stream.
func busAdd(c rueidis.Client, key string, size int, topic, payload string) rueidis.Completed {
	return c.B().Xadd().Key(key).Maxlen().Almost().Threshold(decimal(size)).Id("*").FieldValue().
		FieldValue("c", topic).FieldValue("d", payload).Build()
}

// request implements source. What is wanted arrives as soon as the tail reads.
func (t *tail) request(wanted bool, topics ...string) []<-chan struct{} {
	done := make([]<-chan struct{}, len(topics))
	if !wanted {
		return done
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range done {
		done[i] = t.ready
	}
	return done
}

// await implements source.
func (t *tail) await(ctx context.Context, done <-chan struct{}) error {
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", t.name, ctx.Err())
	case <-t.ctx.Done():
		return errClosed
	}
}

// health implements source.
func (t *tail) health() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.reason != nil {
		return fmt.Errorf("%s: %w", t.name, t.reason)
	}
	return nil
}

// set notes whether messages arrive.
func (t *tail) set(reason error) {
	t.mu.Lock()
	before := t.reason
	t.reason = reason
	switch {
	case before != nil && reason == nil:
		close(t.ready)
	case before == nil && reason != nil:
		t.ready = make(chan struct{})
	}
	t.mu.Unlock()
	if reason != nil && !errors.Is(reason, errClosed) && (before == nil || before.Error() != reason.Error()) {
		t.shard.redis.logf(centrifuge.LogError, "redis bus not connected", "bus", t.name, "error", reason)
	}
}

// run implements source.
func (t *tail) run() {
	backoff := minBackoff
	for t.ctx.Err() == nil {
		start := time.Now()
		err := t.follow()
		if t.ctx.Err() != nil {
			break
		}
		t.stats.Reconnects.Add(1)
		t.set(err)
		if time.Since(start) > maxBackoff {
			backoff = minBackoff
		}
		if !pause(t.ctx, backoff) {
			break
		}
		backoff = min(2*backoff, maxBackoff)
	}
	t.set(errClosed)
}

// follow reads on one connection until that fails.
func (t *tail) follow() error {
	l, err := t.shard.wait(t.ctx)
	if err != nil {
		return err
	}
	connecting, connected := context.WithTimeout(t.ctx, t.shard.config.IOTimeout)
	defer connected()
	client, _, err := l.dedicate(connecting, rueidis.PubSubHooks{})
	if err != nil {
		return err
	}
	defer client.Close()
	if err := t.resume(client); err != nil {
		return err
	}
	t.probed.Store(int64(time.Since(busEpoch)))
	t.set(nil)
	ctx, cancel := context.WithCancelCause(t.ctx)
	defer cancel(nil)
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer cancel(nil)
	tasks.Go(func() { t.prove(ctx, l, cancel) })
	for ctx.Err() == nil {
		full, err := t.read(ctx, client)
		if err != nil && ctx.Err() == nil {
			cancel(err)
		}
		if full && ctx.Err() == nil { // far behind: the next entries may be gone
			if err := t.check(ctx, client); err != nil {
				cancel(err)
			}
		}
	}
	err = context.Cause(ctx)
	if t.ctx.Err() == nil && !t.shard.redis.layout.cluster {
		l.breakLink(err) // see busConn.serve
	}
	return err
}

// resume finds the position to read from. It reports a gap unless the server is the one that
// was read from before, and has all entries since then.
func (t *tail) resume(client rueidis.DedicatedClient) error {
	ctx, cancel := context.WithTimeout(t.ctx, t.shard.config.IOTimeout)
	defer cancel()
	// The first command has the key, so that it chooses the server of a cluster.
	newest, err := t.edge(ctx, client, true)
	if err != nil {
		return err
	}
	info, err := client.Do(ctx, client.B().Info().Section("server").Build()).ToString()
	if err != nil {
		return fmt.Errorf("asking for the server: %w", err)
	}
	server := infoField(info, "run_id")
	before := t.server
	switch {
	case before == "": // the first time
		t.last = newest
	case newest.before(t.last):
		t.last = newest
	}
	t.server = server
	if before == "" {
		return nil
	}
	if before != server || server == "" {
		t.gap() // entries that were read may be lost there, and others have taken their place
		return nil
	}
	return t.check(ctx, client)
}

// check reports a gap if entries that were not read are gone.
func (t *tail) check(ctx context.Context, client rueidis.DedicatedClient) error {
	oldest, err := t.edge(ctx, client, false)
	if err != nil {
		return err
	}
	if t.last.before(oldest) {
		t.gap()
	}
	return nil
}

// edge returns the id of the newest or oldest entry, zero if there is none.
func (t *tail) edge(ctx context.Context, client rueidis.DedicatedClient, newest bool) (streamID, error) {
	command := client.B().Xrange().Key(t.key).Start("-").End("+").Count(1).Build()
	if newest {
		command = client.B().Xrevrange().Key(t.key).End("+").Start("-").Count(1).Build()
	}
	entries, err := client.Do(ctx, command).AsXRange()
	if err != nil && !rueidis.IsRedisNil(err) {
		return streamID{}, fmt.Errorf("reading the bus stream: %w", err)
	}
	if len(entries) == 0 {
		return streamID{}, nil
	}
	return parseStreamID(entries[0].ID)
}

// read reads the next entries and delivers them. Full means that there may be more.
func (t *tail) read(ctx context.Context, client rueidis.DedicatedClient) (full bool, err error) {
	limited, cancel := context.WithTimeout(ctx, tailBlock+t.shard.config.IOTimeout)
	defer cancel()
	command := client.B().Xread().Count(int64(t.batch)).Block(tailBlock.Milliseconds()).Streams().Key(t.key).Id(t.last.String()).Build()
	streams, err := client.Do(limited, command).AsXRead()
	if rueidis.IsRedisNil(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("reading the bus stream: %w", err)
	}
	entries, size := streams[t.key], 0
	for _, e := range entries {
		id, err := parseStreamID(e.ID)
		if err != nil {
			return false, err
		}
		t.last = id
		size += len(e.FieldValues["d"])
		if topic := e.FieldValues["c"]; topic == t.probe {
			t.probed.Store(int64(time.Since(busEpoch)))
		} else if !strings.HasPrefix(topic, t.shard.redis.layout.prefix+".probe.") { // those of other nodes
			t.receive(received{topic, e.FieldValues["d"], t.server})
		}
	}
	full = len(entries) == t.batch
	if len(entries) > 0 {
		t.batch = max(min(tailBytes/(size/len(entries)+1), tailBatch), 1)
	}
	return full, nil
}

// prove sends probes, and cancels reading when they do not arrive or the link is broken.
func (t *tail) prove(ctx context.Context, l *link, cancel context.CancelCauseFunc) {
	ticker := time.NewTicker(probeInterval)
	defer ticker.Stop()
	var sending atomic.Bool
	var tasks sync.WaitGroup
	defer tasks.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-l.broken:
			cancel(l.reason)
			return
		case <-ticker.C:
			if silent := time.Since(busEpoch) - time.Duration(t.probed.Load()); silent > probeTimeout {
				t.stats.ProbesLost.Add(1)
				cancel(fmt.Errorf("no probe has arrived for %v", silent.Round(100*time.Millisecond)))
				return
			}
			if sending.CompareAndSwap(false, true) {
				tasks.Go(func() {
					defer sending.Store(false)
					limited, done := context.WithTimeout(ctx, probeTimeout)
					defer done()
					_ = l.client.Do(limited, busAdd(l.client, t.key, t.shard.redis.busSize, t.probe, "")).Error() // seen by its absence
				})
			}
		}
	}
}

// infoField returns a field of the answer to INFO.
func infoField(info, name string) string {
	for line := range strings.Lines(info) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			return value
		}
	}
	return ""
}
