// Package centrifuge is a library for real-time messaging: clients hold one
// connection each, subscribe to channels, and get what is published into them,
// in order and without gaps, in milliseconds. Presence, history and recovery
// after a lost connection are part of it.
//
// An application makes a [Node] with [New], sets its [Handlers] with [Node.Handle],
// starts it with [Node.Run], and publishes with [Node.Publish]. A transport passes
// connections to [Node.Accept]; an HTTP server uses the handler of package
// transport/websocket. Middleware identifies a connection with [SetCredentials]. The
// first example is a complete program. Read the sources in this order:
//
//	node.go      what a server is made of
//	client.go    one connection: connecting, connected, closed
//	client_*.go  what it may ask for, one file for each subject
//	broker.go    the seams to an engine; the memory engine is the default
//	internal/fanout  how one message reaches many sockets
//
// Every exported method is safe for concurrent use unless it says otherwise.
package centrifuge
