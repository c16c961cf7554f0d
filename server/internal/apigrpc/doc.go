// Package apigrpc serves the API of a backend over gRPC (server.md 2). The service follows
// from the table of methods in package api and from the schema in package apipb: a
// method needs no code here.
package apigrpc
