package centrifuge

import (
	"context"

	"centrifugo/protocol"
)

// ConnectingEvent is a connect command that waits for the application's decision. An error
// refuses the connection.
type ConnectingEvent struct {
	// ClientID is the id that the connection will have.
	ClientID  string
	Transport TransportInfo
	// Token, Data, Name, Version and Headers are what the client sent.
	Token   string
	Data    []byte
	Name    string
	Version string
	Headers map[string]string
	// Channels of the server-side subscriptions that the client requests.
	Channels []string
}

// ConnectingReply accepts a connection.
type ConnectingReply struct {
	// Credentials replace those of the connection's context. If neither exist, the
	// connection is refused with DisconnectBadRequest.
	Credentials *Credentials
	// Data is sent to the client.
	Data []byte
	// Subscriptions are the server-side subscriptions to make, by channel.
	Subscriptions map[string]SubscribeOptions
	// ClientSideRefresh makes the client send a new token before Credentials.Exp.
	// Otherwise the node calls Handlers.Refresh when the credentials have expired.
	ClientSideRefresh bool
	// Context, if not nil, replaces the values of the connection's context.
	Context context.Context
}

// ConnectedEvent follows the reply to the connect command.
type ConnectedEvent struct{ Client *Client }

// SubscribeEvent is a subscribe command that waits for the application's decision. An
// error refuses the subscription. The strings share memory with the client's message: an
// application that keeps one for long copies it with strings.Clone.
type SubscribeEvent struct {
	Client  *Client
	Channel string
	Token   string
	Data    []byte
	// Type of the subscription: 0 for a stream of publications. Others are refused.
	Type int32
	// Positioned, Recoverable and JoinLeave are requests of the client, which takes
	// note of what SubscribeReply.Options say.
	Positioned  bool
	Recoverable bool
	JoinLeave   bool
	// Recover is set by a client that wants what it has missed since Since. In cache
	// mode Since may be zero.
	Recover bool
	Since   StreamPosition
	// RejectUnrecoverable is set by a client that wants ErrorUnrecoverablePosition
	// instead of a subscription, if the publications since Since are lost.
	RejectUnrecoverable bool
	// Delta is the format of deltas that the client can apply, "fossil", or empty.
	Delta string
	// TagsFilter is the client's filter, nil for none. It must not be changed. It is
	// refused unless Options.AllowTagsFilter is set.
	TagsFilter *FilterNode
}

// SubscribeReply allows a subscription.
type SubscribeReply struct {
	Options SubscribeOptions
	// ClientSideRefresh makes the client send a new token before
	// Options.ExpireAt. Otherwise the node calls Handlers.SubRefresh when it has passed.
	ClientSideRefresh bool
}

// SubscribedEvent follows the reply to a subscribe command.
type SubscribedEvent struct {
	Client  *Client
	Channel string
	// Options that Subscribe returned.
	Options SubscribeOptions
	// Positioned is set if the delivery is gapless from Position on, which is the top of
	// the stream when the subscription was made.
	Positioned bool
	Position   StreamPosition
	// WasRecovering is set if the client, or Options.AutoRecover, asked for recovery,
	// and Recovered if it succeeded.
	WasRecovering bool
	Recovered     bool
	// Delta is set if the client is sent deltas.
	Delta bool
}

// UnsubscribedEvent reports that a subscription has ended, whatever ended it. A
// subscription that the server made ends without a SubscribedEvent before.
type UnsubscribedEvent struct {
	Client  *Client
	Channel string
	// Unsubscribe is the code and the reason. It is UnsubscribeClient if the client
	// asked for it, and UnsubscribeDisconnect if the connection has ended.
	Unsubscribe Unsubscribe
	// Disconnect is why the connection has ended; nil if it has not ended.
	Disconnect *Disconnect
	// ServerSide is set for a subscription that the server made.
	ServerSide bool
	// Positioned is set if the subscription had a position. Position is that of the last
	// publication that was queued for the client, from where it may recover; the client
	// may not have received it.
	Positioned bool
	Position   StreamPosition
}

// PublishEvent is a publish command that waits for the application's decision. An error
// refuses the publication.
type PublishEvent struct {
	Client  *Client
	Channel string
	Data    []byte
	// Info of the publisher that subscribers will see.
	Info *ClientInfo
}

// PublishReply allows a publication.
type PublishReply struct {
	Options PublishOptions
	// Data, if not nil, replaces that of the client.
	Data []byte
	// Done is set by a handler that has published the data itself.
	Done bool
}

// PresenceEvent is a presence command that waits for the application's decision. An error
// refuses it.
type PresenceEvent struct {
	Client  *Client
	Channel string
}

