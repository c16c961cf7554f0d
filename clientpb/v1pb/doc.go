// Package v1pb has the services of clients over gRPC in the first generation of the protocol
// (protocol.md 8), generated from v1.proto. The messages in their fields params, result and
// data are those of package clientpb.
package v1pb

//go:generate go run ../../internal/protogen -I . v1.proto
