package centrifuge

import (
	"time"

	"centrifugo/protocol"
)

func (c *Client) handleUnsubscribe(request *protocol.UnsubscribeRequest) (*protocol.Reply, error) {
	if request.Channel == "" {
		return nil, DisconnectBadRequest
	}
	if s := c.find(request.Channel); s != nil {
		claimed, settled := c.claim(s, time.Now().Add(maxSettle))
		if !settled {
			return nil, DisconnectServerError
		}
		if claimed && c.undo(s, UnsubscribeClient, undoing{}) {
			c.retire(s, UnsubscribeClient)
		}
	}
	return &protocol.Reply{Unsubscribe: &protocol.UnsubscribeResult{}}, nil
}

// find returns the subscription of channel, live or not; nil if it has ended.
func (c *Client) find(channel string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.subs.get(channel); s != nil && s.state != subEnded {
		return s
	}
	return nil
}

// claim makes the caller the one who ends s. It waits while s is being made,
// renewed, or unmade by another; settled is false when that takes longer than the
// deadline, which may be zero for none.
func (c *Client) claim(s *subscription, deadline time.Time) (claimed, settled bool) {
	for {
		c.mu.Lock()
		claimed, settled = c.claimLocked(s)
		if settled {
			c.mu.Unlock()
			return claimed, true
		}
		wait := s.settledLocked()
		c.mu.Unlock()
		if deadline.IsZero() {
			<-wait
		} else if !waitUntil(wait, deadline) {
			return false, false
		}
	}
}

// claimLocked is claim without waiting.
func (c *Client) claimLocked(s *subscription) (claimed, settled bool) {
	switch {
	case s.state == subEnded || c.subs.get(s.Channel) != s:
		return false, true
	case s.state == subLive && !s.busy:
		s.state, s.busy = subEnding, true
		return true, true
	}
	return false, false
}

// undoing says how a subscription ends.
type undoing struct {
	tell     bool // the client
	unjoined bool // hub and broker have forgotten it already
}

// undo ends a subscription that the caller has claimed. It does not tell the
// application: if mine is set, the caller must do so with retire, otherwise the
// goroutine does that tells of the beginning. The client is told before its channel is
// free again: a subscribe that is waiting is answered later.
func (c *Client) undo(s *subscription, why Unsubscribe, how undoing) (mine bool) {
	defer c.node.recovered("ending a subscription", c)
	defer func() { mine = c.ended(s, why) }() // also after a panic: other goroutines may wait for it
	c.node.leave(c, s, how.unjoined)
	if how.tell {
		c.node.stats.numbered(s.Label).unsubscribed(why.Code)
		c.pushUnsubscribe(s, why)
	}
	return false // see above
}

// pushUnsubscribe tells the client. The bound of the outbox does not count it, so that a
// slow client is told that it has missed something.
func (c *Client) pushUnsubscribe(s *subscription, why Unsubscribe) {
	frame, err := c.encodeMoving(&protocol.Reply{Push: &protocol.Push{
		Channel: s.Channel, Unsubscribe: &protocol.Unsubscribe{Code: why.Code, Reason: why.Reason},
	}}, protocol.MoveEnd, s.Channel, StreamPosition{})
	if err != nil {
		return // it has no payload that could fail
	}
	c.putResult(c.outbox.PutReply(frame), true)
}

// unsubscribePush ends a subscription and tells the client why.
func (c *Client) unsubscribePush(s *subscription, why Unsubscribe) {
	claimed, settled := c.claim(s, time.Now().Add(maxSettle))
	if !settled {
		c.Disconnect(DisconnectServerError)
	}
	if claimed && c.undo(s, why, undoing{tell: true}) {
		c.retireAside(s, why)
	}
}

// endSubscriptions ends everything that a closed connection still has. What can
// be ended at once does not wait: neither for a handler that is blocked, nor for
// an engine. It returns when the application was told of all.
func (c *Client) endSubscriptions() {
	var blocked []*subscription
	all := c.allSubscriptions()
	claimed := all[:0] // at most those that were looked at
	for _, s := range all {
		c.mu.Lock()
		ours, settled := c.claimLocked(s)
		c.mu.Unlock()
		switch {
		case !settled:
			blocked = append(blocked, s)
		case ours:
			claimed = append(claimed, s)
		}
	}
	for _, s := range blocked {
		go func() {
			if claimed, _ := c.claim(s, time.Time{}); claimed && c.undo(s, UnsubscribeDisconnect, undoing{}) {
				c.retireSafely(s, UnsubscribeDisconnect)
			}
		}()
	}
	unjoined := c.node.unjoinTogether(c, claimed)
	mine := make([]bool, len(claimed))
	c.node.together(len(claimed), !c.node.immediate(), c, func(i int) {
		mine[i] = c.undo(claimed[i], UnsubscribeDisconnect, undoing{unjoined: unjoined != nil && unjoined[i]})
	})
	for i, s := range claimed {
		if mine[i] {
			c.retireSafely(s, UnsubscribeDisconnect)
		}
	}
	c.waitForgotten()
}

func (c *Client) allSubscriptions() []*subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := make([]*subscription, 0, c.subs.len())
	c.subs.each(func(s *subscription) { all = append(all, s) })
	return all
}

// waitForgotten returns when a closed connection has no subscription left.
func (c *Client) waitForgotten() {
	for {
		var wait <-chan struct{}
		c.mu.Lock()
		c.subs.each(func(s *subscription) {
			if wait == nil {
				wait = s.settledLocked()
			}
		})
		c.mu.Unlock()
		if wait == nil {
			return
		}
		<-wait
	}
}
