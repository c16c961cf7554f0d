// Package access decides what clients may do. It turns the configuration of clients,
// channels and tokens into the handlers of the library.
//
// A Policy reads its settings from an immutable snapshot, which Reload replaces. Each
// event is decided by either the old settings or the new ones, never by a mixture.
package access
