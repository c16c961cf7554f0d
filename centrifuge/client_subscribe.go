package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/centrifuge/internal/tagfilter"
	"centrifugo/protocol"
)

// maxSettle is how long a command waits for another one on the same channel
// (protocol.md 6.3).
const maxSettle = 5 * time.Second

const deltaFossil = "fossil"

// errLeft ends a subscription that is being made when its connection has ended.
var errLeft = errors.New("client has left")

// subscribeRequest is what a subscriber asks for, apart from the channel.
type subscribeRequest struct {
	recover bool
	since   StreamPosition
	delta   bool
	filter  *FilterNode
	// rejectUnrecoverable asks for an error where the position is lost.
	rejectUnrecoverable   bool
	clientSideRefresh     bool
	positioned, joinLeave bool
	compaction            bool // the client can read numbers in place of channel names
}

// pendingSubscription is a subscription that is being made.
type pendingSubscription struct {
	*subscription
	client  *Client
	opts    SubscribeOptions
	request subscribeRequest
	result  *protocol.SubscribeResult
	// missed are publications that are sent behind the result, not in it.
	missed []*Publication
	// space is what is left of Config.ReplyMaxSize; one for all subscriptions of a
	// connect.
	space *replySpace
	// compact is set if pushes have a number in place of the channel's name.
	compact bool
	pattern bool // the channel is a pattern
	top     StreamPosition
	joined  bool // hub and broker know it
	// refused is why joinTogether could not join it; nil if it did not try.
	refused  error
	unjoined bool // joined, and not any more
	live     bool
	// eventDue is set if the maker of the subscription tells the application, once it is
	// live.
	eventDue bool
}

// handleSubscribe makes a subscription for the client. Checks and their order:
// protocol.md 6.1; the procedure: 6.3.
func (c *Client) handleSubscribe(r *replyBatch, id uint32, request *protocol.SubscribeRequest) error {
	p, err := c.prepareSubscribe(request)
	if err != nil {
		return err
	}
	defer p.abandon() // unless it went live
	if err := p.start(c.Context()); err != nil {
		return err
	}
	return c.finishSubscribe(r, id, p)
}

// prepareSubscribe checks the request and asks the application. The caller abandons
// the subscription if it does not go live.
func (c *Client) prepareSubscribe(request *protocol.SubscribeRequest) (*pendingSubscription, error) {
	if err := c.checkSubscribe(request); err != nil {
		return nil, err
	}
	p, err := c.reserve(request.Channel, false)
	if err != nil {
		return nil, err
	}
	prepared := false
	defer func() {
		if !prepared {
			p.abandon()
		}
	}()
	p.request, p.eventDue = requestOf(request), c.node.handlers.Subscribed != nil
	if c.node.handlers.Subscribe == nil {
		return nil, ErrorNotAvailable
	}
	reply, err := c.node.handlers.Subscribe(c.Context(), subscribeEvent(c, request))
	if err != nil {
		return nil, err
	}
	if err := checkType(request.Type); err != nil {
		return nil, err
	}
	p.opts = reply.Options
	p.request.clientSideRefresh = reply.ClientSideRefresh
	if err := p.prepare(); err != nil {
		return nil, err
	}
	prepared = true
	return p, nil
}

// finishSubscribe answers the command of a subscription that has started, and makes
// the subscription live.
func (c *Client) finishSubscribe(r *replyBatch, id uint32, p *pendingSubscription) error {
	frame, err := c.encode(&protocol.Reply{ID: id, Subscribe: p.result})
	if err != nil {
		return fmt.Errorf("encoding subscribe result: %w", err)
	}
	frame.Label = p.Label
	if err := p.goLive(frame); err != nil {
		return err
	}
	r.noteQueued()
	if p.eventDue {
		disarm := r.flushLater()
		defer disarm()
		c.announce(p.subscription, func() {
			c.node.handlers.Subscribed(c.Context(), p.subscribedEvent())
		})
	}
	return nil
}

