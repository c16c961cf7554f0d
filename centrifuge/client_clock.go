package centrifuge

import (
	"context"
	"math/rand/v2"
	"time"

	"centrifugo/centrifuge/internal/wheel"
	"centrifugo/protocol"
)

// deadline names what a client may be waiting for.
type deadline uint8

const (
	deadlineStale    deadline = iota // connect must have succeeded, or the last commands must have been handled
	deadlinePing                     // the next ping is sent
	deadlinePong                     // the last ping must have been answered
	deadlinePresence                 // presence is renewed, and Handlers.Alive called
	deadlineTick                     // positions and expiry of subscriptions are looked after
	deadlineExpiry                   // the connection's credentials run out
	deadlineStall                    // a full socket must have taken something
	numDeadlines
)

// clock holds a client's deadlines. The client has one timer in the node's wheel,
// set to the nearest.
type clock [numDeadlines]moment

// due takes the deadlines that have come.
func (k *clock) due(now moment) (due [numDeadlines]bool) {
	for d, at := range k {
		if at != 0 && at <= now {
			k[d], due[d] = 0, true
		}
	}
	return due
}

// armLocked sets the timer to the nearest deadline. The wheel's lock is the only
// one taken under Client.mu.
func (c *Client) armLocked(now moment) {
	var nearest moment
	for _, at := range c.clock {
		if at != 0 && (nearest == 0 || at < nearest) {
			nearest = at
		}
	}
	if nearest != 0 && c.state != clientClosed {
		c.node.wheel.Set(&c.timer, nearest.since(now))
	}
}

// startClock runs until connect succeeds.
func (c *Client) startClock(now moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock[deadlineStale] = now.in(c.node.config.StaleCloseDelay)
	c.armLocked(now)
}

// leavingClock leaves a client that has left nothing but the time for its last
// commands.
func (c *Client) leavingClock(now moment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = true
	c.clock = clock{deadlineStale: now.in(leaveTimeout)}
	c.armLocked(now)
}

// connectedLocked replaces the stale deadline by those of a connected client.
// The first ping comes at a random moment, so that those of many connections
// that came together spread (protocol.md 5.3).
func (c *Client) connectedLocked(now moment) {
	c.since = uint32(now/moment(time.Second)) + 1 //nolint:gosec // no node runs for a century
	if c.left {
		return // connect was one of its last commands
	}
	c.clock[deadlineStale] = 0
	if interval := c.node.config.PingInterval; interval > 0 {
		c.clock[deadlinePing] = now.in(interval/2 + rand.N(interval/2+1)) //nolint:gosec // it spreads load, it keeps no secret
	}
	c.clock[deadlinePresence] = now.in(c.node.config.PresenceInterval)
	c.clock[deadlineTick] = now.in(c.node.config.tickInterval())
	c.clock[deadlineExpiry] = c.expiryLocked()
	c.armLocked(now)
}

// expiryLocked leaves a client that refreshes by itself some time to do so.
func (c *Client) expiryLocked() moment {
	if c.expires == 0 || !c.clientSideRefresh {
		return c.expires
	}
	return c.expires.add(c.node.config.ExpiredCloseDelay)
}

// stalled starts to watch a socket that is full, or goes on if it has taken
// something since.
func (c *Client) stalled() {
	now := c.node.timeline.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clock[deadlineStall] = now.in(c.node.config.WriteTimeout)
	c.armLocked(now)
}

// stalls reports whether the transport has taken nothing for WriteTimeout.
func (c *Client) stalls(now moment) bool {
	if c.info.Blocking {
		return c.writerStalled(now)
	}
	return c.outbox.Stalled()
}

// clientTimer is a Client as the owner of its timer: a type of its own keeps the method
// of wheel.Owner out of the public API.
type clientTimer Client

// Expired implements wheel.Owner. It must not block.
func (t *clientTimer) Expired(_ *wheel.Timer, at time.Time) { (*Client)(t).expired(at) }

