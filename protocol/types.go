package protocol

// Raw is a payload of the application. In JSON it is one JSON value, embedded
// unchanged; in Protobuf it is any bytes. Nil means absent; the four bytes "null"
// are a payload.
type Raw []byte

// Command is one message from a client. One request field should be set;
// Command.Kind says which one counts if several are.
// Source: protocol.md 4.1, and 8.2 for V1, which decodes into the same type.
type Command struct {
	ID            uint32
	Connect       *ConnectRequest
	Subscribe     *SubscribeRequest
	Unsubscribe   *UnsubscribeRequest
	Publish       *PublishRequest
	Presence      *PresenceRequest
	PresenceStats *PresenceStatsRequest
	History       *HistoryRequest
	Ping          *PingRequest
	Send          *SendRequest
	RPC           *RPCRequest
	Refresh       *RefreshRequest
	SubRefresh    *SubRefreshRequest

	// UnknownMethod is set for a V1 command whose method number does not exist.
	// The server answers it with error 104.
	UnknownMethod bool
}

// Reply is one message to a client: the answer to a command, a push, or, when
// it is empty, a ping. On success the result field of the command's kind must
// be set, even when the result is empty (protocol.md 4.1).
type Reply struct {
	ID            uint32
	Error         *Error
	Push          *Push
	Connect       *ConnectResult
	Subscribe     *SubscribeResult
	Unsubscribe   *UnsubscribeResult
	Publish       *PublishResult
	Presence      *PresenceResult
	PresenceStats *PresenceStatsResult
	History       *HistoryResult
	Ping          *PingResult
	RPC           *RPCResult
	Refresh       *RefreshResult
	SubRefresh    *SubRefreshResult
}

// Push is an asynchronous message. Other transports than unidirectional ones send
// it inside a Reply.
type Push struct {
	ID          int64 // numeric channel id, sent instead of Channel when > 0
	Channel     string
	Pub         *Publication
	Join        *Join
	Leave       *Leave
	Unsubscribe *Unsubscribe
	Message     *Message
	Subscribe   *Subscribe
	Connect     *Connect
	Disconnect  *Disconnect
	Refresh     *Refresh
}

// Error answers a command that failed. A client may retry when Temporary.
type Error struct {
	Code      uint32
	Message   string
	Temporary bool
}

// ClientInfo describes one connection to others.
type ClientInfo struct {
	User     string // empty for an anonymous connection
	Client   string
	ConnInfo Raw
	ChanInfo Raw
}

// Publication is a message published into a channel.
type Publication struct {
	Data     Raw
	Info     *ClientInfo // the publisher, when it was a client
	Offset   uint64      // zero when the channel keeps no history
	Tags     map[string]string
	Delta    bool
	UseDelta bool   // internal to brokers: the publisher asked for deltas
	Time     int64  // Unix milliseconds
	Channel  string // only when it differs from the subscribed one
	Key      string
	Removed  bool
	Score    int64
	Epoch    string // set with offset 1, so that a subscriber may learn it
	PrevData Raw    // internal to brokers, never sent to clients
	Version  uint64
	// ExcludeClient is the id of a connection that is not sent the publication. It is
	// internal to brokers, never sent to clients.
	ExcludeClient string
}

// Join reports that a client subscribed to a channel.
type Join struct{ Info *ClientInfo }

// Leave reports that a client left a channel.
type Leave struct{ Info *ClientInfo }

// Unsubscribe reports that the server ended a subscription.
type Unsubscribe struct {
	Code   uint32
	Reason string
}

// Subscribe reports that the server added a subscription to the connection.
type Subscribe struct {
	Recoverable bool
	Epoch       string
	Offset      uint64
	Positioned  bool
	Data        Raw
}

// Message is sent to one connection, outside any channel.
type Message struct{ Data Raw }

// Connect is the first push on a unidirectional transport.
type Connect struct {
	Client  string
	Version string
	Data    Raw
	Subs    map[string]*SubscribeResult
	Expires bool
	TTL     uint32 // seconds
	Ping    uint32 // seconds
	Pong    bool
	Session string
	Node    string
	Time    int64 // Unix milliseconds
}

// Disconnect is the last push on transports without a close frame.
type Disconnect struct {
	Code      uint32
	Reason    string
	Reconnect bool // V1 only
}

// Refresh tells a client its new expiry.
type Refresh struct {
	Expires bool
	TTL     uint32 // seconds
}

// ConnectRequest opens a session; it must be the first command.
type ConnectRequest struct {
	Token   string
	Data    Raw
	Subs    map[string]*SubscribeRequest
	Name    string
	Version string
	Headers map[string]string
	Flag    int64
	Dict    string
	Profile string
}

