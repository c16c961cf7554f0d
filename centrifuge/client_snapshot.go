package centrifuge

import (
	"slices"
	"strings"
	"time"
	"unique"
)

// ClientSnapshot describes a connection at one time.
type ClientSnapshot struct {
	ID        string
	User      string
	Connected bool
	Transport TransportInfo
	// Name and Version are what the client calls itself, by default its SDK. They are cut
	// to 64 bytes each.
	Name, Version string
	// ConnectedAt is when the client connected, to the second; zero before that.
	ConnectedAt time.Time
	// LastPing is when the last ping was sent; zero if there was none. PongMissing is set
	// while its pong is awaited.
	LastPing    time.Time
	PongMissing bool
	// QueuedBytes is what waits to be sent, in the outbox and in the transport.
	QueuedBytes int
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
		ConnectedAt: c.node.timeline.wallTime(c.connectedAtLocked()), LastPing: c.node.timeline.wallTime(c.lastPingLocked()), PongMissing: c.pinged,
	}
	if c.software != noSoftware {
		snapshot.Name, snapshot.Version = c.software.Value().name, c.software.Value().version
	}
	live := make([]*subscription, 0, c.subs.len())
	c.subs.each(func(s *subscription) {
		if s.state == subLive {
			live = append(live, s)
			snapshot.Subscriptions = append(snapshot.Subscriptions, s.snapshotLocked(&c.node.timeline))
		}
	})
	c.mu.Unlock()
	snapshot.QueuedBytes = c.outbox.Waiting()
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

// software is what a client calls itself. Many connections share a value.
type software struct{ name, version string }

var noSoftware unique.Handle[software]

// maxSoftware bounds name and version, in bytes each.
const maxSoftware = 64

func softwareOf(name, version string) unique.Handle[software] {
	if name == "" && version == "" {
		return noSoftware
	}
	return unique.Make(software{cut(name), cut(version)})
}

// cut returns at most maxSoftware bytes of s, without a part of a character.
func cut(s string) string {
	if len(s) <= maxSoftware {
		return s
	}
	return strings.ToValidUTF8(s[:maxSoftware], "")
}

// connectedAtLocked is when the client connected, to the second; none before that.
func (c *Client) connectedAtLocked() moment {
	if c.since == 0 {
		return 0
	}
	return max(moment(c.since-1)*moment(time.Second), 1)
}

// lastPingLocked is when the last ping was sent. It follows from the time of the next one,
// which the client has to keep anyway. The first one is due within an interval of the
// connect.
func (c *Client) lastPingLocked() moment {
	next := c.clock[deadlinePing]
	last := next - moment(c.node.config.PingInterval)
	if next == 0 || last <= c.connectedAtLocked()+moment(time.Second) {
		return 0
	}
	return last
}
