package centrifuge

import (
	"context"

	"centrifugo/protocol"
)

// Transport writes to one connection. A program that carries connections implements it,
// passes it to Node.Accept, and reports what the peer does by the methods of the Conn
// that Accept returns. The node calls the methods from any goroutine.
//
// Which calls may overlap: Write and Ping never overlap each other and are not called
// after Close was called. Resume may be called at any time. Close is called exactly
// once. A transport that is not Blocking is closed when no Write runs. A Blocking
// transport may be closed while a Write or Ping runs; Conn.Done tells when that one
// has returned as well.
type Transport interface {
	// Info returns the same facts during the whole life of the connection.
	Info() TransportInfo

	// Write sends the messages of batch, in order, in as few transport messages as
	// possible. It must not keep batch, but may keep its elements, which are not
	// changed.
	//
	// A transport that is not Blocking accepts everything at once and ignores ctx:
	// pending is the number of bytes that the socket did not accept and that the
	// transport keeps, those of earlier calls included. While pending is not zero the
	// node does not call Write again before the transport has called Conn.Writable; it
	// then writes what was queued meanwhile, possibly an empty batch. If nothing
	// was accepted for Config.WriteTimeout, the node closes the connection.
	//
	// A Blocking transport returns when the bytes have been sent, with a pending of
	// zero. It must return soon after ctx is done, whatever the network does. That
	// is when the call has taken Config.WriteTimeout since it began, or since the
	// last call of Conn.Writable, when the transport has called Conn.Closed, and
	// Config.WriteTimeout after the node has begun to close the connection. ctx is the
	// same in all calls: it can be watched once for the whole connection, for
	// example by context.AfterFunc(ctx, func() { SetWriteDeadline(past) }).
	//
	// An error ends the connection, after the commands that were received. A
	// transport whose peer has ended the connection discards batch and returns no
	// error: it may still have input to deliver, and calls Conn.Closed after it.
	Write(ctx context.Context, batch []*protocol.Encoded) (pending int, err error)

	// Ping sends a ping of the transport's own. It is called only with
	// TransportInfo.NativePing, or in generation V1. It follows the rules of Write.
	Ping() error

	// Resume asks to read on after Conn.Receive has returned false.
	Resume()

	// Close ends the connection and does not wait. A transport with a close frame
	// sends code and reason after what is pending, if that is possible. Close of a
	// Blocking transport is called while a Write runs if the connection is closed
	// without flushing, and otherwise after Config.WriteTimeout at the latest. The
	// transport must call Conn.Closed once the connection has ended, whether or not
	// Close was called. The code is zero if the peer has closed the connection.
	Close(code uint32, reason string)
}

// TransportInfo is what the core has to know of a transport.
type TransportInfo struct {
	// Name is the transport's label in metrics and proxies: "websocket", "sse" …
	Name string
	// Protobuf is set when the connection has the Protobuf encoding.
	Protobuf bool
	// Generation of the protocol that the client asked for.
	Generation Generation
	// Unidirectional transports carry bare pushes and no commands but connect.
	Unidirectional bool
	// Emulation transports receive their commands by separate requests.
	Emulation bool
	// NativePing asks for the transport's own pings instead of the protocol's.
	NativePing bool
	// Blocking is set when Write may wait for the network. The node then writes
	// from a goroutine that exists only while there is something to write.
	Blocking bool
	// DisconnectPush is set when the transport has no close frame, so that the
	// last message must be a disconnect push.
	DisconnectPush bool
	// MaxBatch bounds how many messages one Write call gets, zero for the
	// node's own bound (Config.MaxBatch). SDKs take any number
	// (protocol.md 3.3).
	MaxBatch uint16
}

// Generation of the client protocol (protocol.md 1.2).
type Generation uint8

const (
	// GenerationAuto is decided by the first message (protocol.md 8.6).
	GenerationAuto Generation = iota
	GenerationV2
	GenerationV1
	// GenerationV1Draft is V1 with the method numbers of the draft of early 2018.
	GenerationV1Draft
)
