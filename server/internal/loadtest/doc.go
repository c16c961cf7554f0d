// Package loadtest drives a server that speaks the client protocol and says what
// it can do: the work of the command "centrifugo bench".
//
// [Run] is the controller. It starts workers, in this process or in processes
// of their own, and tells them over net/rpc to connect, publish and report.
// A worker holds a fleet of clients, read by one goroutine with epoll where
// the system has it, and its part of the publishers. Every publication carries
// the number of its publisher and its number there, so each client can say
// what it missed, got twice or got late.
package loadtest
