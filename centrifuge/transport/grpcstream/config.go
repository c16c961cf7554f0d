package grpcstream

import (
	"context"
	"time"

	"google.golang.org/grpc/status"
)

// Config of a Service. The zero value is ready to use.
type Config struct {
	// Bidirectional serves the bidirectional services, of both generations of the
	// protocol, in place of the unidirectional one.
	Bidirectional bool
	// Admit decides whether a call may become a connection. The status of its error is
	// the answer. Nil admits every call. It is called on the goroutine of the call.
	Admit func(context.Context) error
	// ConnectTimeout is how long a unidirectional call may take to send its connect
	// request, zero for ten seconds. The status is then DEADLINE_EXCEEDED. The node
	// bounds the time of a bidirectional one (centrifuge.Config.StaleCloseDelay).
	ConnectTimeout time.Duration
	// MaxSilentStreams bounds the streams of one HTTP/2 connection that have not sent a
	// message yet, zero for 100. The status of those beyond is RESOURCE_EXHAUSTED.
	MaxSilentStreams int
	// MaxBatch bounds the messages that are written together, zero for the node's default.
	MaxBatch uint16
	// OnError is called for failures that nothing else reports: a panic in a connection, a
	// connection that could not be accepted. It is called by any goroutine and must not
	// block. Nil ignores them.
	OnError func(error)
	// OnRefused is called for each call that was refused before it became a connection, and for
	// each connection that ends because gRPC refuses a message, with the context of the call,
	// the address of the client and the status of the answer. It is called by any goroutine.
	// Nil ignores them.
	OnRefused func(ctx context.Context, client string, answer *status.Status)
}

func (c Config) withDefaults() Config {
	if c.Admit == nil {
		c.Admit = func(context.Context) error { return nil }
	}
	if c.ConnectTimeout <= 0 {
		c.ConnectTimeout = 10 * time.Second
	}
	if c.MaxSilentStreams <= 0 {
		c.MaxSilentStreams = 100
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	if c.OnRefused == nil {
		c.OnRefused = func(context.Context, string, *status.Status) {}
	}
	return c
}
