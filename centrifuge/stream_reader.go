package centrifuge

import (
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readLife is how long the result of a read may be used by others.
	readLife = time.Second
	// maxCheckLife bounds how long the position that a check has read may be used by
	// the checks of other subscriptions of the channel.
	maxCheckLife = 5 * time.Second
	// maxReadBytes bounds the payloads in the results that are kept for others. A read
	// beyond it is shared only with those who wait for it.
	maxReadBytes = 8 << 20

	readShards = 16
)

// streamReader reads the streams of an engine that may block. Subscriptions that need
// the same part of a stream share one call: thousands of clients recover the same
// publications when a node or a load balancer comes back.
//
// A subscription calls read when its gate holds pushes, so that a publication is
// either in the result or held. A read that began before that time serves as well, as
// long as no publication of the channel has arrived at the node since it began:
// whatever was appended after the read is still on its way and will be held. The node
// therefore calls invalidate before it hands a publication to the hub, and when the
// channel has lost its last subscriber.
//
// In a channel that is too busy for that, subscriptions wait for the read that is
// running and share the next one, so that there is one call at a time for each part
// of the stream.
type streamReader struct {
	// Static after construction.
	life time.Duration
	seed maphash.Seed

	entries atomic.Int64 // in all shards: invalidate has nothing to do while it is zero
	bytes   atomic.Int64 // of payload in kept results
	shards  [readShards]readShard
}

type readShard struct {
	// Guarded by mu, which is a leaf.
	mu       sync.Mutex
	channels map[string]channelReads // nil while empty
	sweeping bool                    // the timer of sweep is set
}

type channelReads map[readKey]*streamRead

// readKey identifies a part of a channel's stream.
type readKey struct {
	since   StreamPosition
	all     bool // without since
	reverse bool
	limit   int
	metaTTL time.Duration
}

// streamRead is one call of HistoryBroker.History, before, while and after it runs.
type streamRead struct {
	// Static after construction.
	done chan struct{} // closed by the leader, who makes the call

	// Guarded by the shard's mu.
	began    time.Time // zero while it waits for the one before
	finished bool
	stale    bool // a publication has arrived since it began
	size     int  // of the payloads that are counted in streamReader.bytes

	// Written by the leader before done is closed.
	result    HistoryResult
	err       error
	abandoned bool // the leader's context has ended: who waits for it starts over
}

func newStreamReader(life time.Duration) *streamReader {
	return &streamReader{life: life, seed: maphash.MakeSeed()}
}

// read returns what call returns, which was called by this or another goroutine. Call
// must not retain ctx.
func (r *streamReader) read(ctx context.Context, channel string, opts HistoryOptions, call func(ctx context.Context) (HistoryResult, error)) (HistoryResult, error) {
	key := readKey{all: opts.Since == nil, reverse: opts.Reverse, limit: opts.Limit, metaTTL: opts.MetaTTL}
	if opts.Since != nil {
		key.since = *opts.Since
	}
	for {
		read, before, lead := r.join(channel, key)
		if lead {
			return r.lead(ctx, channel, key, read, before, call)
		}
		select {
		case <-read.done:
		case <-ctx.Done():
			return HistoryResult{}, ctx.Err()
		}
		if !read.abandoned {
			return read.result, read.err
		}
	}
}

// join returns the read that the caller shares. If lead is set, the caller must lead
// it, after the one before, if any, has finished.
func (r *streamReader) join(channel string, key readKey) (read, before *streamRead, lead bool) {
	s := r.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	known := s.channels[channel][key]
	if known != nil {
		switch {
		case known.began.IsZero(), !known.stale && now.Sub(known.began) < r.life:
			return known, nil, false
		case !known.finished:
			before = known
		default:
			r.removeLocked(s, channel, key)
		}
	}
	read = &streamRead{done: make(chan struct{})}
	if before == nil {
		read.began = now
		r.entries.Add(1)
	}
	if s.channels == nil {
		s.channels = make(map[string]channelReads)
	}
	reads := s.channels[channel]
	if reads == nil {
		reads = make(channelReads, 1)
		s.channels[channel] = reads
	}
	reads[key] = read
	if !s.sweeping {
		s.sweeping = true
		time.AfterFunc(r.life, func() { r.sweep(s) })
	}
	return read, before, true
}

// lead makes the call of a read and gives the result to those who wait for it.
func (r *streamReader) lead(ctx context.Context, channel string, key readKey, read, before *streamRead, call func(context.Context) (HistoryResult, error)) (HistoryResult, error) {
	defer close(read.done)
	defer r.finish(channel, key, read)
	read.abandoned = true // should call panic
	if before != nil {
		select {
		case <-before.done:
			r.begin(channel, read)
		case <-ctx.Done():
			read.err = ctx.Err()
			return HistoryResult{}, read.err
		}
	}
	read.result, read.err = call(ctx)
	read.abandoned = read.err != nil && ctx.Err() != nil
	return read.result, read.err
}

func (r *streamReader) begin(channel string, read *streamRead) {
	s := r.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	read.began = time.Now()
}

// finish keeps the result for others if it is still valid and fits.
func (r *streamReader) finish(channel string, key readKey, read *streamRead) {
	size := payloadSize(read.result.Publications)
	s := r.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	read.finished = true
	if s.channels[channel][key] != read {
		return
	}
	lasting := read.err == nil || errors.Is(read.err, ErrorUnrecoverablePosition)
	if read.stale || !lasting || r.bytes.Load()+int64(size) > maxReadBytes {
		r.removeLocked(s, channel, key)
		return
	}
	read.size = size
	r.bytes.Add(int64(size))
}

// invalidate makes the reads of channel that have begun unusable for those who join
// from now on.
func (r *streamReader) invalidate(channel string) {
	if r.entries.Load() == 0 {
		return
	}
	s := r.shard(channel)
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, read := range s.channels[channel] {
		switch {
		case read.finished:
			r.removeLocked(s, channel, key)
		case !read.began.IsZero():
			read.stale = true
		}
	}
}

// removeLocked forgets the read of a key.
func (r *streamReader) removeLocked(s *readShard, channel string, key readKey) {
	reads := s.channels[channel]
	r.bytes.Add(-int64(reads[key].size))
	r.entries.Add(-1)
	if delete(reads, key); len(reads) == 0 {
		if delete(s.channels, channel); len(s.channels) == 0 {
			s.channels = nil
		}
	}
}

// sweep forgets results that are too old.
func (r *streamReader) sweep(s *readShard) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for channel, reads := range s.channels {
		for key, read := range reads {
			if read.finished && now.Sub(read.began) >= r.life {
				r.removeLocked(s, channel, key)
			}
		}
	}
	if s.sweeping = len(s.channels) > 0; s.sweeping {
		time.AfterFunc(r.life, func() { r.sweep(s) })
	}
}

func (r *streamReader) shard(channel string) *readShard {
	return &r.shards[maphash.String(r.seed, channel)%readShards]
}