func (c *Client) checkSubscribe(request *protocol.SubscribeRequest) error {
	if err := c.checkChannel(request.Channel); err != nil {
		return err
	}
	if request.Delta != "" && request.Delta != deltaFossil {
		return DisconnectBadRequest
	}
	return nil
}

// checkType: every channel is a stream (protocol.md 6.1).
func checkType(subscriptionType int32) error {
	switch subscriptionType {
	case 0:
		return nil
	case 1, 2, 3: // maps
		return ErrorPermissionDenied
	case 4: // shared poll
		return ErrorNotAvailable
	}
	return ErrorBadRequest
}

func requestOf(request *protocol.SubscribeRequest) subscribeRequest {
	return subscribeRequest{
		recover: request.Recover, since: StreamPosition{Offset: request.Offset, Epoch: request.Epoch},
		delta: request.Delta == deltaFossil, filter: request.Tf,
		rejectUnrecoverable: request.Flag&protocol.SubscribeFlagRejectUnrecoverable != 0,
		positioned:          request.Positioned || request.Recoverable, joinLeave: request.JoinLeave,
		compaction: request.Flag&protocol.SubscribeFlagChannelCompaction != 0,
	}
}

// reserve takes the channel's place on the connection, so that a second attempt
// is refused. One that is just ending is waited for.
func (c *Client) reserve(channel string, serverSide bool) (*pendingSubscription, error) {
	deadline, label := time.Now().Add(maxSettle), c.node.stats.of(channel).number
	for {
		c.mu.Lock()
		old := c.subs.get(channel)
		switch {
		case c.state == clientClosed:
			c.mu.Unlock()
			return nil, errLeft
		case old != nil && old.state == subEnding:
			settled := old.settledLocked()
			c.mu.Unlock()
			if !waitUntil(settled, deadline) {
				return nil, DisconnectServerError
			}
			continue
		case old != nil && old.state != subEnded:
			c.mu.Unlock()
			return nil, ErrorAlreadySubscribed
		}
		if limit := c.node.config.ChannelLimit; limit > 0 && c.subs.len() >= limit && c.unendedLocked() >= limit {
			c.mu.Unlock()
			return nil, ErrorLimitExceeded
		}
		s := &subscription{serverSide: serverSide, busy: true}
		s.Channel = strings.Clone(channel) // the rest of the message must not be kept
		s.Out, s.Format, s.Lane, s.Label = &c.outbox, c.format, c.lane, label
		if old != nil { // the application is being told of its end
			s.overlapLocked().after = old.settledLocked()
			c.subs.remove(old)
		}
		c.subs.add(s)
		c.mu.Unlock()
		return &pendingSubscription{subscription: s, client: c}, nil
	}
}

// unendedLocked counts the subscriptions without those of whose end only the
// application has to be told.
func (c *Client) unendedLocked() (n int) {
	c.subs.each(func(s *subscription) {
		if s.state != subEnded {
			n++
		}
	})
	return n
}

func waitUntil(done <-chan struct{}, deadline time.Time) bool {
	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
		return false
	}
}

// prepare applies the options, before the engine is called.
func (p *pendingSubscription) prepare() error {
	if p.client.node.timeline.expired(p.opts.ExpireAt) {
		return ErrorExpired
	}
	if err := p.checkPattern(); err != nil {
		return err
	}
	return p.configure()
}

// start joins hub and broker, whose publications the gate holds from then on,
// and reads what was missed.
func (p *pendingSubscription) start(ctx context.Context) error {
	n := p.client.node
	err := p.refused
	if !p.joined && err == nil {
		err = n.join(ctx, p)
	}
	if err != nil {
		return fmt.Errorf("subscribing to channel: %w", err)
	}
	p.joined = true
	p.result.ID = p.channelID()
	if err := p.enter(ctx); err != nil {
		return err
	}
	if expires := n.timeline.expiry(p.opts.ExpireAt); expires != 0 && p.clientSideRefresh && !p.serverSide {
		p.result.Expires, p.result.TTL = true, n.timeline.ttl(expires)
	}
	return nil
}

