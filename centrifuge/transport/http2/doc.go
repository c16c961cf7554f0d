// Package http2 serves connections over HTTP/2 (RFC 9113) on an event loop. A
// connection without a running request has no goroutine and no buffer: with one idle stream
// of package httpstream it takes a fifth of the memory that net/http needs for it.
//
// Requests go to an http.Handler, each in a goroutine. HTTP/1.1 and connections that cannot
// be polled stay with net/http:
//
//	server := &http.Server{Handler: mux}
//	streams := http2.NewServer(http2.Config{Handler: mux})
//	listener = tls.NewListener(websocket.Listener(listener), config) // NextProtos: h2, http/1.1
//	server.Serve(streams.Listener(listener))
//
// The server has no push and no priorities; both are optional.
//
//	config.go    options
//	server.go    the server, and its connections as a whole
//	listener.go  which connections are served here
//	conn.go      a connection: what the event loop tells it, and its end
//	read.go      frames that arrive
//	write.go     frames that are sent, within the windows of the peer
//	frame.go     the bytes of frames
//	settings.go  the settings of both sides
//	fields.go    a header block that arrives
//	request.go   from a header block to a request
//	response.go  the response of a handler
//	trailers.go  the fields behind a response
//	header.go    the bytes of a header block that is sent
//	body.go      the body of a request
//	deadline.go  waiting for a peer, until a deadline
//	stream.go    a stream, and one that a transport has taken over
//	budget.go    a bound on frames that carry nothing
package http2
