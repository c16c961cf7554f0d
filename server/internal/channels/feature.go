package channels

import "time"

// Wishes are what a client asks of its subscription.
type Wishes struct {
	Positioned  bool
	Recoverable bool
	JoinLeave   bool
}

// Override replaces options of the namespace for one subscription; nil keeps the
// option. It comes with tokens, proxy replies and the server API.
type Override struct {
	Presence           *bool
	JoinLeave          *bool
	ForcePushJoinLeave *bool
	ForcePositioning   *bool
	ForceRecovery      *bool
}

// Features are what a granted subscription does.
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

// Features returns what a subscription granted by source does (server-interface
// 4.3, after the table). Wishes count for the sources token, user-limited, allowed
// and insecure; all others ignore them (trap 26). A user-limited, allowed or
// insecure subscription has no override.
func (r *Rules) Features(ns *Namespace, source Source, user string, w Wishes, over Override) Features {
	o := &ns.Options
	f := Features{
		Presence:         pick(over.Presence, o.Presence),
		JoinLeave:        pick(over.JoinLeave, o.JoinLeave),
		PushJoinLeave:    pick(over.ForcePushJoinLeave, o.ForcePushJoinLeave),
		Positioned:       pick(over.ForcePositioning, o.ForcePositioning),
		Recoverable:      pick(over.ForceRecovery, o.ForceRecovery),
		CacheRecovery:    o.ForceRecoveryMode == "cache",
		AutoCacheRecover: o.AutoCacheRecover,
		HistoryMetaTTL:   ns.HistoryMetaTTL,
	}
	switch source {
	case SourceSubscriptionToken:
		// The meta TTL of the namespace is not applied to subscriptions by token (server-interface 4.3).
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
	f.Positioned = f.Positioned || w.Positioned && (o.AllowPositioning || history)
	f.Recoverable = f.Recoverable || w.Recoverable && (o.AllowRecovery || history)
	f.PushJoinLeave = f.PushJoinLeave || w.JoinLeave && o.JoinLeave && r.presenceAccess(ns, asSubscriber) == Allowed
	return f
}

func pick(over *bool, option bool) bool {
	if over != nil {
		return *over
	}
	return option
}

// Batch says how the publications of a channel are gathered before they are sent.
type Batch struct {
	MaxDelay time.Duration // zero: not at all
	MaxSize  int           // in messages, zero: any number
	// FlushLatest sends only the newest publication, with ByTags the newest of
	// each set of tags.
	FlushLatest, ByTags bool
}

// Batch returns how the channel's publications are gathered; not at all when its
// namespace is not defined.
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
