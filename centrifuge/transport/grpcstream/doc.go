// Package grpcstream carries connections over gRPC (protocol.md 3.6): bidirectional ones, on
// which the client sends commands and gets replies, and unidirectional ones, on which it
// sends a connect request and gets pushes.
//
// gRPC serves each stream by a goroutine, which waits for the end of the connection;
// another one reads from a bidirectional stream. The buffers of the HTTP/2 connection are
// those of gRPC.
//
//	config.go    options
//	service.go   the services, and from a call to a connection
//	silent.go    the bound of streams that have sent nothing
//	codec.go     messages that are encoded already
//	conn.go      a connection
//	reader.go    commands of a bidirectional connection
//	advice.go    how the end is told in the trailer
package grpcstream
