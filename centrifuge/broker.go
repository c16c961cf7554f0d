package centrifuge

import (
	"context"
	"time"

	"centrifugo/protocol"
)

// Publication is a message published into a channel.
type Publication = protocol.Publication

// ClientInfo describes a connection to others.
type ClientInfo = protocol.ClientInfo

// StreamPosition is a place in a channel's stream: an offset, counted from 1,
// within an epoch. A new epoch begins when the stream's metadata was lost.
type StreamPosition = protocol.StreamPosition

// FilterNode is a node of a filter over a publication's tags (protocol.md 6.6).
type FilterNode = protocol.FilterNode

// Broker carries messages between the nodes of a cluster. A broker that keeps
// history is a HistoryBroker.
//
// The node calls all methods but Start and Close concurrently, also for one
// channel. It makes many calls at once when many clients subscribe at once, for
// different channels: a broker may send the calls of one moment to its server in
// one command. A broker that can subscribe to many channels at once should also be a
// MultiSubscriber.
//
// Methods may block. The node passes a context that ends after ten seconds at the
// latest, and earlier when the connection that needs the call has ended. A method
// returns soon after its context has ended: one that does not keeps a goroutine,
// and Subscribe and Unsubscribe keep the channel from other subscribers. A call
// that returned an error may or may not have taken effect, unless the method says
// otherwise. A panic is an error of the call. The node calls no method from within
// a call of the BrokerHandler.
type Broker interface {
	// Start sets the handler. It is called once, before all other methods.
	Start(h BrokerHandler) error
	// Subscribe returns when publications, joins and leaves of channel, made from
	// then on by any node, reach the handler. The node calls it for its first
	// subscriber of a channel. It makes no other Subscribe or Unsubscribe of the
	// channel at the same time. The subscription lasts until Unsubscribe: the broker
	// restores it when it has lost its connection, and then reports what may have
	// been lost with HandleGap.
	Subscribe(ctx context.Context, channel string) error
	// Unsubscribe ends what Subscribe began. It is also called after a Subscribe
	// that returned an error, which must not take effect afterwards.
	Unsubscribe(ctx context.Context, channel string) error
	// Publish sends pub to every node that is subscribed to channel. If opts has a
	// history size and TTL, a HistoryBroker first appends pub to the channel's stream
	// and sets pub.Offset; other fields stay as they are, and reach the handlers of all
	// nodes: also ExcludeClient and UseDelta, which protocol.AppendPublication encodes.
	// The publications of one
	// channel reach each handler in the order of their offsets, those without offset
	// in the order in which the calls of one caller were made. The broker owns pub.
	Publish(ctx context.Context, channel string, pub *Publication, opts PublishOptions) (PublishResult, error)
	// PublishJoin tells every node that a client has subscribed.
	PublishJoin(ctx context.Context, channel string, info *ClientInfo) error
	// PublishLeave tells every node that a client has left. It follows the
	// PublishJoin of the same client.
	PublishLeave(ctx context.Context, channel string, info *ClientInfo) error
	// Close stops the broker. The handler is not called after Close has returned.
	Close(ctx context.Context) error
}

// HistoryBroker is a Broker that keeps the newest publications of a channel.
type HistoryBroker interface {
	Broker
	// History reads a stream. What was appended before the call is in the result.
	// Reading a channel that was never used creates its metadata, so that the caller
	// gets an epoch to recover from. The caller owns the slice of publications, and
	// shares the publications, which are immutable.
	//
	// Errors: ErrorUnrecoverablePosition if opts.Since names another epoch;
	// ErrorBadRequest if opts.Reverse is set with Since at offset zero.
	//
	// The node makes one call for subscribers that need the same part of a stream at
	// about the same time.
	History(ctx context.Context, channel string, opts HistoryOptions) (HistoryResult, error)
	// RemoveHistory drops the publications of a stream and keeps its position.
	RemoveHistory(ctx context.Context, channel string) error
}

// MultiSubscriber is implemented by a Broker that subscribes to many channels in less
// time than a call for each takes. The node makes one call for the subscriptions of a
// connect, for the subscribe commands of a message, and for the end of a connection; it
// goes on to make calls of Subscribe and Unsubscribe for single channels. All that
// Broker says of these holds for each channel of a call, the deadline of ten seconds for
// the whole call.
//
// The channels of a call are different. Their number is not bounded: as many as a
// connection has (Config.ChannelLimit bounds what clients ask for, not what a connect is
// answered with). A broker splits what its server would not take in one command.
type MultiSubscriber interface {
	// SubscribeMany subscribes to channels. It returns nil if all calls succeed,
	// otherwise an error, or nil, for each channel in the order of channels. The node
	// calls UnsubscribeMany for those that failed. The broker must not change channels.
	SubscribeMany(ctx context.Context, channels []string) []error
	// UnsubscribeMany ends what SubscribeMany or Subscribe began. It returns errors as
	// SubscribeMany does.
	UnsubscribeMany(ctx context.Context, channels []string) []error
}