func (c *Client) expired(at time.Time) {
	defer c.node.recovered("at a deadline", c)
	now := c.node.timeline.moment(at)
	c.mu.Lock()
	due := c.clock.due(now)
	if due[deadlinePing] {
		c.clock[deadlinePing] = now.in(c.node.config.PingInterval)
		if c.expectsPongLocked() && !c.pinged {
			c.pinged = true
			c.clock[deadlinePong] = now.in(c.node.config.PongTimeout)
		}
	}
	if due[deadlinePresence] {
		c.clock[deadlinePresence] = now.in(c.node.config.PresenceInterval)
	}
	if due[deadlineTick] {
		c.clock[deadlineTick] = now.in(c.node.config.tickInterval())
	}
	duties := tick{now: now, presence: due[deadlinePresence], rest: due[deadlineTick]}
	ticks := (duties.presence || duties.rest) && c.needsTickLocked(duties)
	clientSideRefresh, left := c.clientSideRefresh, c.left
	c.armLocked(now)
	c.mu.Unlock()

	switch {
	case due[deadlineStall] && c.stalls(now):
		c.close(DisconnectWriteError, false)
	case due[deadlineStale]:
		if left {
			c.abandon()
		} else {
			c.Disconnect(DisconnectStale)
		}
	case due[deadlinePong]:
		c.Disconnect(DisconnectNoPong)
	case due[deadlineExpiry] && clientSideRefresh:
		c.Disconnect(DisconnectExpired)
	default:
		if due[deadlineExpiry] {
			go c.refreshByServer()
		}
		if due[deadlinePing] {
			c.ping()
		}
		if ticks && c.beginTick() {
			go c.tick(duties)
		}
	}
}

// expectsPongLocked: unidirectional clients cannot answer.
func (c *Client) expectsPongLocked() bool {
	return c.node.config.PongTimeout > 0 && !c.format.Uni()
}

// nativePing: V1 has no pings of the server in its protocol (protocol.md 8.5).
func (c *Client) nativePing(f protocol.Format) bool { return c.info.NativePing || f.V1() }

func (c *Client) ping() {
	format := c.wireFormat()
	if c.nativePing(format) {
		if c.info.Blocking {
			c.put(nativePing)
			return
		}
		if err := c.pingTransport(); err != nil {
			c.writeFailed(err)
		}
		return
	}
	c.put(c.node.pings[format])
}

func (c *Client) pingTransport() (err error) {
	defer c.node.logger.caught(&err, "pinging a transport")
	return c.transport.Ping()
}

// pong handles a pong of the protocol. A pong without a ping violates the protocol.
func (c *Client) pong() {
	if !c.ponged() {
		c.Disconnect(DisconnectBadRequest)
	}
}

func (c *Client) ponged() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.pinged || c.state != clientConnected {
		return false
	}
	c.pinged = false
	sent := c.clock[deadlinePong] - moment(c.node.config.PongTimeout)
	c.clock[deadlinePong] = 0 // the timer may go off for it, and finds nothing due
	c.counted.pingPong.observe(c.node.timeline.now().since(sent))
	return true
}

// needsTickLocked reports whether there is something to look after in t.
func (c *Client) needsTickLocked(t tick) bool {
	needs := t.presence && c.node.handlers.Alive != nil
	c.subs.each(func(s *subscription) { needs = needs || s.state == subLive && s.needsTickLocked(t) })
	return needs
}

// beginTick reports whether the caller may begin a tick. There is one at a time:
// an engine may be slower than the interval.
func (c *Client) beginTick() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != clientConnected || c.ticking {
		return false
	}
	c.ticking = true
	return true
}

// tick says what of a connection's subscriptions is looked after, and when.
type tick struct {
	now      moment
	presence bool // Config.PresenceInterval has passed
	rest     bool // Config.tickInterval has passed
}

// tick looks after the subscriptions.
func (c *Client) tick(t tick) {
	defer c.node.recovered("looking after subscriptions", c)
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ticking = false
		c.quietLocked()
	}()
	ctx := c.Context()
	c.mu.Lock()
	subs := make([]*subscription, 0, c.subs.len())
	c.subs.each(func(s *subscription) {
		if s.state == subLive && s.needsTickLocked(t) {
			subs = append(subs, s)
		}
	})
	c.mu.Unlock()
	for _, s := range subs {
		if ctx.Err() != nil {
			return
		}
		c.tend(ctx, s, t)
	}
	if t.presence && c.node.handlers.Alive != nil && ctx.Err() == nil {
		c.node.handlers.Alive(ctx, AliveEvent{Client: c})
	}
}

// tend renews one subscription's presence, and ends it when it has expired or
// lost its position.
func (c *Client) tend(ctx context.Context, s *subscription, t tick) {
	if t.rest && c.expireSubscription(ctx, s, t.now) {
		return
	}
	if t.presence {
		c.renewPresence(ctx, s)
	}
	if t.rest {
		c.checkPosition(ctx, s, t.now)
	}
}

// renewPresence holds up whoever wants to end s: an entry that is added after
// its removal would outlive the subscription.
func (c *Client) renewPresence(ctx context.Context, s *subscription) {
	c.mu.Lock()
	if s.state != subLive || s.busy || !s.presence {
		c.mu.Unlock()
		return
	}
	s.busy = true
	c.mu.Unlock()
	defer c.release(s)
	if err := c.node.presence.AddPresence(ctx, s.Channel, c.id, c.infoFor(s)); err != nil {
		c.node.logger.log(LogWarn, "renewing presence", "client", c.id, "channel", s.Channel, "error", err)
	}
}
