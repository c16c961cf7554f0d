// Package subscribeopts converts the features of a subscription, which follow from
// the channel rules, to options of the library. Clients and the server API use the
// same conversion.
package subscribeopts

import (
	"slices"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/channels"
)

// deltaFossil is the only delta type (server.md 4.2).
const deltaFossil = "fossil"

// New returns the options of a subscription with the features f on a channel of ns.
// The caller adds expiry, info and data.
func New(ns *channels.Namespace, source channels.Source, f channels.Features) centrifuge.SubscribeOptions {
	opts := centrifuge.SubscribeOptions{
		Presence:        f.Presence,
		JoinLeave:       f.JoinLeave,
		PushJoinLeave:   f.PushJoinLeave,
		Positioning:     f.Positioned,
		Recovery:        f.Recoverable,
		AutoRecover:     f.AutoCacheRecover,
		HistoryMetaTTL:  f.HistoryMetaTTL,
		AllowDelta:      slices.Contains(ns.Options.AllowedDeltaTypes, deltaFossil),
		AllowTagsFilter: ns.Options.AllowTagsFilter,
		AllowCompaction: ns.Options.AllowChannelCompaction,
		Slow:            slowPolicy(ns.Options.SlowReaderPolicy),
		Source:          uint8(source),
	}
	if f.CacheRecovery {
		opts.RecoveryMode = centrifuge.RecoverCache
	}
	return opts
}

// slowPolicy returns the policy with a name of the option slow_reader_policy.
func slowPolicy(name string) centrifuge.SlowPolicy {
	switch name {
	case "latest":
		return centrifuge.SlowLatest
	case "drop_oldest":
		return centrifuge.SlowDropOldest
	}
	return centrifuge.SlowDisconnect
}
