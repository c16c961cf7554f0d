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

// FilterNode is a node of a filter over a publication's tags (client-protocol 1.9).
type FilterNode = protocol.FilterNode

// Broker carries messages between the nodes of a cluster. Its methods are safe
// for concurrent use. An implementation that keeps history says so by being a
// HistoryBroker.
type Broker interface {
	// Start gives the broker its receiver; it is called once, before all else.
	Start(h BrokerHandler) error
	// Subscribe returns when publications into channel, made from then on
	// anywhere in the cluster, reach the handler. The node calls it for its
	// first subscriber of a channel, and never concurrently for one channel.
	Subscribe(ctx context.Context, channel string) error
	// Unsubscribe ends what Subscribe began. It is also called after a Subscribe
	// that failed or was cancelled, which must not take effect afterwards.
	Unsubscribe(ctx context.Context, channel string) error
	// Publish hands pub to every node that is subscribed to channel. With a
	// history size and TTL in opts a HistoryBroker appends it to the channel's
	// stream first, and sets pub.Offset and, for offset 1, pub.Epoch.
	// Publications of one channel reach each handler in the order of their offsets.
	// The broker owns pub from the call on.
	Publish(ctx context.Context, channel string, pub *Publication, opts PublishOptions) (PublishResult, error)
	// PublishJoin tells every node that a client has subscribed.
	PublishJoin(ctx context.Context, channel string, info *ClientInfo) error
	// PublishLeave tells every node that a client has left.
	PublishLeave(ctx context.Context, channel string, info *ClientInfo) error
	// Close stops the broker; the handler is not called after it returned.
	Close(ctx context.Context) error
}

// HistoryBroker is a Broker that keeps the newest publications of a channel.
type HistoryBroker interface {
	Broker
	// History reads a stream. Reading a channel that was never used makes its
	// metadata, so that the caller gets an epoch to recover from.
	// ErrorUnrecoverablePosition: opts.Since names another epoch.
	// ErrorBadRequest: opts.Reverse with Since at offset zero.
	History(ctx context.Context, channel string, opts HistoryOptions) (HistoryResult, error)
	// RemoveHistory drops the publications of a stream and keeps its position.
	RemoveHistory(ctx context.Context, channel string) error
}

// BrokerHandler is the node's receiving side. Calls for one channel must come
// one after another.
type BrokerHandler interface {
	// HandlePublication delivers pub, which must not be changed any more.
	// Position is zero where the publication has none. Prev is the payload
	// before it in the stream when the publisher asked for deltas, otherwise nil.
	HandlePublication(channel string, pub *Publication, position StreamPosition, prev []byte)
	// HandleJoin delivers a join.
	HandleJoin(channel string, info *ClientInfo)
	// HandleLeave delivers a leave.
	HandleLeave(channel string, info *ClientInfo)
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
	// one. It needs history (server-interface 1.6).
	Version      uint64
	VersionEpoch string
	// UseDelta sends the difference to the previous publication to subscribers
	// that negotiated deltas. It needs history.
	UseDelta bool
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
