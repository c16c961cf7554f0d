package centrifuge

import "context"

// PresenceManager knows who is subscribed to a channel, cluster-wide. Entries
// expire unless they are added again, so that those of a crashed node vanish.
// Its methods are safe for concurrent use.
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
