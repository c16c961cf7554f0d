package webtransport

import (
	"net/http"
	"time"

	"centrifugo/centrifuge/transport/internal/refuse"
)

// Config of a Handler. The zero value is ready to use. Its fields are those of
// the section "webtransport" of server.md 6.3.
type Config struct {
	// CheckOrigin decides who may connect; a refused request is answered 403. Nil admits
	// requests without an Origin header and those whose Origin is the host they ask.
	CheckOrigin func(*http.Request) bool
	// MessageSizeLimit is the largest incoming message in bytes, zero for 65536. A larger
	// one closes the connection with DisconnectBadRequest. Until the connect command is
	// answered a message has at most 256 KiB.
	MessageSizeLimit int
	// StreamTimeout is how long a client may take to open its stream, zero for ten
	// seconds. Without one the session is closed with DisconnectStale.
	StreamTimeout time.Duration
	// CloseTimeout is how long a closed connection waits for its client to read what was
	// sent and to close its side, zero for one second. Then the session is closed.
	CloseTimeout time.Duration
	// MaxBatch bounds the messages that are written together, zero for the node's default.
	MaxBatch uint16
	// OnError is called for failures that nothing else reports: a panic in a connection, a
	// connection that could not be accepted. It is called by any goroutine and must not
	// block. Nil ignores them.
	OnError func(error)
	// OnRefused is called for each request that did not become a connection, and for each
	// message that was refused before the node saw it, which ends its connection. The
	// status is that of the answer, or the one of HTTP with the same meaning. It is called
	// on the goroutine of the connection. Nil ignores them.
	OnRefused func(r *http.Request, status int, reason string)
}

func (c Config) withDefaults() Config {
	if c.CheckOrigin == nil {
		c.CheckOrigin = refuse.SameHost
	}
	if c.MessageSizeLimit <= 0 {
		c.MessageSizeLimit = 65536
	}
	if c.StreamTimeout <= 0 {
		c.StreamTimeout = 10 * time.Second
	}
	if c.CloseTimeout <= 0 {
		c.CloseTimeout = time.Second
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	if c.OnRefused == nil {
		c.OnRefused = func(*http.Request, int, string) {}
	}
	return c
}
