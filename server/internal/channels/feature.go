package channels

import (
	"strings"
	"time"

	"centrifugo/internal/wildcard"
	"centrifugo/server/internal/override"
)

// Request holds what a client requests of its subscription.
type Request struct {
	Positioned  bool
	Recoverable bool
	JoinLeave   bool
}

// Features are the features of a subscription.
type Features struct {
	Presence         bool // the subscriber appears in presence
	JoinLeave        bool // joins and leaves of the subscriber are published
	PushJoinLeave    bool // joins and leaves of others are sent to the subscriber
	Positioned       bool
	Recoverable      bool
	CacheRecovery    bool // recovery gives the latest publication only
	AutoCacheRecover bool // the latest publication is also delivered on the first subscribe
	HistoryMetaTTL   time.Duration
}

// Features returns the features of a subscription that source allowed
// (server.md 4.3, after the table). The request counts for the sources token,
// user-limited, allowed and insecure; all others ignore it (server.md 4.3). over is nil for
// none; a user-limited, allowed or insecure subscription has none.
func (r *Rules) Features(ns *Namespace, source Source, user string, request Request, over *override.SubscribeOverride) Features {
	if over == nil {
		over = new(override.SubscribeOverride)
	}
	o := &ns.Options
	f := Features{
		Presence:         over.Presence.Or(o.Presence),
		JoinLeave:        over.JoinLeave.Or(o.JoinLeave),
		PushJoinLeave:    over.ForcePushJoinLeave.Or(o.ForcePushJoinLeave),
		Positioned:       over.ForcePositioning.Or(o.ForcePositioning),
		Recoverable:      over.ForceRecovery.Or(o.ForceRecovery),
		CacheRecovery:    o.ForceRecoveryMode == "cache",
		AutoCacheRecover: o.AutoCacheRecover,
		HistoryMetaTTL:   ns.HistoryMetaTTL,
	}
	switch source {
	case SourceSubscriptionToken:
		// The meta TTL of the namespace is not applied to subscriptions by token (server.md 4.3).
		f.HistoryMetaTTL = r.historyMetaTTL
	case SourceStreamProxy:
		f.Recoverable = false // a stream of the backend has no history to recover from
		return f
	case SourceUserLimited, SourceClientAllowed, SourceClientInsecure:
	default:
		return f
	}
	asSubscriber := ReadQuery{User: user, Subscribed: true}
	history := r.historyAccess(ns, asSubscriber) == Allowed
	f.Positioned = f.Positioned || request.Positioned && (o.AllowPositioning || history)
	f.Recoverable = f.Recoverable || request.Recoverable && (o.AllowRecovery || history)
	f.PushJoinLeave = f.PushJoinLeave || request.JoinLeave && o.JoinLeave && r.presenceAccess(ns, asSubscriber) == Allowed
	return f
}

// Batch describes how the publications of a channel are collected before delivery.
type Batch struct {
	MaxDelay time.Duration // zero disables batching
	MaxSize  int           // in publications; zero means any number
	// FlushLatest delivers only the newest publication; with ByTags, the newest of
	// each set of tags.
	FlushLatest, ByTags bool
}

// Batch returns how the publications of a channel are collected. The zero value, which
// disables batching, is also returned for a namespace that is not defined.
func (r *Rules) Batch(channel string) Batch {
	ns, ok := r.Namespace(channel)
	if !ok {
		return Batch{}
	}
	o := &ns.Options
	return Batch{
		MaxDelay: o.BatchMaxDelay, MaxSize: o.BatchMaxSize,
		FlushLatest: o.BatchFlushLatest, ByTags: o.AllowTagsFilter,
	}
}

// PatternPrefix returns the length of what patterns and the channels that they match
// have in common: the private prefix, the namespace and the boundary. A pattern never
// matches a channel of another namespace, nor a private one unless it is private itself.
// Ok reports whether the namespace has patterns. PatternPrefix does not allocate.
func (r *Rules) PatternPrefix(channel string) (length int, ok bool) {
	ns, found := r.Namespace(channel)
	ok = found && ns.Options.AllowWildcards
	if _, rest, named := r.split(channel); named {
		return len(channel) - len(rest), ok
	}
	if r.Private(channel) {
		return len(r.privatePrefix), ok
	}
	return 0, ok
}

// Pattern reports whether a channel is a pattern of channels. A pattern can be
// subscribed to and nothing else.
func (r *Rules) Pattern(channel string) bool {
	if !strings.ContainsAny(channel, "*>") {
		return false
	}
	length, ok := r.PatternPrefix(channel)
	return ok && wildcard.IsPattern(channel[length:])
}
