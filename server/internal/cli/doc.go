// Package cli is the command line of the server: the server command itself and
// the commands around its configuration and its tokens (server-interface 7).
//
// Nothing here touches the process: arguments, streams, environment and the
// function that runs the server are given by main, so that a test can run any
// command in place. Only main exits.
package cli
