package app

import "centrifugo/centrifuge"

// channelBatch returns how publications of a channel are batched, by the current rules.
// The node calls it only after it was started, when a.policy is set.
func (a *App) channelBatch(channel string) centrifuge.BatchOptions {
	b := a.policy.Rules().Batch(channel)
	return centrifuge.BatchOptions{
		MaxDelay: b.MaxDelay, MaxSize: b.MaxSize, FlushLatest: b.FlushLatest, ByTags: b.ByTags,
	}
}