// enter adds the presence entry and reads the stream, at the same time if the engines
// may block.
func (p *pendingSubscription) enter(ctx context.Context) error {
	switch {
	case p.presence && p.positioned && !p.client.node.immediate():
		return p.enterTogether(ctx)
	case p.presence:
		if err := p.addPresence(ctx); err != nil {
			return err
		}
	}
	if p.positioned {
		return p.readStream(ctx)
	}
	return nil
}

// enterTogether returns when both calls have: what is undone later must have ended.
func (p *pendingSubscription) enterTogether(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	added := errPanic
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer p.client.node.recovered("adding presence", p.client)
		if added = p.addPresence(ctx); added != nil {
			cancel()
		}
	}()
	err := p.readStream(ctx)
	failed := err != nil && ctx.Err() == nil
	if failed {
		cancel()
	}
	<-done
	if added != nil && !failed {
		return added
	}
	return err
}

func (p *pendingSubscription) addPresence(ctx context.Context) error {
	c := p.client
	if err := c.node.presence.AddPresence(ctx, p.Channel, c.id, c.infoFor(p.subscription)); err != nil {
		return fmt.Errorf("adding presence: %w", err)
	}
	return nil
}

// configure turns what was asked for and what is allowed into what is.
func (p *pendingSubscription) configure() error {
	o := &p.opts
	positioned := o.Positioning || o.Recovery
	p.clientSideRefresh = p.request.clientSideRefresh
	p.presence = o.Presence
	p.PushJoinLeave = o.PushJoinLeave
	delta := o.AllowDelta && p.request.delta && !p.Format.V1()
	p.compact = o.AllowCompaction && p.request.compaction && !p.serverSide && !p.Format.V1() && !p.client.dropsIDs()
	p.result = &protocol.SubscribeResult{
		Positioned: positioned, Recoverable: p.opts.Recovery, Data: o.Data, Delta: delta,
		WasRecovering: p.request.recover, // also where there is nothing to recover
	}
	filter, err := p.filter()
	if err != nil {
		return err
	}
	slow := fanout.SlowPolicy(o.Slow)
	if o.Slow > SlowDropOldest { // of a node of a later release
		slow = fanout.SlowDisconnect
	}
	if delta || filter != nil || p.compact || slow != fanout.SlowDisconnect {
		p.Options = &fanout.SubscriberOptions{Delta: delta, Filter: filter, Filtered: &p.client.node.stats.numbered(p.Label).filtered, Slow: slow}
	}
	expires := p.client.node.timeline.expiry(o.ExpireAt)
	p.client.mu.Lock()
	defer p.client.mu.Unlock()
	p.positioned = positioned
	if positioned || expires != 0 || o.Info != nil {
		d := p.detailsLocked()
		d.expires, d.info, d.check.metaTTL = expires, o.Info, o.HistoryMetaTTL
		d.recoverable = o.Recovery
	}
	return nil
}

// filter joins the client's filter and the application's; nil is none.
func (p *pendingSubscription) filter() (fanout.Filter, error) {
	var filters []*FilterNode
	if p.request.filter != nil {
		if !p.opts.AllowTagsFilter {
			return nil, ErrorBadRequest
		}
		filters = append(filters, p.request.filter)
	}
	if p.opts.ServerTagsFilter != nil {
		filters = append(filters, p.opts.ServerTagsFilter)
	}
	if len(filters) == 0 {
		return nil, nil //nolint:nilnil // no filter is what most have
	}
	filter, err := tagfilter.Compile(&FilterNode{Op: "and", Nodes: filters})
	if err != nil {
		return nil, ErrorBadRequest
	}
	return filter, nil
}

