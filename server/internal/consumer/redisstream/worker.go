package redisstream

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"centrifugo/server/internal/consumer"

	"github.com/redis/rueidis"
)

// stream is a stream of one server.
type stream struct {
	// Static after construction.
	source    *Source
	client    rueidis.Client
	timeout   time.Duration // in which the server must answer
	processor *consumer.Processor
	name      string
	waiting   *atomic.Int64 // entries that are not acknowledged
}

// worker is one consumer of the group. It processes its entries in the order of the stream.
type worker struct {
	*stream

	consumer string // its name in the group

	// Owned by run.
	claimed time.Time // when entries of others were last looked for
}

// run reads entries until ctx is done: first those that this consumer has read before and
// not acknowledged, then new ones, and from time to time those that other consumers
// have left.
func (w *worker) run(ctx context.Context) error {
	if err := w.create(ctx); err != nil {
		return err
	}
	for ctx.Err() == nil {
		entries, err := w.read(ctx, "0")
		if err != nil {
			return err
		}
		if len(entries) == 0 {
			break
		}
		if err := w.process(ctx, entries); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		entries, err := w.next(ctx)
		if err != nil {
			return err
		}
		if err := w.process(ctx, entries); err != nil {
			return err
		}
	}
	return nil
}

// create makes the group, which begins with the first entry, and the stream.
func (s *stream) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	err := s.client.Do(ctx, s.client.B().XgroupCreate().Key(s.name).Group(s.source.config.ConsumerGroup).Id("0").Mkstream().Build()).Error()
	if err != nil && !strings.Contains(err.Error(), "BUSYGROUP") { // it exists
		return fmt.Errorf("creating the group of %s: %w", s.name, err)
	}
	return nil
}

// next returns entries that others have left, or else new ones. There may be none.
func (w *worker) next(ctx context.Context) ([]rueidis.XRangeEntry, error) {
	visibility := w.source.config.VisibilityTimeout
	if time.Since(w.claimed) >= visibility/2 {
		entries, err := w.claim(ctx, visibility)
		if err != nil || len(entries) > 0 {
			return entries, err
		}
		w.claimed = time.Now()
	}
	return w.read(ctx, ">")
}

// claim takes over entries that were read by any consumer and not touched for a time.
func (w *worker) claim(ctx context.Context, idle time.Duration) ([]rueidis.XRangeEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	answer, err := w.client.Do(ctx, w.client.B().Xautoclaim().Key(w.name).Group(w.source.config.ConsumerGroup).Consumer(w.consumer).
		MinIdleTime(milliseconds(idle)).Start("0-0").Count(batch).Build()).ToArray()
	if err != nil {
		return nil, fmt.Errorf("claiming entries of %s: %w", w.name, err)
	}
	if len(answer) < 2 {
		return nil, fmt.Errorf("claiming entries of %s: an answer with %d parts", w.name, len(answer))
	}
	entries, err := answer[1].AsXRange()
	if err != nil {
		return nil, fmt.Errorf("claiming entries of %s: %w", w.name, err)
	}
	if len(answer) > 2 { // those that are not in the stream any more
		if gone, err := answer[2].AsStrSlice(); err == nil && len(gone) > 0 {
			w.lost(gone)
		}
	}
	return entries, nil
}

// lost reports entries that were removed from the stream before they were processed.
func (w *worker) lost(ids []string) {
	w.processor.Failed("entries were removed from the stream before they were processed", "stream", w.name, "number", len(ids), "first", ids[0])
}

// read returns entries of this consumer behind an id, or new ones for ">". For new ones it
// waits.
func (w *worker) read(ctx context.Context, from string) ([]rueidis.XRangeEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, block+w.timeout)
	defer cancel()
	read := w.client.B().Xreadgroup().Group(w.source.config.ConsumerGroup, w.consumer).Count(batch)
	var command rueidis.Completed
	if from == ">" {
		command = read.Block(min(block, w.source.config.VisibilityTimeout).Milliseconds()).Streams().Key(w.name).Id(from).Build()
	} else {
		command = read.Streams().Key(w.name).Id(from).Build()
	}
	streams, err := w.client.Do(ctx, command).AsXRead()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", w.name, err)
	}
	return streams[w.name], nil
}

// process processes entries and acknowledges them, also those that are processed when ctx is
// done. While it works, it touches the entries, so that no other consumer claims them.
func (w *worker) process(ctx context.Context, entries []rueidis.XRangeEntry) error {
	var done []string
	touched := time.Now()
	for i, e := range entries {
		if ctx.Err() != nil {
			break
		}
		if e.FieldValues == nil {
			w.lost([]string{e.ID})
			done = append(done, e.ID)
			continue
		}
		extend := func(ctx context.Context) {
			if time.Since(touched) >= w.source.config.VisibilityTimeout/3 {
				w.touch(ctx, done, entries[i:])
				touched = time.Now()
			}
		}
		extend(ctx)
		m := w.message(e)
		m.Extend, m.ExtendEvery = extend, w.source.config.VisibilityTimeout/3
		if err := w.processor.Process(ctx, m); err != nil {
			break // ctx is done
		}
		done = append(done, e.ID)
	}
	if len(done) == 0 {
		return nil
	}
	finishing, cancel := consumer.Finishing(ctx)
	defer cancel()
	finishing, end := context.WithTimeout(finishing, w.timeout)
	defer end()
	if err := w.client.Do(finishing, w.client.B().Xack().Key(w.name).Group(w.source.config.ConsumerGroup).Id(done...).Build()).Error(); err != nil {
		return fmt.Errorf("acknowledging entries of %s: %w", w.name, err)
	}
	return nil
}

// touch makes the entries in work look as if they had just been read.
func (w *worker) touch(ctx context.Context, done []string, rest []rueidis.XRangeEntry) {
	ids := append([]string(nil), done...)
	for _, e := range rest {
		ids = append(ids, e.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	err := w.client.Do(ctx, w.client.B().Xclaim().Key(w.name).Group(w.source.config.ConsumerGroup).Consumer(w.consumer).MinIdleTime("0").
		Id(ids...).Justid().Build()).Error()
	if err != nil && ctx.Err() == nil {
		w.processor.Failed("touching entries failed, another node may process them too", "stream", w.name, "error", err)
	}
}

func (w *worker) message(e rueidis.XRangeEntry) consumer.Message {
	m := consumer.Message{ID: w.name + " " + e.ID}
	for name, value := range e.FieldValues {
		if name == w.source.config.PayloadValue {
			m.Body = []byte(value)
			continue
		}
		m.Attributes = append(m.Attributes, consumer.Attribute{Name: name, Value: value})
	}
	return m
}

// count reads how many entries are not acknowledged.
func (s *stream) count(ctx context.Context) error {
	groups, err := s.client.Do(ctx, s.client.B().XinfoGroups().Key(s.name).Build()).ToArray()
	if err != nil {
		return fmt.Errorf("asking for the groups of %s: %w", s.name, err)
	}
	for i := range groups {
		facts, err := groups[i].AsMap()
		if err != nil {
			return fmt.Errorf("reading the groups of %s: %w", s.name, err)
		}
		name, pending, lag := facts["name"], facts["pending"], facts["lag"]
		if text, err := name.ToString(); err != nil || text != s.source.config.ConsumerGroup {
			continue
		}
		n, _ := pending.AsInt64()
		behind, _ := lag.AsInt64() // before Redis 7, and after deletions, it is not known
		s.waiting.Store(n + behind)
	}
	return nil
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }
