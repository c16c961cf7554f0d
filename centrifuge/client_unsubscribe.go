package centrifuge

import (
	"context"
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
		if claimed {
			c.end(s, UnsubscribeClient, false)
		}
	}
	return &protocol.Reply{Unsubscribe: &protocol.UnsubscribeResult{}}, nil
}

// find returns the subscription of channel in whatever state.
func (c *Client) find(channel string) *Subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.subs.get(channel)
}

// claim makes the caller the one who ends s. It waits while s is being made,
// renewed, or unmade by another. settled is false when that takes too long.
func (c *Client) claim(s *Subscription, deadline time.Time) (claimed, settled bool) {
	for {
		c.mu.Lock()
		if c.subs.get(s.Channel) != s {
			c.mu.Unlock()
			return false, true
		}
		if s.state == subLive && !s.busy {
			s.state, s.busy = subEnding, true
			c.mu.Unlock()
			return true, true
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

// end undoes a subscription that the caller has claimed. The client is told
// before its channel is free again: a subscribe that is waiting is answered later.
func (c *Client) end(s *Subscription, why Unsubscribe, tell bool) {
	func() {
		defer c.forget(s) // even if an engine panics: somebody may wait for it
		c.node.leave(c, s, true)
		if tell {
			c.node.stats.unsubscribed(why.Code)
			_ = c.push(&protocol.Push{ // it has no payload that could fail
				Channel: s.Channel, Unsubscribe: &protocol.Unsubscribe{Code: why.Code, Reason: why.Reason},
			})
		}
	}()
	if c.node.handlers.Unsubscribed != nil {
		c.node.handlers.Unsubscribed(context.WithoutCancel(c.Context()), UnsubscribedEvent{
			Client: c, Channel: s.Channel, Unsubscribe: why, ServerSide: s.serverSide,
		})
	}
}

// unsubscribePush ends a subscription and tells the client why.
func (c *Client) unsubscribePush(s *Subscription, why Unsubscribe) {
	claimed, settled := c.claim(s, time.Now().Add(maxSettle))
	if !settled {
		c.Disconnect(DisconnectServerError)
	}
	if claimed {
		c.end(s, why, true)
	}
}

// drainSubscriptions claims everything that a closed connection still has.
func (c *Client) drainSubscriptions() []*Subscription {
	c.mu.Lock()
	all := make([]*Subscription, 0, c.subs.len())
	c.subs.each(func(s *Subscription) { all = append(all, s) })
	c.mu.Unlock()
	claimed := all[:0]
	for _, s := range all {
		if ok, _ := c.claim(s, time.Time{}); ok {
			claimed = append(claimed, s)
		}
	}
	return claimed
}
