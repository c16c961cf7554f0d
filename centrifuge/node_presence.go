package centrifuge

import "context"

// Presence returns the connections subscribed to channel, by client id.
func (n *Node) Presence(ctx context.Context, channel string) (map[string]*ClientInfo, error) {
	if err := n.started(); err != nil {
		return nil, err
	}
	return n.presence.Presence(ctx, channel)
}

// PresenceStats counts the connections subscribed to channel.
func (n *Node) PresenceStats(ctx context.Context, channel string) (PresenceStats, error) {
	if err := n.started(); err != nil {
		return PresenceStats{}, err
	}
	return n.presence.PresenceStats(ctx, channel)
}
