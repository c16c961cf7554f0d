package centrifuge

import "time"

// RecoveryMode selects what a subscriber that recovers gets.
type RecoveryMode uint8

const (
	// RecoverStream delivers every missed publication, or reports that it cannot.
	RecoverStream RecoveryMode = iota
	// RecoverCache delivers the newest publication only, which is the state of the channel.
	RecoverCache
)

// SlowPolicy selects what becomes of the publications of a subscription while its
// client does not read as fast as they come.
type SlowPolicy uint8

const (
	// SlowDisconnect queues publications. When more than Config.QueueSize wait, the
	// connection is closed with DisconnectSlow.
	SlowDisconnect SlowPolicy = iota
	// SlowLatest keeps the newest publication of the subscription, and sends it when the
	// client has read what was queued. It applies while more than a quarter of
	// Config.QueueSize waits behind a full socket. Stats.SlowSuperseded counts the
	// publications that are not sent. Joins and leaves are queued as with SlowDisconnect.
	SlowLatest
	// SlowDropOldest queues publications. When more than Config.QueueSize wait, the
	// subscription ends with UnsubscribeInsufficient behind those that are queued, so
	// that the client subscribes again and recovers the rest. Stats.SlowGaps counts these
	// subscriptions. A server-side subscription, or one of protocol V1, is told by
	// DisconnectInsufficientState.
	SlowDropOldest
)

// SubscribeOptions describe a subscription. The zero value delivers publications and
// nothing else.
type SubscribeOptions struct {
	// ExpireAt is the Unix time in seconds at which the subscription expires,
	// zero for never.
	ExpireAt int64
	// Info is the channel info of the subscriber, which others see.
	Info []byte
	// Data is sent to the client with the result.
	Data []byte
	// Presence adds the subscriber to the channel's presence.
	Presence bool
	// JoinLeave publishes a join and a leave of the subscriber to the channel.
	JoinLeave bool
	// PushJoinLeave sends the joins and leaves of others to the subscriber.
	PushJoinLeave bool
	// Positioning makes delivery gapless: if a publication is lost, the subscription ends.
	Positioning bool
	// Recovery lets the subscriber recover what it missed while it was not connected. It
	// implies Positioning.
	Recovery     bool
	RecoveryMode RecoveryMode
	// AutoRecover, with RecoverCache, recovers as if the client had asked for it.
	AutoRecover bool
	// RecoverSince is the position from which a server-side subscription made by
	// Node.Subscribe or Client.Subscribe starts; nil for the top of the stream.
	RecoverSince *StreamPosition
	// HistoryMetaTTL prolongs the metadata of the stream when it is read; zero for
	// the node's default.
	HistoryMetaTTL time.Duration
	// MaxSubscribers of the channel on this node, beyond which the subscription
	// is refused with ErrorLimitExceeded; zero for any number.
	MaxSubscribers int
	// AllowDelta sends deltas to a client that asks for them.
	AllowDelta bool
	// AllowTagsFilter lets the client filter publications by their tags. Without it a
	// request with a filter is answered with ErrorBadRequest.
	AllowTagsFilter bool
	// AllowCompaction sends pushes with a number in place of the channel's name to a
	// client that can read it (protocol.md 4.4). Server-side subscriptions do not use it.
	AllowCompaction bool
	// Slow says what becomes of publications while the client reads too slowly.
	Slow SlowPolicy
	// ServerTagsFilter is applied in addition to the client's.
	ServerTagsFilter *FilterNode
	// Source is a value of the application, for example what allowed the subscription.
	// The node does not interpret it: SubscribedEvent.Options and the calls of
	// Node.Subscribe on other nodes carry it.
	Source uint8
}

// Target selects connections for the calls that act on them. With a Client or a
// Session it selects the connection that has it, if that is of User or User is empty.
// Without them it selects all connections of User; an empty User then selects the
// anonymous connections.
type Target struct {
	User    string
	Client  string // id of a connection
	Session string // only connections with emulation and unidirectional ones have one
	// Anonymous makes an empty User select anonymous connections also with a Client or
	// a Session. Together with a User it selects none.
	Anonymous bool
	// Except lists the ids of connections that are not selected.
	Except []string
}

// RefreshOptions change the expiry of connections.
type RefreshOptions struct {
	// Expired closes them with DisconnectExpired, and so does an ExpireAt in the past.
	Expired bool
	// ExpireAt is a Unix time in seconds, zero for never.
	ExpireAt int64
	// Info, if not nil, replaces the connections' info.
	Info []byte
}
