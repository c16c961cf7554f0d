package app

import "centrifugo/centrifuge"

// channelBatch asks the rules in force how a channel's publications are
// gathered. The node asks it after it was started, when there is a policy.
func (a *App) channelBatch(channel string) centrifuge.BatchOptions {
	b := a.policy.Rules().Batch(channel)
	return centrifuge.BatchOptions{
		MaxDelay: b.MaxDelay, MaxSize: b.MaxSize, FlushLatest: b.FlushLatest, ByTags: b.ByTags,
	}
}
