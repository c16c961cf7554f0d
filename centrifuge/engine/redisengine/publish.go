package redisengine

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/protocol"

	"github.com/redis/rueidis"
)

var errAnswer = errors.New("unexpected answer of the server")

// Publish implements centrifuge.Broker. It takes one round trip. It returns no error only
// if the server has accepted the publication.
func (b *Broker) Publish(ctx context.Context, channel string, pub *centrifuge.Publication, opts centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	if err := b.usable(); err != nil {
		return centrifuge.PublishResult{}, err
	}
	offset := pub.Offset
	pub.Offset = 0 // the frame has it
	payload := rueidis.BinaryString(protocol.EncodePublication(pub))
	pub.Offset = offset
	switch {
	case opts.HistorySize > 0 && opts.HistoryTTL > 0:
		result, err := b.publishWithHistory(ctx, channel, payload, &opts)
		if err == nil && result.Suppressed == centrifuge.NotSuppressed {
			pub.Offset = result.Offset
		}
		return result, err
	case opts.IdempotencyKey != "":
		keys := []string{b.redis.layout.result(channel, opts.IdempotencyKey)}
		args := []string{payload, b.publishName(), b.redis.layout.messages(channel), resultTTL(&opts), b.redis.layout.busOf(channel), decimal(b.redis.busSize)}
		result, err := b.redis.shard(channel).exec(ctx, publishOnce, keys, args)
		if err != nil {
			return centrifuge.PublishResult{}, err
		}
		return parsePublished(result)
	}
	return centrifuge.PublishResult{}, b.send(ctx, channel, payload)
}

func (b *Broker) publishWithHistory(ctx context.Context, channel, payload string, opts *centrifuge.PublishOptions) (centrifuge.PublishResult, error) {
	l, seen := b.redis.layout, b.seen.get(channel)
	keys := []string{b.metaKey(channel), b.historyKey(channel)}
	ttl := "0"
	if opts.IdempotencyKey != "" {
		keys = append(keys, l.result(channel, opts.IdempotencyKey))
		ttl = resultTTL(opts)
	}
	delta := "0"
	if opts.UseDelta {
		delta = "1"
	}
	args := []string{
		payload, decimal(opts.HistorySize), milliseconds(opts.HistoryTTL), b.metaTTL(opts.HistoryMetaTTL), newEpoch(),
		b.publishName(), l.messages(channel), delta, unsignedDecimal(opts.Version), opts.VersionEpoch, ttl,
		seen.Epoch, unsignedDecimal(seen.Offset), l.busOf(channel), decimal(b.redis.busSize), seen.run,
	}
	answer, run, err := b.redis.shard(channel).execAt(ctx, b.scripts.publish, keys, args)
	if err != nil {
		return centrifuge.PublishResult{}, err
	}
	result, err := parsePublished(answer)
	if err == nil && result.Suppressed != centrifuge.SuppressedIdempotency {
		b.seen.confirm(channel, seenPosition{result.StreamPosition, run})
	}
	return result, err
}

// send publishes without keeping anything. In a cluster, messages that two servers publish
// may overtake each other: all of a channel are published by the server that has its keys.
func (b *Broker) send(ctx context.Context, channel, payload string) error {
	s, l := b.redis.shard(channel), b.redis.layout
	topic := l.messages(channel)
	if bus := l.busOf(channel); bus != "" {
		_, err := s.do(ctx, func(l *link) rueidis.RedisResult {
			return l.client.Do(ctx, busAdd(l.client, bus, b.redis.busSize, topic, payload))
		})
		return err
	}
	if l.cluster && l.partitions == 0 {
		_, err := s.exec(ctx, publishThere, []string{b.historyKey(channel)}, []string{payload, topic})
		return err
	}
	_, err := s.do(ctx, func(at *link) rueidis.RedisResult {
		c := at.client
		if l.partitions > 0 {
			return c.Do(ctx, c.B().Spublish().Channel(topic).Message(payload).Build())
		}
		return c.Do(ctx, c.B().Publish().Channel(topic).Message(payload).Build())
	})
	return err
}

// PublishJoin implements centrifuge.Broker.
func (b *Broker) PublishJoin(ctx context.Context, channel string, info *centrifuge.ClientInfo) error {
	if err := b.usable(); err != nil {
		return err
	}
	return b.send(ctx, channel, rueidis.BinaryString(joinMessage(info)))
}

// PublishLeave implements centrifuge.Broker.
func (b *Broker) PublishLeave(ctx context.Context, channel string, info *centrifuge.ClientInfo) error {
	if err := b.usable(); err != nil {
		return err
	}
	return b.send(ctx, channel, rueidis.BinaryString(leaveMessage(info)))
}

// parsePublished reads the answer of a publish script: offset, epoch and outcome.
func parsePublished(answer rueidis.RedisResult) (result centrifuge.PublishResult, err error) {
	parts, err := answer.ToArray()
	if err != nil || len(parts) != 3 {
		return result, fmt.Errorf("%w: %d parts, want 3: %w", errAnswer, len(parts), err)
	}
	if result.StreamPosition, err = parsePosition(parts[0], parts[1]); err != nil {
		return result, err
	}
	outcome, err := parts[2].AsInt64()
	if err != nil {
		return result, fmt.Errorf("%w: %w", errAnswer, err)
	}
	switch outcome {
	case outcomeRepeated:
		result.Suppressed = centrifuge.SuppressedIdempotency
	case outcomeOldVersion:
		result.Suppressed = centrifuge.SuppressedVersion
	}
	return result, nil
}

func parsePosition(offset, epoch rueidis.RedisMessage) (p centrifuge.StreamPosition, err error) {
	text, err := offset.ToString()
	if err != nil {
		return p, fmt.Errorf("%w: offset: %w", errAnswer, err)
	}
	if p.Offset, err = strconv.ParseUint(text, 10, 64); err != nil {
		return p, fmt.Errorf("%w: offset: %w", errAnswer, err)
	}
	if p.Epoch, err = epoch.ToString(); err != nil {
		return p, fmt.Errorf("%w: epoch: %w", errAnswer, err)
	}
	return p, nil
}

// publishName is the command with which scripts publish.
func (b *Broker) publishName() string {
	if b.redis.layout.partitions > 0 {
		return "spublish"
	}
	return "publish"
}

func (b *Broker) metaKey(channel string) string {
	if b.config.HistoryUseLists {
		return b.redis.layout.key("list.meta", channel)
	}
	return b.redis.layout.key("stream.meta", channel)
}

func (b *Broker) historyKey(channel string) string {
	if b.config.HistoryUseLists {
		return b.redis.layout.key("list", channel)
	}
	return b.redis.layout.key("stream", channel)
}

func (b *Broker) metaTTL(ttl time.Duration) string {
	if ttl <= 0 {
		ttl = b.config.HistoryMetaTTL
	}
	return milliseconds(ttl)
}

func resultTTL(opts *centrifuge.PublishOptions) string {
	ttl := opts.IdempotencyTTL
	if ttl <= 0 {
		ttl = defaultIdempotencyTTL
	}
	return milliseconds(ttl)
}

// maxTTL is the longest time to live that is sent to the server, which adds its clock to it.
const maxTTL = 100 * 365 * 24 * time.Hour

// milliseconds returns a time to live for the server, at least one millisecond.
func milliseconds(ttl time.Duration) string {
	return decimal(max(min(ttl, maxTTL).Milliseconds(), 1))
}
