// Package stdpb is client.proto as the standard Protobuf runtime for Go has
// it. Only tests and benchmarks of package protocol use it, to compare.
package stdpb

//go:generate go run generate.go
