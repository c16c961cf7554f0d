package redisengine

import "sync/atomic"

// Stats counts what happened to the connections on which a broker or controller receives
// messages, and to streams. The fields are safe for concurrent use.
type Stats struct {
	// Reconnects counts connections that ended, and attempts to connect that failed.
	Reconnects atomic.Uint64
	// ProbesLost counts the messages with which a node tests itself that did not arrive.
	ProbesLost atomic.Uint64
	// AuditsFailed counts the differences between the subscriptions of a node and those
	// that the server knows.
	AuditsFailed atomic.Uint64
	// Dropped counts messages that were dropped because they arrived faster than they
	// could be delivered.
	Dropped atomic.Uint64
	// Malformed counts messages that could not be decoded.
	Malformed atomic.Uint64
	// Gaps counts the reports of a gap to the node.
	Gaps atomic.Uint64
	// EpochsRenewed counts the times that a stream had another epoch than this broker has
	// seen before. The server has lost the stream, unless its metadata had expired: it was
	// started without its data, has evicted keys, or a replica that was behind became master.
	EpochsRenewed atomic.Uint64
}