// goLive opens the gate behind the reply, tells the channel, and makes the
// subscription known as live. The caller must flush the outbox.
func (p *pendingSubscription) goLive(reply *protocol.Encoded) error {
	c := p.client
	frames := make([]*protocol.Encoded, 0, 1+len(p.missed))
	if reply != nil {
		frames = append(frames, reply)
	}
	for _, pub := range p.missed {
		frame, err := c.encodeMoving(&protocol.Reply{Push: &protocol.Push{Channel: p.Channel, Pub: pub}},
			protocol.MoveOn, p.Channel, StreamPosition{Offset: pub.Offset, Epoch: p.top.Epoch})
		if err != nil {
			c.omitted(p.Channel, protocol.Omitted{Publications: 1})
			continue
		}
		frames = append(frames, frame)
	}
	open := p.OpenReply
	if p.serverSide && reply != nil {
		open = p.Open // no command of the client, which has paced nothing
	}
	now, ok, loss := open(p.positioned, p.top.Offset, p.top.Epoch, frames...)
	if now {
		c.outbox.Flush()
	}
	switch {
	case !ok || loss == fanout.LossGap:
		return DisconnectInsufficientState
	case loss == fanout.LossSlow:
		return DisconnectSlow
	}
	p.traceLive()
	if p.opts.JoinLeave {
		c.outbox.Flush() // the broker may take its time
		c.publishJoin(p.subscription)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state == clientClosed {
		return errLeft
	}
	p.live, p.state, p.event = true, subLive, eventTold
	if p.eventDue {
		p.event = eventDue
	}
	p.settleLocked()
	c.subscriptionsLocked(p.Label).accepted.Add(1)
	return nil
}

// publishJoin tells the channel. The end of the connection does not cancel it: a
// join that may or may not have been made cannot be undone by a leave.
func (c *Client) publishJoin(s *subscription) {
	if c.isClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.Context()), maxSettle)
	defer cancel()
	c.node.stats.numbered(s.Label).JoinsSent.Add(1)
	err := c.node.broker.PublishJoin(ctx, s.Channel, c.infoFor(s))
	if err != nil {
		c.node.logger.log(LogWarn, "publishing join", "client", c.id, "channel", s.Channel, "error", err)
	}
	s.joinLeave = err == nil // a leave follows joins only
}

// abandon undoes a subscription that did not go live.
func (p *pendingSubscription) abandon() {
	if p.live {
		return
	}
	c := p.client
	defer func() {
		c.ended(p.subscription, UnsubscribeDisconnect)
		c.retireAside(p.subscription, UnsubscribeDisconnect)
	}()
	if p.joined {
		c.node.leave(c, p.subscription, p.unjoined)
	}
}

// subscription returns the live subscription of channel, or nil.
func (c *Client) subscription(channel string) *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.subs.get(channel); s != nil && s.state == subLive {
		return s
	}
	return nil
}

// startServerSide makes the subscriptions that come with a connect.
func (c *Client) startServerSide(request *protocol.ConnectRequest, reply ConnectingReply) (started []*pendingSubscription, err error) {
	complete := false
	defer func() {
		if !complete {
			c.abandonAll(started)
		}
	}()
	space := c.replySpace()
	started = make([]*pendingSubscription, 0, len(reply.Subscriptions))
	for channel, opts := range reply.Subscriptions {
		p, err := c.reserve(channel, true)
		if err != nil {
			return started, err
		}
		p.opts, p.eventDue = opts, true // told of by Connected
		p.space = space
		if asked := request.Subs[channel]; asked != nil {
			p.request = requestOf(asked)
		}
		if since := c.knownPosition(channel); since != nil && opts.Recovery {
			p.request.recover, p.request.since = true, *since
		}
		started = append(started, p)
		if err := p.prepare(); err != nil {
			return started, err
		}
	}
	if err := c.startAll(started); err != nil {
		return started, err
	}
	complete = true
	return started, nil
}

func asDisconnect(err error) (Disconnect, bool) {
	var d Disconnect
	ok := errors.As(err, &d)
	return d, ok
}
