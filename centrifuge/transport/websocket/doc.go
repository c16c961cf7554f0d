// Package websocket carries connections of a node over WebSocket: RFC 6455,
// with permessage-deflate (RFC 7692) without context takeover.
//
// A TCP connection is served by an event loop: while it is idle it has no goroutine,
// no buffer and no timer. So does TLS over a connection of Listener; other TLS
// has one goroutine for each connection. A WebSocket over HTTP/2 or HTTP/3 (RFC 8441, RFC
// 9220) has that one and the one of its request.
//
//	node.go        a Handler for a node
//	listener.go    connections that can be taken away from under TLS
//	handler.go     the HTTP side: checks, upgrade, acceptance by the node
//	handshake.go   what a request asks for: encoding, generation, compression
//	extended.go    streams of HTTP/2 and HTTP/3 as connections
//	conn.go        one connection: its parts, its states, its end
//	conn_read.go   bytes -> events -> the session
//	conn_write.go  frames -> bytes; what the socket did not take
//	conn_close.go  both ways of the closing handshake
//	reader.go      the incremental reader of frames and fragmented messages
//	header.go      frame headers
//	wire.go        a frame of the protocol as a WebSocket message, built once
//	deflate.go     compression; no connection holds a part of it
package websocket
