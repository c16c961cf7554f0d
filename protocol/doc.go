// Package protocol defines what a client and the server send to each other, in
// both encodings (JSON, Protobuf) and both generations of the protocol (V1, V2).
//
// The Append functions encode a message, and a Decoder decodes the commands of a
// client. An [Encoded] is an encoded message that many connections may send.
//
// The schema is client.proto; its field numbers never change. internal/codegen
// generates the codecs of the messages from it, the files named *_gen.go. The
// types and the envelopes (Command, Reply, Push) are written by hand. A server
// decodes commands and encodes replies; the files named *_append_command and
// *_decode_reply are for clients.
package protocol

//go:generate go run ./internal/codegen
