package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"centrifugo/centrifuge/internal/clusterwire"
)

// Subscribe makes a server-side subscription of the connections that target
// selects at the time of the call, in the whole cluster. It waits until this node has
// subscribed its connections, and not for other nodes. It succeeds also if no
// connection is selected; a subscription that fails is logged.
//
// A connection that is subscribed to channel already, by itself or by the server,
// keeps its subscription and gets these of opts: the expiry (none does not replace
// that of a subscription which its client refreshes), the info if it is not nil,
// presence, and the options for joins and leaves. The data, if not nil, is sent in
// another subscribe push if the subscription is server-side. Positioning, recovery, a
// position to recover from and a tags filter take effect only where a subscription
// begins: a warning is logged if opts ask for one that the subscription has not.
func (n *Node) Subscribe(ctx context.Context, target Target, channel string, opts SubscribeOptions) error {
	if channel == "" {
		return fmt.Errorf("subscribing connections: no channel: %w", ErrorBadRequest)
	}
	return n.act(ctx, &clientAction{op: clusterwire.OpSubscribe, target: target, channel: channel, subscribe: opts})
}

// Unsubscribe ends the subscription of channel, or all subscriptions if channel is
// empty, of the connections that target selects in the whole cluster. It waits until
// this node has unsubscribed its connections, and not for other nodes.
func (n *Node) Unsubscribe(ctx context.Context, target Target, channel string, why Unsubscribe) error {
	return n.act(ctx, &clientAction{op: clusterwire.OpUnsubscribe, target: target, channel: channel, unsubscribe: why})
}

// Disconnect closes the connections that target selects in the whole cluster. It does
// not wait until they have ended. It fails if why is not valid.
func (n *Node) Disconnect(ctx context.Context, target Target, why Disconnect) error {
	if err := why.Validate(); err != nil {
		return err
	}
	return n.act(ctx, &clientAction{op: clusterwire.OpDisconnect, target: target, disconnect: why})
}

// Refresh gives the connections that target selects in the whole cluster a new expiry.
func (n *Node) Refresh(ctx context.Context, target Target, opts RefreshOptions) error {
	return n.act(ctx, &clientAction{op: clusterwire.OpRefresh, target: target, refresh: opts})
}

// act applies an action to the connections of this node, then sends it to the other
// nodes. An action that cannot be sent is not applied either.
func (n *Node) act(ctx context.Context, a *clientAction) error {
	if err := n.running(); err != nil {
		return err
	}
	if n.cluster.controller == nil {
		n.apply(ctx, a)
		return nil
	}
	message, err := n.cluster.encode(a.wire())
	if err != nil {
		return err
	}
	n.apply(ctx, a)
	return n.cluster.publish(ctx, "", message)
}

// apply applies an action to the connections of this node. A connection that has to
// wait for one of its handlers does not delay the others.
func (n *Node) apply(ctx context.Context, a *clientAction) {
	var waiting sync.WaitGroup
	for _, c := range n.selectClients(a.target) {
		if c.mustWaitFor(a) {
			waiting.Go(func() { c.apply(ctx, a) })
		} else {
			c.apply(ctx, a)
		}
	}
	waiting.Wait()
}

// mustWaitFor reports whether a is about a subscription that is being made or changed.
func (c *Client) mustWaitFor(a *clientAction) (busy bool) {
	if a.op != clusterwire.OpSubscribe && a.op != clusterwire.OpUnsubscribe {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if a.channel != "" {
		s := c.subs.get(a.channel)
		return s != nil && s.busy
	}
	c.subs.each(func(s *subscription) { busy = busy || s.busy })
	return busy
}

func (c *Client) apply(ctx context.Context, a *clientAction) {
	defer c.node.recovered("applying a control message", c)
	switch a.op {
	case clusterwire.OpSubscribe:
		if err := c.subscribeByServer(ctx, a.channel, a.subscribe); err != nil {
			level := LogWarn
			if errors.Is(err, errLeft) {
				level = LogDebug
			}
			c.node.logger.log(level, "subscribing by server", "client", c.id, "channel", a.channel, "error", err)
		}
	case clusterwire.OpUnsubscribe:
		c.unsubscribeByServer(a.channel, a.unsubscribe)
	case clusterwire.OpDisconnect:
		c.Disconnect(a.disconnect)
	case clusterwire.OpRefresh:
		c.applyRefresh(a.refresh, true)
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

// unsubscribeByServer ends one subscription, or all if channel is empty.
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
