package centrifuge

import "context"

// The application is told of connections and subscriptions in their order:
// Connected before Disconnected, Subscribed before Unsubscribed, and that before
// the next Subscribed for the channel. Each is told once and in pairs: what ended
// before its first event is told of by neither.
//
// Ending a subscription does not wait for a callback, because the callback itself
// may end the subscription. If a subscription ends while the application is being told of
// it, whoever tells of its beginning also tells of its end.

// announce tells the application of a subscription that went live, unless it has
// ended meanwhile. The caller is the one who made it.
func (c *Client) announce(s *subscription, tell func()) {
	told := false
	defer func() { c.announced(s, told) }()
	if after := c.predecessor(s); after != nil {
		<-after
	}
	c.mu.Lock()
	if told = s.state == subLive && c.state != clientClosed; told {
		s.event = eventCalling
	}
	c.mu.Unlock()
	if told {
		tell()
	}
}

// announced notes that the application was told of s, or never will be. If s has
// ended meanwhile, its end is left to the caller.
func (c *Client) announced(s *subscription, told bool) {
	c.mu.Lock()
	s.event = eventNone
	if told {
		s.event = eventTold
	}
	var ended *Unsubscribe
	if s.details != nil && s.details.overlap != nil {
		ended = s.details.overlap.ended
	}
	c.mu.Unlock()
	if ended != nil {
		c.retire(s, *ended)
	}
}

// predecessor is closed when the application knows of the end of the subscription
// that had the channel before s; nil if it does.
func (c *Client) predecessor(s *subscription) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.details == nil || s.details.overlap == nil {
		return nil
	}
	return s.details.overlap.after
}

// ended makes the channel of s free again. If mine is set the caller must retire s.
func (c *Client) ended(s *subscription, why Unsubscribe) (mine bool) {
	c.traceUnsubscribed(s, why) // while the channel is taken: before the events of the next subscription
	c.mu.Lock()
	defer c.mu.Unlock()
	s.state = subEnded
	s.settleLocked()
	if s.event == eventDue || s.event == eventCalling {
		ended := why // a copy, so that why is not on the heap in the other cases
		s.overlapLocked().ended = &ended
		return false
	}
	return true
}

// retire tells the application that s has ended, if it knows of s, and forgets s.
func (c *Client) retire(s *subscription, why Unsubscribe) {
	defer c.forget(s)
	if after := c.predecessor(s); after != nil {
		<-after
	}
	if c.node.handlers.Unsubscribed != nil && c.knows(s) {
		c.node.handlers.Unsubscribed(context.WithoutCancel(c.Context()), c.unsubscribedEvent(s, why))
	}
}

func (c *Client) unsubscribedEvent(s *subscription, why Unsubscribe) UnsubscribedEvent {
	e := UnsubscribedEvent{Client: c, Channel: s.Channel, Unsubscribe: why, ServerSide: s.serverSide, Positioned: s.positioned}
	if s.positioned {
		e.Position.Offset, e.Position.Epoch = s.Last()
	}
	if why == UnsubscribeDisconnect {
		c.mu.Lock()
		e.Disconnect = c.rareLocked().ended
		c.mu.Unlock()
	}
	return e
}

// knows reports whether the application knows of s, and of the connection.
func (c *Client) knows(s *subscription) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.event == eventTold && c.event != eventNone
}

// retireSafely is retire for goroutines of their own.
func (c *Client) retireSafely(s *subscription, why Unsubscribe) {
	defer c.node.recovered("telling of the end of a subscription", c)
	c.retire(s, why)
}

// retireAside is retire for those who must not wait for the application: they act
// on other subscriptions and connections as well.
func (c *Client) retireAside(s *subscription, why Unsubscribe) {
	if c.predecessor(s) == nil && (c.node.handlers.Unsubscribed == nil || !c.knows(s)) {
		c.forget(s)
		return
	}
	go c.retireSafely(s, why)
}

// forget takes s off the connection and wakes those who wait for that.
func (c *Client) forget(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.subs.remove(s)
	s.settleLocked()
}

// callConnected tells the application of the connection, unless that has ended.
func (c *Client) callConnected() (told bool) {
	c.mu.Lock()
	told = c.state == clientConnected
	if told {
		c.event = eventCalling
	}
	c.mu.Unlock()
	if !told {
		return false
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.event = eventTold
		c.quietLocked()
	}()
	if c.node.handlers.Connected != nil {
		c.node.handlers.Connected(c.Context(), ConnectedEvent{Client: c})
	}
	return true
}

// quietLocked wakes whoever waits for the callbacks under way.
func (c *Client) quietLocked() {
	if c.rare != nil && c.rare.quiet != nil {
		close(c.rare.quiet)
		c.rare.quiet = nil
	}
}

// waitQuiet returns when no callback of a closed connection is under way, and
// reports whether the application knows of it. None begins afterwards.
func (c *Client) waitQuiet() (told bool) {
	for {
		c.mu.Lock()
		if c.event != eventCalling && !c.ticking {
			defer c.mu.Unlock()
			return c.event == eventTold
		}
		rare := c.rareLocked()
		if rare.quiet == nil {
			rare.quiet = make(chan struct{})
		}
		quiet := rare.quiet
		c.mu.Unlock()
		<-quiet
	}
}
