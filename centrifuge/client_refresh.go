package centrifuge

import (
	"context"
	"errors"
	"time"

	"centrifugo/protocol"
)

// retryRefresh is when a refresh by the server that failed is tried again.
const retryRefresh = time.Minute

// handleRefresh is for clients that bring a new token themselves. Outcomes:
// protocol.md 5.4.
func (c *Client) handleRefresh(request *protocol.RefreshRequest) (*protocol.Reply, error) {
	if request.Token == "" || !c.refreshesItself() {
		return nil, DisconnectBadRequest
	}
	if c.node.handlers.Refresh == nil {
		return nil, ErrorNotAvailable
	}
	reply, err := c.node.handlers.Refresh(c.Context(), RefreshEvent{Client: c, ClientSideRefresh: true, Token: request.Token})
	switch {
	case err != nil:
		return nil, err
	case reply.Expired:
		return nil, DisconnectExpired
	case c.node.timeline.expired(reply.ExpireAt):
		return nil, ErrorExpired
	}
	expires := c.node.timeline.expiry(reply.ExpireAt)
	c.setExpiry(expires, reply.Info)
	result := &protocol.RefreshResult{Client: c.id, Version: c.node.config.Version}
	if expires != 0 {
		result.Expires, result.TTL = true, c.node.timeline.ttl(expires)
	}
	return &protocol.Reply{Refresh: result}, nil
}

func (c *Client) refreshesItself() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.clientSideRefresh
}

func (c *Client) setExpiry(expires moment, info []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expires = expires
	if info != nil {
		c.connInfo = info
	}
	c.clock[deadlineExpiry] = c.expiryLocked()
	c.armLocked(c.node.timeline.now())
}

// refreshByServer asks the application when the credentials have run out.
func (c *Client) refreshByServer() {
	defer c.node.recovered("refreshing a connection", c)
	if c.node.handlers.Refresh == nil {
		c.Disconnect(DisconnectExpired)
		return
	}
	reply, err := c.node.handlers.Refresh(c.Context(), RefreshEvent{Client: c})
	switch disconnect, isDisconnect := asDisconnect(err); {
	case isDisconnect:
		c.Disconnect(disconnect)
	case err != nil:
		c.node.logger.log(LogError, "refreshing a connection", "client", c.id, "error", err)
		c.setExpiry(c.node.timeline.now().add(retryRefresh), nil)
	default:
		c.applyRefresh(RefreshOptions(reply), false)
	}
}

// applyRefresh gives the connection a new expiry; tell also pushes it.
func (c *Client) applyRefresh(opts RefreshOptions, tell bool) {
	if opts.Expired || c.node.timeline.expired(opts.ExpireAt) {
		c.Disconnect(DisconnectExpired)
		return
	}
	expires := c.node.timeline.expiry(opts.ExpireAt)
	c.setExpiry(expires, opts.Info)
	if !tell {
		return
	}
	refresh := &protocol.Refresh{}
	if expires != 0 {
		refresh.Expires, refresh.TTL = true, c.node.timeline.ttl(expires)
	}
	_ = c.push(&protocol.Push{Refresh: refresh}) // it has no payload that could fail
}

// handleSubRefresh prolongs a subscription. Outcomes: protocol.md 6.8; a
// token that has expired is an error here, not a success as upstream has it. Without a token
// it asks for what the server does when a subscription has expired (server.md 5.9).
func (c *Client) handleSubRefresh(request *protocol.SubRefreshRequest) (*protocol.Reply, error) {
	if request.Channel == "" {
		return nil, DisconnectBadRequest
	}
	s := c.subscription(request.Channel)
	switch {
	case s == nil:
		return nil, ErrorPermissionDenied
	case request.Type != 0:
		return nil, ErrorNotAvailable // keys of a shared poll
	case request.Token == "" && s.clientSideRefresh:
		return nil, ErrorBadRequest
	case request.Token != "" && !s.clientSideRefresh:
		return nil, DisconnectBadRequest
	case c.node.handlers.SubRefresh == nil && s.clientSideRefresh:
		return nil, ErrorNotAvailable
	case c.node.handlers.SubRefresh == nil:
		return nil, ErrorBadRequest
	}
	reply, err := c.node.handlers.SubRefresh(c.Context(), SubRefreshEvent{
		Client: c, ClientSideRefresh: s.clientSideRefresh, Channel: request.Channel, Token: request.Token,
	})
	switch {
	case errors.Is(err, ErrorNotAvailable) && !s.clientSideRefresh:
		return nil, ErrorBadRequest // the server does not refresh it either
	case err != nil:
		return nil, err
	}
	if reply.Expired || c.node.timeline.expired(reply.ExpireAt) {
		return nil, ErrorExpired
	}
	expires := c.node.timeline.expiry(reply.ExpireAt)
	c.setSubExpiry(s, expires, reply.Info)
	result := &protocol.SubRefreshResult{}
	if expires != 0 {
		result.Expires, result.TTL = true, c.node.timeline.ttl(expires)
	}
	return &protocol.Reply{SubRefresh: result}, nil
}

func (c *Client) setSubExpiry(s *subscription, expires moment, info []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.setExpiryLocked(expires, info)
}

func (s *subscription) setExpiryLocked(expires moment, info []byte) {
	details := s.detailsLocked()
	details.expires = expires
	if info != nil {
		details.info = info
	}
}

// refreshSubByServer is setSubExpiry, unless the expiry is not any more what it
// was when the application was asked.
func (c *Client) refreshSubByServer(s *subscription, was, expires moment, info []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.expiryLocked() == was {
		s.setExpiryLocked(expires, info)
	}
}

func (c *Client) subExpiry(s *subscription) moment {
	c.mu.Lock()
	defer c.mu.Unlock()
	return s.expiryLocked()
}

// expireSubscription ends s if it has run out, and reports whether it did.
func (c *Client) expireSubscription(ctx context.Context, s *subscription, now moment) (ended bool) {
	expires := c.subExpiry(s)
	if expires == 0 || now < expires {
		return false
	}
	ends := expires.add(c.node.config.ExpiredSubCloseDelay)
	if !s.clientSideRefresh && c.node.handlers.SubRefresh != nil {
		reply, err := c.node.handlers.SubRefresh(ctx, SubRefreshEvent{Client: c, Channel: s.Channel})
		switch {
		case errors.Is(err, ErrorNotAvailable): // as without a handler
		case err != nil:
			c.node.logger.log(LogError, "refreshing a subscription", "client", c.id, "channel", s.Channel, "error", err)
			c.refreshSubByServer(s, expires, now.add(retryRefresh), nil)
			return false
		case reply.Expired:
			ends = expires
		default:
			c.refreshSubByServer(s, expires, c.node.timeline.expiry(reply.ExpireAt), reply.Info)
			return false
		}
	}
	if now < ends || c.subExpiry(s) != expires { // it may have been prolonged meanwhile
		return false
	}
	if s.serverSide || s.Format.V1() { // protocol.md 8.5
		c.Disconnect(DisconnectSubExpired)
	} else {
		c.unsubscribePush(s, UnsubscribeExpired)
	}
	return true
}
