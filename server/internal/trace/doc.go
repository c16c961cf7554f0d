// Package trace keeps what a node tells a centrifuge.Tracer, for the channels, users and
// connections that an operator has asked for, and explains why a client was or was not sent
// a publication.
//
// Traces belongs to a node: it records events in rings and answers the surveys of other
// nodes. Explain takes the answers of all nodes and puts them into words.
package trace