// ConnectResult answers a ConnectRequest.
type ConnectResult struct {
	Client  string
	Version string
	Expires bool
	TTL     uint32 // seconds
	Data    Raw
	Subs    map[string]*SubscribeResult
	Ping    uint32 // seconds between server pings, zero for none
	Pong    bool   // the client must answer pings
	Session string
	Node    string
	Time    int64 // Unix milliseconds
	Flag    int64
	Dict    *Dictionary
}

// Dictionary is a compression dictionary (protocol.md 10.3).
type Dictionary struct {
	ID      string
	Data    Raw    // raw bytes, Protobuf only
	DataB64 string // base64, JSON only
}

// Bits of SubscribeRequest.Flag (protocol.md 4.4).
const (
	SubscribeFlagChannelCompaction   = 1 << 0 // numeric channel ids understood
	SubscribeFlagRejectUnrecoverable = 1 << 1 // answer error 112 instead of recovered:false
)

// SubscribeRequest subscribes the connection to a channel.
type SubscribeRequest struct {
	Channel     string
	Token       string
	Recover     bool
	Epoch       string
	Offset      uint64
	Data        Raw
	Positioned  bool
	Recoverable bool
	JoinLeave   bool
	Delta       string
	Tf          *FilterNode
	Flag        int64
	Type        int32 // 0 stream, 1-3 map, 4 shared poll
	Phase       int32
	Cursor      string
	Limit       int32
	Asc         bool
}

// SubscribeResult answers a SubscribeRequest.
type SubscribeResult struct {
	Expires         bool
	TTL             uint32 // seconds
	Recoverable     bool
	Epoch           string
	Publications    []*Publication
	Range           *EncodedRange // encoded in place of Publications when set
	Recovered       bool
	Offset          uint64
	Positioned      bool
	Data            Raw
	WasRecovering   bool
	Delta           bool
	ID              int64
	Type            int32
	Phase           int32
	Cursor          string
	State           []*Publication
	PublishDebounce uint32 // milliseconds
}

// FilterNode is a node of a tags filter (protocol.md 6.6).
type FilterNode struct {
	Op    string
	Key   string
	Cmp   string
	Val   string
	Vals  []string
	Nodes []*FilterNode
}

// UnsubscribeRequest ends a subscription.
type UnsubscribeRequest struct{ Channel string }

// UnsubscribeResult is empty.
type UnsubscribeResult struct{}

// PublishRequest publishes into a channel.
type PublishRequest struct {
	Channel string
	Data    Raw
	Type    int32
	Key     string
	Removed bool
}

// PublishResult is empty.
type PublishResult struct{}

// PresenceRequest asks for the subscribers of a channel.
type PresenceRequest struct{ Channel string }

// PresenceResult is keyed by client id.
type PresenceResult struct{ Presence map[string]*ClientInfo }

// PresenceStatsRequest asks for the number of subscribers.
type PresenceStatsRequest struct{ Channel string }

// PresenceStatsResult counts connections and distinct user ids.
type PresenceStatsResult struct {
	NumClients uint32
	NumUsers   uint32
}

// StreamPosition is a place in a channel's stream.
type StreamPosition struct {
	Offset uint64
	Epoch  string
}

// HistoryRequest reads a channel's stream. Limit 0 asks for the position only,
// a negative limit for all publications that the server allows.
type HistoryRequest struct {
	Channel string
	Limit   int32
	Since   *StreamPosition
	Reverse bool
}

// HistoryResult answers a HistoryRequest; Offset and Epoch are the stream's top.
type HistoryResult struct {
	Publications []*Publication
	Epoch        string
	Offset       uint64
}

// PingRequest is the client's ping of V1.
type PingRequest struct{}

// PingResult is empty.
type PingResult struct{}

// SendRequest has no answer.
type SendRequest struct{ Data Raw }

// RPCRequest calls a method of the application.
type RPCRequest struct {
	Data   Raw
	Method string
}

// RPCResult answers an RPCRequest.
type RPCResult struct{ Data Raw }

// RefreshRequest extends the connection.
type RefreshRequest struct{ Token string }

// RefreshResult answers a RefreshRequest.
type RefreshResult struct {
	Client  string
	Version string
	Expires bool
	TTL     uint32 // seconds
}

// SubRefreshRequest extends a subscription, or tracks keys of a shared poll.
type SubRefreshRequest struct {
	Channel string
	Token   string
	Type    int32
	Track   []*TrackBatch
	Untrack []string
}

// TrackBatch is a signed set of keys.
type TrackBatch struct {
	Signature string
	Items     []*KeyedItem
}

// KeyedItem is a key and the version of it that the client holds.
type KeyedItem struct {
	Key     string
	Version uint64
}

// SubRefreshResult answers a SubRefreshRequest.
type SubRefreshResult struct {
	Expires bool
	TTL     uint32 // seconds
	Items   []*Publication
}

// EmulationRequest carries commands of a session whose transport is one-way.
type EmulationRequest struct {
	Node    string
	Session string
	Data    Raw
}
