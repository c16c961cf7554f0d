package http2

import (
	"context"
	"net/http"
	"time"
)

// Config of a Server. The zero value of each field but Handler is ready to use.
type Config struct {
	// Handler serves the requests. A panic in it resets the stream and is passed to OnError,
	// except http.ErrAbortHandler, which only resets the stream.
	Handler http.Handler
	// BaseContext is the parent of the contexts of requests, nil for context.Background.
	BaseContext context.Context
	// HandshakeTimeout bounds the TLS handshake, zero for ten seconds.
	HandshakeTimeout time.Duration
	// HeaderTimeout bounds the wait for the first request and for the rest of a header that has begun,
	// zero for ten seconds.
	HeaderTimeout time.Duration
	// IdleTimeout is how long a connection without streams is kept, zero for two minutes.
	IdleTimeout time.Duration
	// MaxHeaderBytes bounds the header of a request, as RFC 9113 6.5.2 counts it: names, values and 32
	// bytes for each field. Zero is for http.DefaultMaxHeaderBytes. A larger one is answered 431.
	MaxHeaderBytes int
	// MaxStreams is how many streams a connection may have, and how many handlers may run for
	// it, zero for 250.
	MaxStreams int
	// Cleartext lets connections without TLS begin with HTTP/2 (RFC 9113 3.3), in place of HTTP/1.
	Cleartext bool
	// ExtendedConnect announces extended CONNECT (RFC 8441). A handler finds the protocol in the
	// header ":protocol".
	ExtendedConnect bool
	// Pollers and ScheduledWrites are those of websocket.Config.
	Pollers         int
	ScheduledWrites bool
	// OnError is told of panics and of an event loop that does not start. Nil ignores them.
	OnError func(error)
	// OnRefused is told of a connection that is ended because of what the client did. It may be called
	// often. Nil ignores it.
	OnRefused func(remote string, err error)
}

func (c Config) withDefaults() Config {
	if c.BaseContext == nil {
		c.BaseContext = context.Background()
	}
	if c.HandshakeTimeout <= 0 {
		c.HandshakeTimeout = 10 * time.Second
	}
	if c.HeaderTimeout <= 0 {
		c.HeaderTimeout = 10 * time.Second
	}
	if c.IdleTimeout <= 0 {
		c.IdleTimeout = 2 * time.Minute
	}
	if c.MaxHeaderBytes <= 0 {
		c.MaxHeaderBytes = http.DefaultMaxHeaderBytes
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = 250
	}
	if c.OnError == nil {
		c.OnError = func(error) {}
	}
	if c.OnRefused == nil {
		c.OnRefused = func(string, error) {}
	}
	return c
}

const (
	// windowStream is how many bytes of a body a client may send ahead of its handler, and what
	// a peer starts with (RFC 9113 6.9.2). One whose handler reads gets up to maxWindowStream.
	windowStream    = 64<<10 - 1
	maxWindowStream = 16 * windowStream
	// windowConn is the same for all streams of a connection.
	windowConn = 1 << 20
	// maxWindow is the largest window that there is (RFC 9113 6.9.1).
	maxWindow = 1<<31 - 1

	// maxFrame is the payload of a frame at most, in both directions: the initial value of
	// SETTINGS_MAX_FRAME_SIZE.
	maxFrame = 16 << 10
	// maxWrite is how many bytes of bodies are given to the socket at once.
	maxWrite = 64 << 10
	// maxBacklog is how many bytes may wait for the socket before no more frames are read.
	maxBacklog = 128 << 10

	// closeTimeout is how long a connection that was ended waits for the peer's end.
	closeTimeout = 5 * time.Second
)
