package centrifuge

import (
	"context"
	"fmt"

	"centrifugo/protocol"
)

// handleConnect lets a connection in. Order of the checks: protocol.md 5.2.
func (c *Client) handleConnect(r *replyBatch, id uint32, request *protocol.ConnectRequest) error {
	ctx, ok := c.beginConnect()
	if !ok {
		return DisconnectBadRequest
	}
	reply, err := c.askConnecting(ctx, request)
	if err != nil {
		return err
	}
	credentials := reply.Credentials
	if credentials == nil {
		credentials = credentialsFrom(c.Context()) // the handler may have replaced it
	}
	if credentials == nil {
		return fmt.Errorf("no credentials: %w", DisconnectBadRequest)
	}
	if c.node.timeline.expired(credentials.Exp) {
		return fmt.Errorf("credentials have expired: %w", ErrorExpired)
	}
	if n := len(reply.Subscriptions); c.node.config.ChannelLimit > 0 && n > c.node.config.ChannelLimit {
		return DisconnectChannelLimit
	}
	c.identify(credentials, reply)
	if !c.node.registry.addUser(c, c.node.config.UserConnectionLimit) {
		return DisconnectConnectionLimit
	}
	if session := c.sessionID(); session != "" {
		c.node.registry.addSession(c, session)
	}
	if c.isClosed() {
		return nil
	}
	return c.completeConnect(r, id, request, reply)
}

func (c *Client) beginConnect() (context.Context, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != clientNew {
		return nil, false
	}
	c.state = clientConnecting
	return c.ctx, true
}

// namedLosesIDs is the name of the JavaScript SDK unless the application gives another.
// Up to 5.8.0 its Protobuf build announces that it understands channel ids, and drops
// the pushes that have one.
const namedLosesIDs = "js"

func (c *Client) askConnecting(ctx context.Context, request *protocol.ConnectRequest) (ConnectingReply, error) {
	format := c.wireFormat()
	c.mu.Lock()
	c.software = softwareOf(request.Name, request.Version)
	c.losesIDs = request.Name == namedLosesIDs && format.Protobuf()
	c.mu.Unlock()
	if c.node.handlers.Connecting == nil {
		return ConnectingReply{}, nil
	}
	channels := make([]string, 0, len(request.Subs))
	for channel := range request.Subs {
		channels = append(channels, channel)
	}
	reply, err := c.node.handlers.Connecting(ctx, ConnectingEvent{
		ClientID: c.id, Transport: c.info, Token: request.Token, Data: request.Data,
		Name: request.Name, Version: request.Version, Headers: request.Headers, Channels: channels,
	})
	if err == nil && reply.Context != nil {
		c.replaceContext(reply.Context)
	}
	return reply, err
}

// replaceContext takes the values of ctx and lets go of those of the request; the end of the
// connection, and nothing else, still cancels it.
func (c *Client) replaceContext(ctx context.Context) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ctx = c.ctx.with(ctx)
}

// dropsIDs reports whether the client loses pushes with channel ids.
func (c *Client) dropsIDs() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.losesIDs
}

func (c *Client) identify(credentials *Credentials, reply ConnectingReply) {
	expires := c.node.timeline.expiry(credentials.Exp)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.user, c.connInfo, c.expires = credentials.UserID, credentials.Info, expires
	c.clientSideRefresh = reply.ClientSideRefresh
	if c.info.Unidirectional || c.info.Emulation {
		c.rareLocked().session = newID()
	}
}

// completeConnect makes the server-side subscriptions and answers. Their gates
// hold until the reply is queued.
func (c *Client) completeConnect(r *replyBatch, id uint32, request *protocol.ConnectRequest, reply ConnectingReply) error {
	started, err := c.startServerSide(request, reply)
	if err != nil {
		return err
	}
	connected := false
	defer func() {
		c.abandonAll(started)
		for _, s := range started {
			if s.live {
				c.announced(s.subscription, connected)
			}
		}
	}()
	result := c.connectResult(reply, started)
	message := &protocol.Reply{ID: id, Connect: result}
	if c.info.Unidirectional {
		message = &protocol.Reply{Push: &protocol.Push{Connect: connectPush(result)}}
	}
	// Queued before anybody can find the connection: the reply comes first.
	if err := c.answerConnect(message, started); err != nil {
		return err
	}
	if !c.becomeConnected() {
		return nil // it left meanwhile
	}
	c.traceConnected()
	c.outbox.Flush()
	r.noteQueued()
	if err := c.goLiveAll(started); err != nil {
		return err
	}
	connected = true
	connected = c.callConnected()
	return nil
}

// answerConnect queues the reply to a connect, which has the positions of the subscriptions
// that were made with it.
func (c *Client) answerConnect(message *protocol.Reply, started []*pendingSubscription) error {
	frame, err := c.encode(message)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", message.Kind(), err)
	}
	if c.info.Unidirectional {
		for _, s := range started {
			if s.opts.Recovery { // what was missed is in the reply
				frame.Moves = &protocol.Move{Channel: s.Channel, Epoch: s.top.Epoch, Offset: s.top.Offset, Kind: protocol.MoveBegin, Next: frame.Moves}
			}
		}
	}
	c.putResult(c.outbox.PutReply(frame), false)
	return nil
}

func (c *Client) becomeConnected() bool {
	if !c.setConnected() {
		return false
	}
	c.counted.software.connected(c.node.softwareLabel(c.software)) // not changed any more
	return true
}

func (c *Client) setConnected() bool {
	now := c.node.timeline.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state != clientConnecting {
		return false
	}
	c.state = clientConnected
	c.counted.accepted.Add(1)
	c.connectedLocked(now)
	return true
}

func (c *Client) connectResult(reply ConnectingReply, started []*pendingSubscription) *protocol.ConnectResult {
	c.mu.Lock()
	defer c.mu.Unlock()
	result := &protocol.ConnectResult{Client: c.id, Version: c.node.config.Version, Data: reply.Data}
	if c.expires != 0 && c.clientSideRefresh {
		result.Expires, result.TTL = true, c.node.timeline.ttl(c.expires)
	}
	if len(started) > 0 {
		result.Subs = make(map[string]*protocol.SubscribeResult, len(started))
		for _, s := range started {
			result.Subs[s.Channel] = s.result
		}
	}
	if !c.nativePing(c.format) {
		result.Ping = c.node.config.announcedPing()
		result.Pong = result.Ping > 0 && c.expectsPongLocked()
	}
	result.Session = c.sessionLocked()
	if c.info.Emulation {
		result.Node = c.node.id
	}
	if c.node.config.IncludeServerTime && !c.format.V1() {
		result.Time = c.node.timeline.unixMilli()
	}
	return result
}

func connectPush(r *protocol.ConnectResult) *protocol.Connect {
	return &protocol.Connect{
		Client: r.Client, Version: r.Version, Data: r.Data, Subs: r.Subs, Expires: r.Expires, TTL: r.TTL,
		Ping: r.Ping, Pong: r.Pong, Session: r.Session, Time: r.Time,
	}
}
