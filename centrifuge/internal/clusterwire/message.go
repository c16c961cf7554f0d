// Package clusterwire defines the messages that the nodes of a cluster send each
// other, and their form on the wire.
//
// A message is a JSON object on one line, the header, followed by a line feed and
// the payload. The payload is arbitrary bytes; a message without one has no line
// feed. Nodes of different releases share a cluster during a rolling upgrade, so the
// form is independent of the types of the library and changes only in these ways:
//
//   - A new field is optional. A receiver ignores the fields that it does not know.
//   - A new operation is one that old nodes may miss. Decode reports it as ErrUnknownOp.
//   - Every other change increments Version. Decode reports a newer one as ErrVersion.
//
// The files in testdata hold one message of each operation. They must not change
// while Version stays the same.
package clusterwire

// Version is the version of the messages that Append makes and Decode accepts.
const Version = 1

// Op is what a message is about.
type Op string

// The operations. Each uses the field of Message that has its name.
const (
	OpInfo        Op = "info"        // the sender is alive
	OpShutdown    Op = "shutdown"    // the sender leaves the cluster
	OpSubscribe   Op = "subscribe"   // subscribe connections
	OpUnsubscribe Op = "unsubscribe" // unsubscribe connections
	OpDisconnect  Op = "disconnect"  // disconnect connections
	OpRefresh     Op = "refresh"     // change the expiry of connections
	OpNotify      Op = "notify"      // call the notification handler
	OpSurvey      Op = "survey"      // call the survey handler and answer
	OpDeliver     Op = "deliver"     // hand commands to a session and answer
	OpAnswer      Op = "answer"      // the answer to a survey or a delivery
)

// Message is a message between nodes.
type Message struct {
	Version int    `json:"v"`
	Op      Op     `json:"op"`
	From    string `json:"from"` // id of the sender
	// Call is a number that the sender of a survey or a delivery chooses. Its answer
	// repeats the number.
	Call uint64 `json:"call,omitempty"`

	Info        *Info        `json:"info,omitempty"`
	Subscribe   *Subscribe   `json:"subscribe,omitempty"`
	Unsubscribe *Unsubscribe `json:"unsubscribe,omitempty"`
	Disconnect  *Disconnect  `json:"disconnect,omitempty"`
	Refresh     *Refresh     `json:"refresh,omitempty"`
	Notify      *Notify      `json:"notify,omitempty"`
	Survey      *Survey      `json:"survey,omitempty"`
	Deliver     *Deliver     `json:"deliver,omitempty"`
	Answer      *Answer      `json:"answer,omitempty"`

	// Payload belongs to notify, survey, deliver and answer.
	Payload []byte `json:"-"`
}

// Info describes the sender.
type Info struct {
	Name          string   `json:"name"`
	Version       string   `json:"version,omitempty"` // of the program
	Clients       int      `json:"clients"`
	Users         int      `json:"users"`
	Channels      int      `json:"channels"`
	Subscriptions int      `json:"subscriptions"`
	UptimeMilli   int64    `json:"uptime_ms"`
	Metrics       *Metrics `json:"metrics,omitempty"`
}

// Metrics are figures of the sender over an interval.
type Metrics struct {
	IntervalSeconds float64            `json:"interval_s"`
	Items           map[string]float64 `json:"items,omitempty"`
}

// Target selects connections.
type Target struct {
	User      string   `json:"user,omitempty"`
	Client    string   `json:"client,omitempty"`
	Session   string   `json:"session,omitempty"`
	Anonymous bool     `json:"anonymous,omitempty"`
	Except    []string `json:"except,omitempty"` // ids of connections
}

// Subscribe makes server-side subscriptions.
type Subscribe struct {
	Target  Target           `json:"target"`
	Channel string           `json:"channel"`
	Options SubscribeOptions `json:"options"`
}

// SubscribeOptions describe a subscription. Byte slices are base64 in JSON. An empty
// one differs from nil, which is left out.
type SubscribeOptions struct {
	ExpireAt         int64       `json:"expire_at,omitempty"` // Unix seconds
	Info             []byte      `json:"info,omitzero"`
	Data             []byte      `json:"data,omitzero"`
	Presence         bool        `json:"presence,omitempty"`
	JoinLeave        bool        `json:"join_leave,omitempty"`
	PushJoinLeave    bool        `json:"push_join_leave,omitempty"`
	Positioning      bool        `json:"positioning,omitempty"`
	Recovery         bool        `json:"recovery,omitempty"`
	RecoveryCache    bool        `json:"recovery_cache,omitempty"` // otherwise stream
	AutoRecover      bool        `json:"auto_recover,omitempty"`
	RecoverSince     *Position   `json:"recover_since,omitempty"`
	MetaTTLNano      int64       `json:"meta_ttl_ns,omitempty"`
	MaxSubscribers   int         `json:"max_subscribers,omitempty"`
	AllowDelta       bool        `json:"allow_delta,omitempty"`
	AllowTagsFilter  bool        `json:"allow_tags_filter,omitempty"`
	ServerTagsFilter *FilterNode `json:"server_tags_filter,omitempty"`
	Source           uint8       `json:"source,omitempty"`
	AllowCompaction  bool        `json:"allow_compaction,omitempty"`
	Slow             uint8       `json:"slow,omitempty"` // policy for slow readers; an unknown one is 0
}

// Position is a position in a stream.
type Position struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch,omitempty"`
}

// FilterNode is a node of a filter over tags.
type FilterNode struct {
	Op    string        `json:"op,omitempty"`
	Key   string        `json:"key,omitempty"`
	Cmp   string        `json:"cmp,omitempty"`
	Val   string        `json:"val,omitempty"`
	Vals  []string      `json:"vals,omitempty"`
	Nodes []*FilterNode `json:"nodes,omitempty"`
}

// Unsubscribe ends subscriptions: of all channels if Channel is empty.
type Unsubscribe struct {
	Target  Target `json:"target"`
	Channel string `json:"channel,omitempty"`
	Code    uint32 `json:"code"`
	Reason  string `json:"reason,omitempty"`
}

// Disconnect closes connections.
type Disconnect struct {
	Target Target `json:"target"`
	Code   uint32 `json:"code"`
	Reason string `json:"reason,omitempty"`
}

// Refresh changes the expiry of connections.
type Refresh struct {
	Target   Target `json:"target"`
	Expired  bool   `json:"expired,omitempty"`
	ExpireAt int64  `json:"expire_at,omitempty"` // Unix seconds
	Info     []byte `json:"info,omitzero"`
}

// Notify names an operation of the application. The payload is its data.
type Notify struct {
	Op string `json:"op"`
}

// Survey names an operation of the application or of the library. The payload is its data.
type Survey struct {
	Op string `json:"op"`
	// TimeoutMilli is how long the sender waits.
	TimeoutMilli int64 `json:"timeout_ms,omitempty"`
}

// Deliver names the session of a connection. The payload is commands of its client.
type Deliver struct {
	Session string `json:"session"`
}

// Answer is the outcome of a survey or a delivery. The payload is the data of a survey
// that succeeded.
type Answer struct {
	Error *Error `json:"error,omitempty"` // nil for success
}

// CodeUnknownSession is the code of the error of a delivery whose session has no
// connection on the node.
const CodeUnknownSession = 1

// Error says why a survey or a delivery failed. The codes from 100 are those of the
// client protocol and of the application.
type Error struct {
	Code      uint32 `json:"code"`
	Message   string `json:"message,omitempty"`
	Temporary bool   `json:"temporary,omitempty"`
}
