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

// patternPrefix returns where the segments of a channel begin, by the current rules. As
// channelBatch, it is called only after the node was started.
func (a *App) patternPrefix(channel string) (length int, ok bool) {
	return a.policy.Rules().PatternPrefix(channel)
}
