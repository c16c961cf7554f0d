package centrifuge

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// Subscribe makes a server-side subscription of the connections that target
// selects now, in the whole cluster. It does not wait for other nodes, and
// succeeds also when there is no such connection.
//
// A connection that is subscribed to channel already, by itself or by the server,
// keeps its subscription, which gets the expiry of opts (none does not replace
// that of a subscription which its client refreshes), the info if that is not nil, presence, and the options for joins and leaves; the data, if not nil, is
// sent in another subscribe push if the subscription is server-side. Positioning
// and recovery, a position to recover from and a tags filter take effect only
// where a subscription begins: a warning is logged if opts ask for one that the
// subscription has not.
func (n *Node) Subscribe(ctx context.Context, target Target, channel string, opts SubscribeOptions) error {
	return n.act(ctx, order{Op: orderSubscribe, Target: target, Channel: channel, Subscribe: &opts})
}

// Unsubscribe ends the subscription of channel, or all when it is empty, of
// the connections that target selects.
func (n *Node) Unsubscribe(ctx context.Context, target Target, channel string, why Unsubscribe) error {
	return n.act(ctx, order{Op: orderUnsubscribe, Target: target, Channel: channel, Unsubscribe: &why})
}

// Disconnect closes the connections that target selects. It fails if why is not valid.
func (n *Node) Disconnect(ctx context.Context, target Target, why Disconnect) error {
	if err := why.Validate(); err != nil {
		return err
	}
	return n.act(ctx, order{Op: orderDisconnect, Target: target, Disconnect: &why})
}

// Refresh gives the connections that target selects a new expiry.
func (n *Node) Refresh(ctx context.Context, target Target, opts RefreshOptions) error {
	return n.act(ctx, order{Op: orderRefresh, Target: target, Refresh: &opts})
}

// act does what is to be done on this node, then tells the others.
func (n *Node) act(ctx context.Context, o order) error {
	if err := n.running(); err != nil {
		return err
	}
	n.obey(ctx, o)
	return n.cluster.broadcast(ctx, o)
}

// obey applies an order to this node's connections. One that has to wait for a
// handler of its own does not hold up the others.
func (n *Node) obey(ctx context.Context, o order) {
	var waiting sync.WaitGroup
	for _, c := range n.selectClients(o.Target) {
		if c.busyWith(&o) {
			waiting.Go(func() { c.obey(ctx, &o) })
		} else {
			c.obey(ctx, &o)
		}
	}
	waiting.Wait()
}

// busyWith reports whether o is about a subscription that is being made or changed.
func (c *Client) busyWith(o *order) (busy bool) {
	if o.Op != orderSubscribe && o.Op != orderUnsubscribe {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.Channel != "" {
		s := c.subs.get(o.Channel)
		return s != nil && s.busy
	}
	c.subs.each(func(s *subscription) { busy = busy || s.busy })
	return busy
}

func (c *Client) obey(ctx context.Context, o *order) {
	defer c.node.recovered("carrying out a control order", c)
	switch o.Op {
	case orderSubscribe:
		if err := c.subscribeByServer(ctx, o.Channel, *o.Subscribe); err != nil {
			level := LogWarn
			if errors.Is(err, errLeft) {
				level = LogDebug
			}
			c.node.logger.log(level, "subscribing by server", "client", c.id, "channel", o.Channel, "error", err)
		}
	case orderUnsubscribe:
		c.unsubscribeByServer(o.Channel, *o.Unsubscribe)
	case orderDisconnect:
		c.Disconnect(*o.Disconnect)
	case orderRefresh:
		c.applyRefresh(*o.Refresh, true)
	}
}

// selectClients returns the connections that t selects, of those that have connected.
func (n *Node) selectClients(t Target) []*Client {
	return slices.DeleteFunc(n.candidates(t), func(c *Client) bool { return !t.selects(c) })
}

// candidates returns connections among which are all that t selects: one for a
// client id or a session, otherwise those of the user.
func (n *Node) candidates(t Target) []*Client {
	var c *Client
	switch {
	case t.Client != "":
		c = n.registry.client(t.Client)
	case t.Session != "":
		c = n.registry.session(t.Session)
	default:
		return n.registry.ofUser(t.User)
	}
	if c == nil {
		return nil
	}
	return []*Client{c}
}

// selects reports whether c has connected and is what t describes.
func (t *Target) selects(c *Client) bool {
	c.mu.Lock()
	user, session, state := c.user, c.sessionLocked(), c.state
	c.mu.Unlock()
	switch {
	case state != clientConnected:
		return false
	case t.Client == "" && t.Session == "" || t.User != "" || t.Anonymous:
		if user != t.User || t.Anonymous && user != "" {
			return false
		}
	}
	return (t.Client == "" || t.Client == c.id) && (t.Session == "" || t.Session == session) && !slices.Contains(t.Except, c.id)
}

func (c *Client) sessionID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessionLocked()
}

// unsubscribeByServer ends one subscription, or all when channel is empty.
func (c *Client) unsubscribeByServer(channel string, why Unsubscribe) {
	channels := []string{channel}
	if channel == "" {
		channels = c.Channels()
	}
	for _, channel := range channels {
		if s := c.find(channel); s != nil {
			c.unsubscribePush(s, why)
		}
	}
}

// Unsubscribe ends the client's subscription of channel and tells it why.
func (c *Client) Unsubscribe(channel string, why Unsubscribe) { c.unsubscribeByServer(channel, why) }
