// Package grant says what a granted subscription is in terms of the library. It
// is the one place where the features that the channel rules give become options
// of the core; whoever grants subscriptions uses it.
package grant

import (
	"slices"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/channels"
)

// deltaFossil is the one delta type there is (server-interface 4.2).
const deltaFossil = "fossil"

// Options returns the subscription that f describes, on a channel of ns. Expiry,
// info and data are the caller's to add.
func Options(ns *channels.Namespace, source channels.Source, f channels.Features) centrifuge.SubscribeOptions {
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
		Source:          uint8(source),
	}
	if f.CacheRecovery {
		opts.RecoveryMode = centrifuge.RecoverCache
	}
	return opts
}
