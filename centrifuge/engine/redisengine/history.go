package redisengine

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"centrifugo/centrifuge"
	"centrifugo/protocol"

	"github.com/redis/rueidis"
)

// History implements centrifuge.HistoryBroker. It takes one round trip.
func (b *Broker) History(ctx context.Context, channel string, opts centrifuge.HistoryOptions) (centrifuge.HistoryResult, error) {
	var none centrifuge.HistoryResult
	if err := b.usable(); err != nil {
		return none, err
	}
	if opts.Reverse && opts.Since != nil && opts.Since.Offset == 0 {
		return none, centrifuge.ErrorBadRequest
	}
	window, seen := windowOf(&opts), b.seen.get(channel)
	keys := []string{b.metaKey(channel), b.historyKey(channel)}
	args := []string{
		newEpoch(), b.metaTTL(opts.MetaTTL), seen.Epoch, unsignedDecimal(seen.Offset), seen.run,
		decimal(window.limit), window.reverse(), window.epoch, window.first, window.final,
	}
	answer, run, err := b.redis.shard(channel).execAt(ctx, b.scripts.read, keys, args)
	if err != nil {
		return none, err
	}
	parts, err := answer.ToArray()
	if err != nil || len(parts) != 3 {
		return none, fmt.Errorf("%w: %d parts, want 3: %w", errAnswer, len(parts), err)
	}
	var result centrifuge.HistoryResult
	if result.StreamPosition, err = parsePosition(parts[0], parts[1]); err != nil {
		return none, err
	}
	b.seen.confirm(channel, seenPosition{result.StreamPosition, run})
	if window.epoch != "" && window.epoch != result.Epoch {
		return none, centrifuge.ErrorUnrecoverablePosition
	}
	entries, err := parts[2].ToArray()
	if err != nil {
		return none, fmt.Errorf("%w: entries: %w", errAnswer, err)
	}
	if b.config.HistoryUseLists {
		result.Publications, err = listEntries(entries, result.StreamPosition, &opts)
	} else {
		result.Publications, err = streamEntries(entries)
	}
	return result, err
}

// RemoveHistory implements centrifuge.HistoryBroker.
func (b *Broker) RemoveHistory(ctx context.Context, channel string) error {
	if err := b.usable(); err != nil {
		return err
	}
	key := b.historyKey(channel)
	_, err := b.redis.shard(channel).do(ctx, func(l *link) rueidis.RedisResult {
		return l.client.Do(ctx, l.client.B().Del().Key(key).Build())
	})
	return err
}

// window is the part of a stream that is read, as arguments of the script.
type window struct {
	limit        int
	backwards    bool
	epoch        string // that the stream must have, if not empty
	first, final string // offsets; final is empty for the top
}

func (w window) reverse() string {
	if w.backwards {
		return "1"
	}
	return "0"
}

func windowOf(opts *centrifuge.HistoryOptions) window {
	w := window{limit: opts.Limit, backwards: opts.Reverse, first: "1"}
	since := opts.Since
	switch {
	case since == nil:
		return w
	case opts.Reverse:
		w.final = unsignedDecimal(since.Offset - 1) // Offset is not zero
		if since.Offset == 1 {
			w.limit = 0
		}
	case since.Offset == math.MaxUint64:
		w.limit = 0
	default:
		w.first = unsignedDecimal(since.Offset + 1)
	}
	w.epoch = since.Epoch
	return w
}

// streamEntries decodes entries of a stream: an id and fields each.
func streamEntries(entries []rueidis.RedisMessage) ([]*centrifuge.Publication, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	publications := make([]*centrifuge.Publication, 0, len(entries))
	for _, entry := range entries {
		parsed, err := entry.AsXRangeEntry()
		if err != nil {
			return nil, fmt.Errorf("%w: entry: %w", errAnswer, err)
		}
		number, _, _ := strings.Cut(parsed.ID, "-")
		offset, err := strconv.ParseUint(number, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%w: id %q of an entry", errAnswer, parsed.ID)
		}
		pub, err := protocol.DecodePublication([]byte(parsed.FieldValues["d"]))
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", offset, err)
		}
		pub.Offset = offset
		publications = append(publications, pub)
	}
	return publications, nil
}

// listEntries decodes the entries of a list, which has the newest first, and returns those
// that are asked for.
func listEntries(entries []rueidis.RedisMessage, top centrifuge.StreamPosition, opts *centrifuge.HistoryOptions) ([]*centrifuge.Publication, error) {
	var publications []*centrifuge.Publication
	for _, entry := range entries {
		text, err := entry.ToString()
		if err != nil {
			return nil, fmt.Errorf("%w: entry: %w", errAnswer, err)
		}
		m, err := decodeMessage([]byte(text))
		if err != nil {
			return nil, fmt.Errorf("entry of a list: %w", err)
		}
		if m.pub == nil || m.epoch != top.Epoch || m.pub.Offset > top.Offset {
			continue // left over from lost state
		}
		if since := opts.Since; since != nil && (opts.Reverse && m.pub.Offset >= since.Offset || !opts.Reverse && m.pub.Offset <= since.Offset) {
			continue
		}
		publications = append(publications, m.pub)
	}
	if !opts.Reverse {
		slices.Reverse(publications)
	}
	if opts.Limit >= 0 && len(publications) > opts.Limit {
		publications = publications[:opts.Limit]
	}
	return publications, nil
}
