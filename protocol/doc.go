// Package protocol is the contract: what goes over the wire between a client
// and the server, in both encodings (JSON, Protobuf) and both generations
// (V1, V2). It knows nothing of connections, channels or HTTP.
//
// A message is encoded by the Append functions and decoded by a Decoder; a
// [Encoded] is one encoded message that many connections may send. The schema,
// with its field numbers fixed for ever, is client.proto beside this file.
package protocol
