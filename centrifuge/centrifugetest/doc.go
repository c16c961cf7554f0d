// Package centrifugetest has what tests of the library and of its engines
// need: suites that every implementation of a seam must pass, a connection
// without a network, and a client that speaks the protocol over it.
package centrifugetest
