package centrifuge

import "centrifugo/protocol"

// Transport is one connection as the core sees it: a way for bytes to leave,
// and a few facts. The core calls its methods from any goroutine.
//
// The other direction are methods of Client, called by the transport:
// Receive for every message that came in, Full when the socket has not taken
// something of the transport's own, Writable when a full socket has room again,
// Pong for a native pong, Violated when the peer broke the rules of the transport,
// and Gone once, when the connection is no more and all that came was received.
type Transport interface {
	// Info does not change during the life of the connection.
	Info() TransportInfo

	// WriteFrames sends the frames of batch, in order, in as few transport
	// messages as it can. It must not keep batch, but may keep the frames. One
	// call is made at a time.
	//
	// A transport that is not Blocking takes everything at once: pending is the
	// number of bytes that the socket did not accept and that the transport
	// keeps, those of earlier calls included. While pending is not zero the
	// core does not call again before Writable was called; it then calls with
	// whatever has been queued meanwhile, possibly an empty batch.
	//
	// A Blocking transport returns when the bytes have left and reports zero.
	//
	// An error ends the connection, behind the commands that were received. A
	// transport whose peer has ended the connection drops what it is given without
	// an error: it may still have something to read, and calls Client.Gone behind it.
	WriteFrames(batch []*protocol.Encoded) (pending int, err error)

	// Ping sends a ping of the transport's own, where it has one.
	Ping() error

	// Resume goes on reading after Receive had returned false.
	Resume()

	// Close ends the connection, after what is pending if that is possible
	// without waiting. Where the transport has a close frame it carries code
	// and reason. The transport answers with Client.Gone when the connection is
	// no more, also when Close was not called.
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
	// Blocking is set when WriteFrames may wait for the network. The core then
	// writes from a goroutine that exists only while there is work.
	Blocking bool
	// DisconnectPush is set when the transport has no close frame, so that the
	// last message must be a disconnect push.
	DisconnectPush bool
	// MaxBatch bounds how many frames one WriteFrames call gets, zero for the
	// node's own bound (Config.MaxBatch). SDKs take any number
	// (client-protocol 1.6).
	MaxBatch uint16
}

// Generation of the client protocol (client-protocol section 0).
type Generation uint8

const (
	// GenerationAuto is decided by the first message (client-protocol 2.7).
	GenerationAuto Generation = iota
	GenerationV2
	GenerationV1
	// GenerationV1Draft is V1 with the method numbers of the draft of early 2018.
	GenerationV1Draft
)
