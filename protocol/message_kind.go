package protocol

// MessageKind is the label of a message in the metric transport_messages_sent
// (server.md 9).
type MessageKind uint8

// The kinds of messages.
const (
	KindUnknown MessageKind = iota
	KindConnect
	KindSubscribe
	KindPublish
	KindUnsubscribe
	KindRPC
	KindPresence
	KindPresenceStats
	KindHistory
	KindRefresh
	KindSubRefresh
	KindSend
	KindPing // a ping of the server, or the answer to a V1 ping
	KindPong
	KindPushConnect
	KindPushSubscribe
	KindPushPublication
	KindPushJoin
	KindPushLeave
	KindPushUnsubscribe
	KindPushMessage
	KindPushRefresh
	KindPushDisconnect
	NumMessageKinds
)

var messageKindNames = [NumMessageKinds]string{
	"unknown", "connect", "subscribe", "publish", "unsubscribe", "rpc", "presence", "presence_stats",
	"history", "refresh", "sub_refresh", "send", "server_ping", "client_pong", "push_connect",
	"push_subscribe", "push_publication", "push_join", "push_leave", "push_unsubscribe", "push_message",
	"push_refresh", "push_disconnect",
}

// String returns the metric label.
func (k MessageKind) String() string {
	if k < NumMessageKinds {
		return messageKindNames[k]
	}
	return messageKindNames[KindUnknown]
}

// Command reports whether k is the kind of a command, not of a ping or a push.
func (k MessageKind) Command() bool { return k >= KindUnknown && k <= KindSend }
