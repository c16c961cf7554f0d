// Package cli implements the command line of the server: the command that runs it, and
// the commands for its configuration and tokens (server.md 7).
//
// The caller passes arguments, streams, environment and the function that runs the
// server, so that tests can run any command in the process. Only the caller exits.
package cli
