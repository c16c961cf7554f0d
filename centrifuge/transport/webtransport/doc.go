// Package webtransport carries connections in WebTransport sessions over HTTP/3
// (draft-ietf-webtrans-http3; protocol.md 3.7). A client opens one bidirectional stream in
// a session, over which both sides send lines of JSON, or Protobuf messages behind their
// length.
//
// QUIC runs in the process, so a connection has goroutines: those of the QUIC connection,
// those of the session, a reader of the stream, and one that refuses further streams.
//
// A Handler needs an HTTP/3 server whose QUIC connections it serves:
//
//	mux := http.NewServeMux()
//	server := &http3.Server{Handler: mux}
//	handler := webtransport.NewHandler(node, webtransport.Config{})
//	handler.Attach(server)
//	mux.Handle("/connection/webtransport", handler)
//
// For each connection that the QUIC listener accepts, the program then calls
// Handler.ServeQUICConn, which serves ordinary requests to server too.
//
//	config.go    options
//	handler.go   from a request to a session
//	session.go   a session and its end
//	framing.go   where messages end in a stream
//	conn.go      a connection
//	reader.go    what the client sends
package webtransport
