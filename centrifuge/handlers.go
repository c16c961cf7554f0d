package centrifuge

import "context"

// Handlers are the application's part of a node. A command whose handler is nil
// is answered with ErrorNotAvailable (a send command with DisconnectNotAvailable).
//
// A handler may return an *Error, which answers the command, or a Disconnect,
// which closes the connection; any other error is logged and answered with
// ErrorInternal. A handler may block: it holds up the later commands of its own
// connection and nothing else. If it never returns, its connection stays counted and
// Shutdown reports it, but the user can connect again and other connections are served.
// If it panics, the panic is logged and its connection is closed with
// DisconnectServerError. The context is the connection's, with the values
// that middleware gave it; it is cancelled when the connection ends. Slices in
// events belong to the handler.
//
// Connected, Subscribed, Unsubscribed, Alive and Disconnected tell what has
// happened, in this order: Connected and Disconnected come in pairs, and so do
// Subscribed and Unsubscribed of the subscriptions that clients made. The second
// of a pair comes after the first has returned, the next Subscribed for a channel
// after Unsubscribed has, and Disconnected last of all. What ended before its
// first event was due is told of by neither. A callback that blocks holds up the
// later events of its connection, never the end of what they are about; it may
// itself unsubscribe or disconnect the client.
type Handlers struct {
	Connecting func(context.Context, ConnectingEvent) (ConnectingReply, error)
	Connected  func(context.Context, ConnectedEvent)

	Subscribe     func(context.Context, SubscribeEvent) (SubscribeReply, error)
	Subscribed    func(context.Context, SubscribedEvent)
	Unsubscribed  func(context.Context, UnsubscribedEvent)
	Publish       func(context.Context, PublishEvent) (PublishReply, error)
	Presence      func(context.Context, PresenceEvent) (PresenceReply, error)
	PresenceStats func(context.Context, PresenceStatsEvent) (PresenceStatsReply, error)
	History       func(context.Context, HistoryEvent) (HistoryReply, error)
	RPC           func(context.Context, RPCEvent) (RPCReply, error)
	Message       func(context.Context, MessageEvent) error
	Refresh       func(context.Context, RefreshEvent) (RefreshReply, error)
	SubRefresh    func(context.Context, SubRefreshEvent) (SubRefreshReply, error)

	// CacheEmpty is called when a subscriber that recovers in cache mode finds no
	// publication in the channel, so that the application can publish its state. It may
	// be called for many subscribers of one channel at the same time. An error refuses
	// the subscription.
	CacheEmpty func(context.Context, CacheEmptyEvent) (CacheEmptyReply, error)

	// Alive runs beside the commands of its connection.
	Alive        func(context.Context, AliveEvent)
	Disconnected func(context.Context, DisconnectedEvent)

	// Survey answers Node.Survey, on whatever node that was called. Its calls run at
	// the same time, each with a context that ends when the caller stops waiting. At
	// most 128 of them run on a node; more are answered with ErrorTooManyRequests. An
	// error that is not an *Error is logged and answered with ErrorInternal.
	Survey func(context.Context, SurveyEvent) (SurveyReply, error)
	// Notification receives what Node.Notify sends, one call after another, in the
	// order in which the node received it. The context ends with the node. A handler
	// that hangs delays later notifications only.
	Notification func(context.Context, NotificationEvent)
}
