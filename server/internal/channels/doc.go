// Package channels knows the rules of channels: what a channel name means, which
// options it has, and what a client may do with it (server-interface 4).
//
// Rules is an immutable snapshot of the configuration, compiled once; a reload
// makes a new one and the owner swaps the pointer. All decisions are pure
// functions of a snapshot and a question, and know nothing of clients, tokens or
// transports: the caller acts on the answer.
package channels
