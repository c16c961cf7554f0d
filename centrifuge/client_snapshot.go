package centrifuge

import (
	"slices"
	"time"
)

// ClientSnapshot describes a connection at one time.
type ClientSnapshot struct {
	ID        string
	User      string
	Connected bool
	Transport TransportInfo
	// Info of the connection that others see.
	Info []byte
	// ExpireAt is when the credentials expire; zero for never.
	ExpireAt time.Time
	// Subscriptions that are live, in no particular order.
	Subscriptions []SubscriptionSnapshot
}

// SubscriptionSnapshot describes a subscription at one time.
type SubscriptionSnapshot struct {
	Channel string
	// ServerSide is set for a subscription that the server made.
	ServerSide bool
	// Positioned subscriptions have a Position, behind which the client has everything
	// that was sent. Recoverable ones can be recovered from it.
	Positioned, Recoverable bool
	Position                StreamPosition
	// Presence is set if the subscriber is in the channel's presence.
	Presence bool
	// Info of the channel that others see.
	Info []byte
	// ExpireAt is when the subscription expires; zero for never.
	ExpireAt time.Time
}

// Snapshot describes the connection. The caller may change the result.
func (c *Client) Snapshot() ClientSnapshot {
	c.mu.Lock()
	snapshot := ClientSnapshot{
		ID: c.id, User: c.user, Connected: c.state == clientConnected, Transport: c.info,
		Info: slices.Clone(c.connInfo), ExpireAt: c.node.timeline.wallTime(c.expires),
	}
	live := make([]*subscription, 0, c.subs.len())
	c.subs.each(func(s *subscription) {
		if s.state == subLive {
			live = append(live, s)
			snapshot.Subscriptions = append(snapshot.Subscriptions, s.snapshotLocked(&c.node.timeline))
		}
	})
	c.mu.Unlock()
	for i, s := range live { // the lock of a gate is not taken inside that of its client
		if offset, epoch, ok := s.Position(); ok {
			snapshot.Subscriptions[i].Position = StreamPosition{Offset: offset, Epoch: epoch}
		}
	}
	return snapshot
}

func (s *subscription) snapshotLocked(t *timeline) SubscriptionSnapshot {
	snapshot := SubscriptionSnapshot{
		Channel: s.Channel, ServerSide: s.serverSide, Positioned: s.positioned, Presence: s.presence,
		ExpireAt: t.wallTime(s.expiryLocked()),
	}
	if s.details != nil {
		snapshot.Recoverable, snapshot.Info = s.recoverable(), slices.Clone(s.details.info)
	}
	return snapshot
}
