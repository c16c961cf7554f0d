package centrifuge

import "context"

// PresenceManager knows which connections are subscribed to a channel, in the whole
// cluster. Entries expire unless they are added again, so that those of a node that
// has crashed disappear.
//
// The node calls all methods but Close concurrently; it makes no other AddPresence or
// RemovePresence of one connection and channel at the same time. Methods may block.
// The node passes a context that ends after ten seconds at the latest, and a method
// returns soon after its context has ended. A panic is an error of the call.
type PresenceManager interface {
	// Presence returns the connections subscribed to channel by client id.
	Presence(ctx context.Context, channel string) (map[string]*ClientInfo, error)
	// PresenceStats counts them.
	PresenceStats(ctx context.Context, channel string) (PresenceStats, error)
	// AddPresence adds or prolongs the entry of a connection.
	AddPresence(ctx context.Context, channel, client string, info *ClientInfo) error
	// RemovePresence removes it. It is also called after an AddPresence that failed
	// or was cancelled, which must not take effect afterwards.
	RemovePresence(ctx context.Context, channel, client, user string) error
	// Close stops the manager.
	Close(ctx context.Context) error
}

// PresenceStats counts the subscribers of a channel. All anonymous connections
// count as one user.
type PresenceStats struct {
	NumClients int
	NumUsers   int
}
