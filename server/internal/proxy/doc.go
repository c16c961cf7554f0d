// Package proxy asks the application's backend about events of connections: may this
// user connect, subscribe, publish; what is the answer to this call (server.md 5).
//
// A Set has the proxies of the configuration. A Proxy is one of them: an endpoint, what is
// passed on to it, and the protection of the backend behind it. It calls the endpoint
// through a Carrier, which is HTTP here and gRPC in package proxygrpc. Events and carriers
// are independent: each event is a row of a table, each carrier carries every event.
//
//	event.go     the events
//	request.go   what a backend is told
//	response.go  what a backend answers
//	headers.go   what of a connection is passed on, and Session, which keeps it
//	proxy.go     one call, with its log lines and counters
//	stream.go    the streams of subscriptions
//	set.go       the proxies of the configuration
//	http.go      the HTTP carrier
//	guard.go     the protection of a backend
//	limiter.go   the limit of calls in flight, and the queue in front of it
package proxy