// PresenceReply allows a presence command. The node answers with Result, or if that is nil
// with what it reads from the presence manager.
type PresenceReply struct{ Result map[string]*ClientInfo }

// PresenceStatsEvent is a presence_stats command that waits for the application's
// decision. An error refuses it.
type PresenceStatsEvent struct {
	Client  *Client
	Channel string
}

// PresenceStatsReply allows a presence_stats command. The node answers with Result, or if
// that is nil with what it reads from the presence manager.
type PresenceStatsReply struct{ Result *PresenceStats }

// HistoryEvent is a history command that waits for the application's decision. An error
// refuses it. Options.Limit does not exceed Config.HistoryMaxPublications.
type HistoryEvent struct {
	Client  *Client
	Channel string
	Options HistoryOptions
}

// HistoryReply allows a history command. The node answers with Result, or if that is nil
// with what it reads from the broker.
type HistoryReply struct{ Result *HistoryResult }

// RPCEvent is an rpc command.
type RPCEvent struct {
	Client *Client
	Method string
	Data   []byte
}

// RPCReply answers an rpc command. Data for a JSON connection must be valid JSON,
// otherwise the answer is ErrorInternal.
type RPCReply struct{ Data []byte }

// MessageEvent is a send command. The client expects no answer.
type MessageEvent struct {
	Client *Client
	Data   []byte
}

// RefreshEvent asks for a new expiry of a connection. With ClientSideRefresh the client has
// sent Token, otherwise the credentials have expired.
type RefreshEvent struct {
	Client            *Client
	ClientSideRefresh bool
	Token             string
}

// RefreshReply is the new expiry of a connection.
type RefreshReply struct {
	// Expired closes the connection with DisconnectExpired.
	Expired bool
	// ExpireAt is a Unix time in seconds, zero for never.
	ExpireAt int64
	// Info, if not nil, replaces Credentials.Info.
	Info []byte
}

// SubRefreshEvent asks for a new expiry of a subscription. With ClientSideRefresh the client
// has sent Token. Otherwise the subscription has expired, or its client asks the server to
// refresh it before it does.
type SubRefreshEvent struct {
	Client            *Client
	ClientSideRefresh bool
	Channel           string
	Token             string
}

// SubRefreshReply is the new expiry of a subscription. A handler that does not know it
// returns ErrorNotAvailable: a subscription that the server refreshes then ends
// Config.ExpiredSubCloseDelay after its expiry, as it does without a handler.
type SubRefreshReply struct {
	// Expired ends the subscription with UnsubscribeExpired.
	Expired bool
	// ExpireAt is a Unix time in seconds, zero for never.
	ExpireAt int64
	// Info, if not nil, replaces the subscription's channel info.
	Info []byte
}

// AliveEvent is sent once every Config.PresenceInterval while a connection lasts.
type AliveEvent struct{ Client *Client }

// DisconnectedEvent reports that a connection has ended. Its subscriptions have ended
// before.
type DisconnectedEvent struct {
	Client     *Client
	Disconnect Disconnect
}

// SurveyEvent is a survey that this node has to answer. FromNode is the id of the node
// that asks, which may be this one.
type SurveyEvent struct {
	Op       string
	Data     []byte
	FromNode string
}

// SurveyReply is the answer of this node. Data larger than 64 MiB becomes
// ErrorLimitExceeded.
type SurveyReply struct{ Data []byte }

// NotificationEvent is a notification. FromNode is the id of the node that sent it,
// which may be this one.
type NotificationEvent struct {
	Op       string
	Data     []byte
	FromNode string
}

// subscribeEvent returns the event of a request, whose strings and filter it shares.
func subscribeEvent(c *Client, r *protocol.SubscribeRequest) SubscribeEvent {
	return SubscribeEvent{
		Client: c, Channel: r.Channel, Token: r.Token, Data: r.Data, Type: r.Type,
		Positioned: r.Positioned, Recoverable: r.Recoverable, JoinLeave: r.JoinLeave,
		Recover: r.Recover, Since: StreamPosition{Offset: r.Offset, Epoch: r.Epoch},
		RejectUnrecoverable: r.Flag&protocol.SubscribeFlagRejectUnrecoverable != 0, Delta: r.Delta, TagsFilter: r.Tf,
	}
}

func (p *pendingSubscription) subscribedEvent() SubscribedEvent {
	return SubscribedEvent{
		Client: p.client, Channel: p.Channel, Options: p.opts, Positioned: p.positioned, Position: p.top,
		WasRecovering: p.result.WasRecovering, Recovered: p.result.Recovered, Delta: p.result.Delta,
	}
}
