// Package channels implements the rules of channels: the meaning of a channel name, its
// options, and what a client may do with it (server.md 4).
//
// Rules is an immutable snapshot of the configuration. A reload compiles a new one. All
// decisions are pure functions of a snapshot and a query; the caller applies them.
package channels
