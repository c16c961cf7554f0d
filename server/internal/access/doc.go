// Package access answers one question: may this client do this? It turns the
// configuration of clients, channels and tokens into the handlers of the library,
// and knows nothing of how the answers travel.
//
// A Policy reads its settings from an immutable snapshot, which Reload swaps as
// a whole: an event is decided by the old settings or by the new ones, never by
// a mixture.
package access
