package protocol

import "sync"

// Encoded is one encoded message. It is immutable and shared by every
// connection that sends it; a transport may attach its own form of it.
type Encoded struct {
	// Bytes is the message without framing: one line of JSON without newline,
	// or one Protobuf message without length prefix.
	Bytes []byte
	// Kind says what the message is, for counters.
	Kind MessageKind

	once sync.Once
	wire any
}

// Wire returns what build made of f.Bytes, calling build only for the first
// caller: a WebSocket header is put in front once, a broadcast is deflated
// once. It is safe for concurrent use. All callers must pass an equal build.
func (f *Encoded) Wire(build func(message []byte) any) any {
	f.once.Do(func() { f.wire = build(f.Bytes) })
	return f.wire
}

// MessageKind is the label of a message in the metric transport_messages_sent
// (server-interface section 9).
type MessageKind uint8

// The kinds of frame.
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
	KindPing // a server ping going out, or a V1 ping answered
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

// Command reports whether k is a command of the client, as against a ping or push.
func (k MessageKind) Command() bool { return k >= KindUnknown && k <= KindSend }
