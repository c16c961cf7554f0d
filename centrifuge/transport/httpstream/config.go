package httpstream

import (
	"net/http"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/refuse"
)

// Wire is the form of the messages in the body.
type Wire uint8

const (
	// Stream is HTTP streaming: lines of JSON, or Protobuf messages behind their length.
	Stream Wire = iota
	// Events are server-sent events, in JSON only (HTML standard, 9.2).
	Events
)

// Config of a Handler. The zero value is ready to use: bidirectional HTTP streaming.
type Config struct {
	// Wire is the form of the messages.
	Wire Wire
	// Unidirectional connections get bare pushes and send only a connect request. The
	// others send commands to an Emulation.
	Unidirectional bool
	// CheckOrigin decides who may connect; a refused request is answered 403. Nil admits
	// requests without an Origin header and those whose Origin is the host they ask. A
	// page of another origin can make its browser send a request although it cannot read
	// the response.
	CheckOrigin func(*http.Request) bool
	// MaxRequestBodySize bounds the body of a request and the URL parameter cf_connect, in
	// bytes, zero for 65536. Beyond it: status 413, for the parameter 414.
	MaxRequestBodySize int
	// ConnectStatus makes the HTTP status of a unidirectional connection depend on the
	// outcome of its connect request: it returns the status and the body of the response
	// for a disconnect code. Nil answers 200, and the code is in a disconnect push.
	ConnectStatus func(code uint32) (status int, body string)
	// CloseTimeout is how long a closed connection waits for its peer to close its side
	// before the TCP connection is dropped, zero for five seconds.
	CloseTimeout time.Duration
	// MaxBatch bounds the messages that are written together, zero for the node's default.
	MaxBatch uint16
	// Pollers is how many goroutines read from connections that have none of their own,
	// zero for one per processor, four at most.
	Pollers int
	// ScheduledWrites makes writes to connections without a goroutine of their own
	// ordinary system calls; see the field of the same name in package websocket.
	ScheduledWrites bool
	// OnError is called for failures that nothing else reports: a panic in a connection, a
	// connection that could not be accepted. It is called by any goroutine and must not
	// block. Nil ignores them.
	OnError func(error)
	// OnPositionsLost is called for each connection that does not get back what it missed because
	// the id of an event does not say where it was: the client has sent a malformed one, or
	// the positions of a connection do not fit. The client is told of it, too. It is called
	// by any goroutine and must not block. Nil ignores them.
	OnPositionsLost func(client *centrifuge.Client, reason string)
	// OnRefused is called for each request that was answered with an HTTP status instead of a
	// stream. It is called on the request's goroutine. Nil ignores them.
	OnRefused func(r *http.Request, status int, reason string)
}

func (c Config) withDefaults() Config {
	if c.CheckOrigin == nil {
		c.CheckOrigin = refuse.SameHost
	}
	if c.MaxRequestBodySize <= 0 {
		c.MaxRequestBodySize = 65536
	}
	if !c.Unidirectional {
		c.ConnectStatus = nil
	}
	if c.CloseTimeout <= 0 {
		c.CloseTimeout = 5 * time.Second
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	if c.OnPositionsLost == nil {
		c.OnPositionsLost = func(*centrifuge.Client, string) {}
	}
	if c.OnRefused == nil {
		c.OnRefused = func(*http.Request, int, string) {}
	}
	return c
}

// name is the label of the transport in metrics and proxies (server.md 9).
func (c Config) name() string {
	name := "http_stream"
	if c.Wire == Events {
		name = "sse"
	}
	if c.Unidirectional {
		name = "uni_" + name
	}
	return name
}
