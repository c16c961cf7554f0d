package centrifuge

import "time"

// RecoveryMode says what a recovering subscriber gets.
type RecoveryMode uint8

const (
	// RecoverStream gives every missed publication, or tells that it cannot.
	RecoverStream RecoveryMode = iota
	// RecoverCache gives the newest publication only, as the channel's state.
	RecoverCache
)

// SubscribeOptions say what a subscription is. The zero value delivers
// publications and nothing else.
type SubscribeOptions struct {
	// ExpireAt is the Unix time in seconds at which the subscription expires,
	// zero for never.
	ExpireAt int64
	// Info is the channel info shown to others.
	Info []byte
	// Data is sent to the client with the result.
	Data []byte
	// Presence keeps the subscriber in the channel's presence.
	Presence bool
	// JoinLeave tells the channel when the subscriber comes and goes.
	JoinLeave bool
	// PushJoinLeave sends the joins and leaves of others to the subscriber.
	PushJoinLeave bool
	// Positioning makes delivery gapless, or ends the subscription.
	Positioning bool
	// Recovery lets the subscriber catch up after a reconnect; it implies Positioning.
	Recovery     bool
	RecoveryMode RecoveryMode
	// AutoRecover, with RecoverCache, recovers as if the client had asked.
	AutoRecover bool
	// RecoverSince is where a server-side subscription made by Node.Subscribe
	// starts; nil for now.
	RecoverSince *StreamPosition
	// HistoryMetaTTL prolongs the stream's metadata when it is read; zero for
	// the node's default.
	HistoryMetaTTL time.Duration
	// MaxSubscribers of the channel on this node, beyond which the subscription
	// is refused with ErrorLimitExceeded; zero for any number.
	MaxSubscribers int
	// AllowDelta grants delta compression to a client that asks for it.
	AllowDelta bool
	// AllowTagsFilter lets the client filter publications by their tags.
	AllowTagsFilter bool
	// ServerTagsFilter is applied in addition to the client's.
	ServerTagsFilter *FilterNode
	// Source tells where the permission came from; it is the application's.
	Source uint8
}

// Target selects connections for the calls that act on them: those of User, of
// which Client and Session select one each. Without a User they select by
// themselves, whosever connection it is; without any of the three the anonymous
// connections are meant.
type Target struct {
	User    string
	Client  string
	Session string
	// Anonymous selects among the anonymous connections only. It is for callers
	// for whom an empty User always means these; with a User it selects none.
	Anonymous bool `json:",omitempty"`
	// Except lists client ids that are left alone.
	Except []string
}

// RefreshOptions change the expiry of connections.
type RefreshOptions struct {
	// Expired closes them with DisconnectExpired, as does an ExpireAt in the past.
	Expired bool
	// ExpireAt is a Unix time in seconds, zero for never.
	ExpireAt int64
	// Info, if not nil, replaces the connections' info.
	Info []byte
}