// BrokerHandler is the receiving side of the node. The methods are safe for
// concurrent use, but the calls of HandlePublication, HandleJoin and HandleLeave
// for one channel must come one after another, in the order in which the messages
// were published.
//
// HandlePublication, HandleJoin and HandleLeave wait while the subscribers of the
// channel are delivered to more slowly than messages arrive. A broker that reads
// many channels from one connection should therefore not call them on the goroutine
// that reads, or should accept that a busy channel delays the others.
type BrokerHandler interface {
	// Subscribed reports whether the node has subscribers of channel. A broker that
	// receives more channels than it is subscribed to may drop the rest early;
	// delivering them is harmless.
	Subscribed(channel string) bool
	// HandlePublication delivers pub, which must not change any more. Pub.Offset and
	// epoch are its position in the stream; the offset is zero if it has none. Prev
	// is the payload before it in the stream if the publisher asked for deltas,
	// otherwise nil.
	HandlePublication(channel string, pub *Publication, epoch string, prev []byte)
	// HandleJoin delivers a join.
	HandleJoin(channel string, info *ClientInfo)
	// HandleLeave delivers a leave.
	HandleLeave(channel string, info *ClientInfo)
	// HandleGap reports that publications may have been lost in the channels for
	// which affected returns true; nil stands for all channels. A broker calls it
	// after it has lost the connection to its server and restored its subscriptions,
	// or has dropped messages. The node then compares the positions of its
	// subscribers with the streams. It calls affected from another goroutine, for its
	// own channels, soon after HandleGap has returned.
	HandleGap(affected func(channel string) bool)
}

// PublishOptions say how a publication is made. The zero value publishes
// without history.
type PublishOptions struct {
	// HistorySize and HistoryTTL keep the publication in the channel's stream
	// when both are positive: the newest HistorySize ones, until HistoryTTL has
	// passed since the last publication.
	HistorySize int
	HistoryTTL  time.Duration
	// HistoryMetaTTL is how long the stream's offset and epoch outlive its last
	// use; zero for the node's default.
	HistoryMetaTTL time.Duration
	// Tags go with the publication and may be filtered by.
	Tags map[string]string
	// ClientInfo is the publisher, when it is a client.
	ClientInfo *ClientInfo
	// IdempotencyKey makes repeats within the channel harmless: a publish with a
	// key that was used in the last IdempotencyTTL (zero for 5 minutes) returns
	// the first result and publishes nothing.
	IdempotencyKey string
	IdempotencyTTL time.Duration
	// Version, if not zero, suppresses the publication unless it is greater than
	// the stored one, or VersionEpoch is not empty and differs from the stored
	// one. It needs history (server.md 1.6).
	Version      uint64
	VersionEpoch string
	// UseDelta sends the difference to the previous publication to subscribers
	// that negotiated deltas. Without history, each node compares with the publication
	// that it has delivered last.
	UseDelta bool
	// ExcludeClient is the id of a connection that is not sent the publication, such as
	// the one that publishes it. Its subscriptions continue behind the publication. It is
	// also left out of what the same connection recovers, but not of its history, nor of
	// what the client recovers over another connection.
	ExcludeClient string
	// Received is when the application got what it publishes; zero for the time of the call.
	// It is the start of the latency that Config.LatencySample measures, and is not sent
	// anywhere.
	Received time.Time
	// Source says who publishes, for a Tracer. It is not sent anywhere.
	Source string
}

// PublishResult tells where a publication went.
type PublishResult struct {
	// StreamPosition is zero without history. Of a suppressed publication it is
	// the earlier (idempotency) or the current (version) one.
	StreamPosition
	// Suppressed says why nothing was published, if so.
	Suppressed SuppressReason
}

// SuppressReason is a label of the metric broker_publish_suppressed_count.
type SuppressReason string

// The reasons for not publishing.
const (
	NotSuppressed         SuppressReason = ""
	SuppressedIdempotency SuppressReason = "idempotency"
	SuppressedVersion     SuppressReason = "version"
)

// HistoryOptions say what to read of a stream.
type HistoryOptions struct {
	// Limit is the greatest number of publications: zero for none (only the
	// position is wanted), negative for all.
	Limit int
	// Since is exclusive: publications after it, or with Reverse before it.
	Since *StreamPosition
	// Reverse reads the newest first.
	Reverse bool
	// MetaTTL prolongs the stream's metadata; zero for the node's default.
	MetaTTL time.Duration
}

// HistoryResult is a part of a stream and the position of its top.
type HistoryResult struct {
	StreamPosition
	Publications []*Publication
}
