package websocket

import (
	"math"
	"net/http"
	"time"

	"centrifugo/centrifuge/transport/internal/refuse"
)

// Config of a Handler. The zero value is ready to use. Its fields are those of
// the section "websocket" of server.md 6.3.
type Config struct {
	// Unidirectional connections get bare pushes in JSON and send only a connect request:
	// in the URL parameter cf_connect, or as their first message. What else they send is
	// ignored (protocol.md 3.5).
	Unidirectional bool
	// JoinPushes sends pushes of a unidirectional connection that are ready together in one
	// message, separated by line breaks. By default each is a message.
	JoinPushes bool
	// NoDisconnectPush sends no disconnect push before the close frame of a unidirectional
	// connection, which has the same code and reason.
	NoDisconnectPush bool
	// NoClosingHandshake closes the TCP connection of a unidirectional connection behind
	// the last message, without a close frame.
	NoClosingHandshake bool
	// CheckOrigin decides who may connect; a refused request is answered 403.
	// Nil admits requests without an Origin header and those whose Origin is
	// the host they ask.
	CheckOrigin func(*http.Request) bool
	// MessageSizeLimit is the largest incoming message in bytes, as it comes
	// over the wire, zero for 65536. A larger one closes the connection with 1009.
	// A command may fill a message. Until the connect command is answered a
	// message has at most 256 KiB, also when inflated, and 1024 fragments, and
	// 1024 control frames may come.
	MessageSizeLimit int
	// DecompressedSizeLimit is the largest incoming message in bytes once it is
	// inflated, zero for ten times MessageSizeLimit. Beyond it: 1009.
	DecompressedSizeLimit int
	// Compression offers permessage-deflate to clients that ask for it.
	Compression bool
	// CompressionMinSize is the size in bytes from which an outgoing message is compressed.
	CompressionMinSize int
	// CompressionLevel is one of compress/flate's, 1 to 9, zero for 1.
	CompressionLevel int
	// WriteTimeout bounds a write to a connection that has a goroutine (TLS that
	// does not come from Listener), zero for one second. Another one that takes
	// nothing is the node's to give up, by its own WriteTimeout.
	WriteTimeout time.Duration
	// CloseTimeout is how long the peer's close frame is waited for before the
	// TCP connection is dropped, zero for five seconds.
	CloseTimeout time.Duration
	// MaxBatch bounds the frames in one message, zero for the node's default.
	MaxBatch uint16
	// Pollers is how many goroutines read from connections that have none of
	// their own, zero for one per processor, four at most.
	Pollers int
	// ScheduledWrites makes writes to connections without a goroutine of their own
	// ordinary system calls. By default they do not enter the scheduler's path of system
	// calls, which saves CPU (13 % of a delivery to 8,000 subscribers) and makes the
	// garbage collector's pauses longer while many messages are written.
	ScheduledWrites bool
	// OnError is called for failures that nothing else reports: a panic in a
	// connection, a connection that could not be accepted. It is called by any
	// goroutine and must not block. Nil ignores them.
	OnError func(error)
	// OnRefused is called for each request that was refused with an HTTP status instead
	// of being upgraded. It is called on the request's goroutine. Nil ignores them.
	OnRefused func(r *http.Request, status int, reason string)
}

func (c Config) withDefaults() Config {
	if c.CheckOrigin == nil {
		c.CheckOrigin = refuse.SameHost
	}
	if !c.Unidirectional {
		c.JoinPushes, c.NoDisconnectPush, c.NoClosingHandshake = false, false, false
	}
	if c.MessageSizeLimit <= 0 {
		c.MessageSizeLimit = 65536
	}
	if c.DecompressedSizeLimit <= 0 {
		c.DecompressedSizeLimit = math.MaxInt
		if c.MessageSizeLimit <= math.MaxInt/10 {
			c.DecompressedSizeLimit = 10 * c.MessageSizeLimit
		}
	}
	if c.CompressionLevel < 1 || c.CompressionLevel > 9 {
		c.CompressionLevel = 1
	}
	if c.WriteTimeout <= 0 {
		c.WriteTimeout = time.Second
	}
	if c.CloseTimeout <= 0 {
		c.CloseTimeout = 5 * time.Second
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	if c.OnRefused == nil {
		c.OnRefused = func(*http.Request, int, string) {}
	}
	return c
}
