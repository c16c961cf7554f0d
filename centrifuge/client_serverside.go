package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"centrifugo/centrifuge/internal/fanout"
	"centrifugo/protocol"
)

// subscribeByServer makes a server-side subscription of a connected client, or
// updates the one that the channel has.
func (c *Client) subscribeByServer(ctx context.Context, channel string, opts SubscribeOptions) error {
	ctx, cancel := c.untilEnd(ctx)
	defer cancel()
	if c.node.isPattern(channel) {
		opts.restrictToPattern()
	}
	for {
		switch p, err := c.reserve(channel, true); {
		case err == nil:
			p.opts = opts
			return p.makeByServer(ctx)
		case errors.Is(err, ErrorAlreadySubscribed):
			if s := c.find(channel); s != nil {
				if ended, err := c.update(ctx, s, opts); !ended {
					return err
				}
			}
		case errors.Is(err, ErrorLimitExceeded):
			c.Disconnect(DisconnectChannelLimit)
			return err
		default:
			return err
		}
	}
}

func (p *pendingSubscription) makeByServer(ctx context.Context) error {
	defer p.abandon()
	c, opts := p.client, p.opts
	if opts.RecoverSince != nil && opts.Recovery {
		p.request.recover, p.request.since = true, *opts.RecoverSince
	}
	if err := p.prepare(); err != nil {
		return err
	}
	if err := p.start(ctx); err != nil {
		return err
	}
	// A subscribe push has no field for publications: they follow it.
	p.missed, p.result.Publications, p.result.Range = p.result.Publications, nil, nil
	kind := protocol.MoveOn
	if p.opts.Recovery {
		kind = protocol.MoveBegin
	}
	frame, err := c.encodeMoving(&protocol.Reply{Push: &protocol.Push{Channel: p.Channel, Subscribe: &protocol.Subscribe{
		Recoverable: p.opts.Recovery, Positioned: p.positioned, Epoch: p.result.Epoch, Offset: p.result.Offset, Data: opts.Data,
	}}}, kind, p.Channel, StreamPosition{Offset: p.result.Offset, Epoch: p.result.Epoch})
	if err != nil {
		return fmt.Errorf("encoding subscribe push: %w", err)
	}
	err = p.goLive(frame)
	c.outbox.Flush()
	if disconnect, ok := asDisconnect(err); ok {
		c.Disconnect(disconnect)
	}
	return err
}

// untilEnd returns a copy of ctx that is also cancelled when the connection ends.
func (c *Client) untilEnd(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(c.Context(), cancel)
	return ctx, func() { stop(); cancel() }
}

// update applies the options of a new subscription to a live one, whether the client or
// the server made it. It reports ended if the subscription does not exist any more. The
// error says what was not changed.
func (c *Client) update(ctx context.Context, s *subscription, opts SubscribeOptions) (ended bool, err error) {
	if c.node.timeline.expired(opts.ExpireAt) {
		return false, ErrorExpired
	}
	switch held, settled := c.hold(s, time.Now().Add(maxSettle)); {
	case !settled:
		return false, errors.New("the subscription is being made or ended for too long")
	case !held:
		return true, nil
	}
	defer c.release(s)
	expires := c.node.timeline.expiry(opts.ExpireAt)
	if expires == 0 && s.clientSideRefresh {
		expires = c.subExpiry(s) // of its token
	}
	c.setSubExpiry(s, expires, opts.Info)
	s.SetJoinLeave(opts.PushJoinLeave)
	err = c.updatePresence(ctx, s, opts)
	if opts.JoinLeave && !s.joinLeave {
		c.publishJoin(s)
	}
	if opts.Data != nil && s.serverSide {
		err = errors.Join(err, c.pushSubscribe(s, opts.Data))
	}
	return false, errors.Join(err, c.unchanged(s, opts))
}

// hold marks s as busy until release, so that the caller alone changes it. Like claim it
// waits while s is busy.
func (c *Client) hold(s *subscription, deadline time.Time) (held, settled bool) {
	for {
		c.mu.Lock()
		switch {
		case s.state == subEnded || c.subs.get(s.Channel) != s:
			c.mu.Unlock()
			return false, true
		case s.state == subLive && !s.busy:
			s.busy = true
			c.mu.Unlock()
			return true, true
		}
		wait := s.settledLocked()
		c.mu.Unlock()
		if !waitUntil(wait, deadline) {
			return false, false
		}
	}
}

func (c *Client) release(s *subscription) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.settleLocked()
}

// updatePresence adds or removes the presence entry of s, as the options say.
func (c *Client) updatePresence(ctx context.Context, s *subscription, opts SubscribeOptions) error {
	c.mu.Lock()
	had := s.presence
	s.presence = opts.Presence
	c.mu.Unlock()
	switch {
	case opts.Presence && (!had || opts.Info != nil):
		if err := c.node.presence.AddPresence(ctx, s.Channel, c.id, c.infoFor(s)); err != nil {
			return fmt.Errorf("adding presence: %w", err) // the next renewal adds it
		}
	case had && !opts.Presence:
		if err := c.node.presence.RemovePresence(ctx, s.Channel, c.id, c.UserID()); err != nil {
			return fmt.Errorf("removing presence: %w", err)
		}
	}
	return nil
}

// pushSubscribe sends data with a subscribe push, which has the client's position in the
// stream.
func (c *Client) pushSubscribe(s *subscription, data []byte) error {
	var encodingErr error
	result := s.PutPosition(func(offset uint64, epoch string) (frame *protocol.Encoded) {
		frame, encodingErr = c.encode(&protocol.Reply{Push: &protocol.Push{Channel: s.Channel, Subscribe: &protocol.Subscribe{
			Recoverable: s.recoverable(), Positioned: s.positioned, Epoch: epoch, Offset: offset, Data: data,
		}}})
		return frame
	})
	if encodingErr != nil {
		return fmt.Errorf("encoding subscribe push: %w", encodingErr)
	}
	c.putResult(result, result == fanout.PutDirty)
	return nil
}

func (s *subscription) recoverable() bool { return s.positioned && s.details.recoverable }

// unchanged returns an error that names the options which a live subscription does not
// apply, or nil.
func (c *Client) unchanged(s *subscription, opts SubscribeOptions) error {
	var names []string
	for _, option := range []struct {
		name    string
		missing bool
	}{
		{"data (only server-side subscriptions can be sent any)", opts.Data != nil && !s.serverSide},
		{"positioning", (opts.Positioning || opts.Recovery) && !s.positioned},
		{"recovery", opts.Recovery && !s.recoverable()},
		{"position to recover from", opts.RecoverSince != nil},
		{"tags filter of the server", opts.ServerTagsFilter != nil},
	} {
		if option.missing {
			names = append(names, option.name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("the subscription exists and was updated, but for its %s", strings.Join(names, ", "))
}
