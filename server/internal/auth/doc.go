// Package auth verifies the JSON Web Tokens of clients: connection tokens and
// subscription tokens (server.md 3), and generates tokens for the command line.
//
// A Verifier is immutable. On a reload its owner makes a new one and swaps the
// pointer. Tokens and keys never appear in errors.
package auth
