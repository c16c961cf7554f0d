// Package proxygrpc calls the backends of proxies over gRPC (server.md 5.3).
//
//	carrier.go  a connection to an endpoint, and calls over it
//	message.go  requests and responses of package proxy as Protobuf messages
//	stream.go   the streams of subscriptions
package proxygrpc
