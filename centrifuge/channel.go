package centrifuge

import (
	"context"
	"fmt"
	"maps"
	"time"
)

// Publish sends data to the subscribers of channel, in the whole cluster.
// Publications of one caller into one channel arrive in their order. The node
// owns data and opts.ClientInfo from the call on; opts.Tags are copied.
//
// Data may be any bytes. Subscribers with JSON connections are not sent what is not
// valid JSON (protocol.CheckJSON says why); Stats.OmittedPublications counts it.
func (n *Node) Publish(ctx context.Context, channel string, data []byte, opts PublishOptions) (PublishResult, error) {
	if err := n.running(); err != nil {
		return PublishResult{}, err
	}
	n.stats.PublicationsSent.Add(1)
	pub := &Publication{Data: data, Info: opts.ClientInfo, Tags: maps.Clone(opts.Tags)}
	opts.Tags = pub.Tags
	result, err := n.broker.Publish(ctx, channel, pub, opts)
	if err != nil {
		return result, fmt.Errorf("publishing: %w", err)
	}
	switch result.Suppressed {
	case SuppressedIdempotency:
		n.stats.SuppressedIdempotency.Add(1)
	case SuppressedVersion:
		n.stats.SuppressedVersion.Add(1)
	case NotSuppressed:
	}
	return result, nil
}

// History reads the stream of channel. ErrNoHistory: the broker keeps none;
// ErrorUnrecoverablePosition: opts.Since names another epoch; ErrorBadRequest:
// opts.Reverse with Since at offset zero.
func (n *Node) History(ctx context.Context, channel string, opts HistoryOptions) (HistoryResult, error) {
	if opts.Limit == 0 {
		return n.readHistory(ctx, channel, opts, actionHistoryStreamTop)
	}
	return n.readHistory(ctx, channel, opts, actionHistory)
}

// readHistory is History, counted as an action.
func (n *Node) readHistory(ctx context.Context, channel string, opts HistoryOptions, as action) (HistoryResult, error) {
	if err := n.started(); err != nil {
		return HistoryResult{}, err
	}
	n.stats.actions.add(as)
	broker, ok := n.broker.(HistoryBroker)
	if !ok {
		return HistoryResult{}, ErrNoHistory
	}
	result, err := broker.History(ctx, channel, opts)
	setFirstEpoch(&result)
	return result, err
}

// readShared is readHistory for subscriptions whose gates hold: those that read the
// same at about the same time share one call of the engine.
func (n *Node) readShared(ctx context.Context, channel string, opts HistoryOptions, as action) (HistoryResult, error) {
	if n.immediateBroker {
		return n.readHistory(ctx, channel, opts, as)
	}
	return n.reads.read(ctx, channel, opts, func(ctx context.Context) (HistoryResult, error) {
		return n.readHistory(ctx, channel, opts, as)
	})
}

// checkedTop is the position of a stream's top. It may be as old as the life of
// Node.checks, which is much less than Config.PositionCheckDelay.
func (n *Node) checkedTop(ctx context.Context, channel string, metaTTL time.Duration) (StreamPosition, error) {
	opts := HistoryOptions{MetaTTL: metaTTL}
	if n.immediateBroker {
		result, err := n.History(ctx, channel, opts)
		return result.StreamPosition, err
	}
	result, err := n.checks.read(ctx, channel, opts, func(ctx context.Context) (HistoryResult, error) {
		return n.History(ctx, channel, opts)
	})
	return result.StreamPosition, err
}

// setFirstEpoch makes the publication with offset 1, if it is in the result, tell the
// epoch: a subscriber that started without one learns it from there (protocol.md
// 4.5). The publication is shared, so it is copied.
func setFirstEpoch(result *HistoryResult) {
	for _, i := range []int{0, len(result.Publications) - 1} { // forward and reverse
		if i >= 0 && i < len(result.Publications) && result.Publications[i].Offset == 1 && result.Publications[i].Epoch == "" {
			first := *result.Publications[i]
			first.Epoch = result.Epoch
			result.Publications[i] = &first
		}
	}
}

// RemoveHistory drops the publications of a stream and keeps its position.
func (n *Node) RemoveHistory(ctx context.Context, channel string) error {
	if err := n.started(); err != nil {
		return err
	}
	broker, ok := n.broker.(HistoryBroker)
	if !ok {
		return ErrNoHistory
	}
	defer n.reads.invalidate(channel)
	return broker.RemoveHistory(ctx, channel)
}

// Presence returns the connections subscribed to channel, by client id.
func (n *Node) Presence(ctx context.Context, channel string) (map[string]*ClientInfo, error) {
	if err := n.started(); err != nil {
		return nil, err
	}
	return n.presence.Presence(ctx, channel)
}

// PresenceStats counts the connections subscribed to channel.
func (n *Node) PresenceStats(ctx context.Context, channel string) (PresenceStats, error) {
	if err := n.started(); err != nil {
		return PresenceStats{}, err
	}
	return n.presence.PresenceStats(ctx, channel)
}

// Subscribed implements BrokerHandler.
func (n *Node) Subscribed(channel string) bool { return n.hub.NumSubscribers(channel) > 0 }

// NumSubscribers of a channel on this node.
func (n *Node) NumSubscribers(channel string) int {
	if n.started() != nil {
		return 0
	}
	return n.hub.NumSubscribers(channel)
}
