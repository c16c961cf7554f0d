package centrifuge

import (
	"context"
	"time"
)

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
	n.stats.of(channel).actions.add(as)
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
