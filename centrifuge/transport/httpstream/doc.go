// Package httpstream carries connections in the body of an HTTP response: HTTP streaming
// and server-sent events, each bidirectional (commands come by requests of their
// own, to an Emulation) or unidirectional (protocol.md 3.4, 3.5).
//
// A connection over HTTP/1 is taken over from net/http after its request was read. Its
// socket is then watched by an event loop: an idle connection has no goroutine and no
// buffer. So it is with a stream over HTTP/2 of package http2. Over HTTP/2 of net/http and
// HTTP/3 the handler waits for the end of the connection.
//
//	config.go     options
//	handler.go    from a request to a connection
//	request.go    what requests are accepted, and what they ask for
//	framing.go    the bytes of the body
//	eventid.go    the positions of a client in the ids of events
//	conn.go       a connection on the event loop
//	served.go     a connection that net/http serves
//	emulation.go commands of bidirectional connections
//	judged.go     connections whose HTTP status depends on the connect request
package httpstream
