package access

import (
	"context"
	"errors"
	"maps"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/subscribeopts"
)

// tokenChannelsKey is the context key of the channels in the token of a connection. The
// token of a refresh must have the same.
type tokenChannelsKey struct{}

type channelSet map[string]struct{}

// connectRequest is a connect command that is being decided.
type connectRequest struct {
	*settings
	user  string
	reply centrifuge.ConnectingReply
}

// connecting authenticates a connection by the first way of server.md 3.8 that
// applies, and returns its server-side subscriptions.
func (p *Policy) connecting(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
	c := &connectRequest{settings: p.settings.Load()}
	c.reply.Subscriptions = map[string]centrifuge.SubscribeOptions{}
	switch {
	case e.Token != "":
		if err := p.byToken(ctx, c, e); err != nil {
			return centrifuge.ConnectingReply{}, err
		}
	case c.client.Insecure || c.client.AllowAnonymousConnectWithoutToken:
		c.reply.Credentials = &centrifuge.Credentials{}
	case c.client.UserIDHTTPHeader != "" && p.user(ctx) != "":
		// It gets no personal channel and none of the channels that it requests (server.md 3.8).
		c.reply.Credentials = &centrifuge.Credentials{UserID: p.user(ctx)}
		return c.reply, nil
	default:
		// The core refuses a connection without credentials (3501), unless an embedder
		// has put credentials into the context.
		return centrifuge.ConnectingReply{}, nil
	}
	if err := p.subscribePersonal(ctx, c, e.ClientID); err != nil {
		return centrifuge.ConnectingReply{}, err
	}
	if err := c.subscribeAsked(e.Channels); err != nil {
		return centrifuge.ConnectingReply{}, err
	}
	return c.reply, nil
}

// byToken authenticates a connection by its token (server.md 3.6).
func (p *Policy) byToken(ctx context.Context, c *connectRequest, e centrifuge.ConnectingEvent) error {
	token, err := c.connect.VerifyConnect(e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return centrifuge.ErrorTokenExpired
	case errors.Is(err, auth.ErrBase64):
		return centrifuge.ErrorInternal
	case err != nil:
		return because(centrifuge.DisconnectInvalidToken, "connection token: %w", err)
	case token.User == "" && c.client.DisallowAnonymousConnectionTokens:
		return because(centrifuge.DisconnectPermissionDenied, "connection token names no user")
	}
	credentials := &centrifuge.Credentials{UserID: token.User, Info: token.Info}
	if !c.client.Insecure {
		credentials.Exp = token.ExpireAt
	}
	c.user = token.User
	c.reply.Credentials, c.reply.ClientSideRefresh = credentials, true
	for channel, sub := range token.Subs {
		ns, ok := c.rules.Namespace(channel)
		if !ok {
			return because(centrifuge.ErrorUnknownChannel, "channel %.255q of the connection token", channel)
		}
		opts := c.serverSide(ns, channels.SourceConnectionToken, sub.Override)
		opts.Info, opts.Data = sub.Info, sub.Data
		c.reply.Subscriptions[channel] = opts
	}
	c.reply.Context = context.WithValue(ctx, tokenChannelsKey{}, channelsOf(token))
	return nil
}

func channelsOf(token auth.ConnectToken) channelSet {
	set := make(channelSet, len(token.Subs))
	for channel := range token.Subs {
		set[channel] = struct{}{}
	}
	return set
}

// serverSide returns the options of a server-side subscription.
func (c *connectRequest) serverSide(
	ns *channels.Namespace, source channels.Source, override auth.Override,
) centrifuge.SubscribeOptions {
	features := c.rules.Features(ns, source, c.user, channels.Request{}, channels.Override(override))
	return subscribeopts.New(ns, source, features)
}

// subscribePersonal subscribes a user to its personal channel. Where a user may have
// only one connection, it closes the others (server.md 4.7).
func (p *Policy) subscribePersonal(ctx context.Context, c *connectRequest, clientID string) error {
	channel, ok := c.rules.PersonalChannel(c.user)
	if !ok {
		return nil
	}
	ns, ok := c.rules.Namespace(channel)
	if !ok {
		return because(centrifuge.ErrorUnknownChannel, "personal channel %.255q", channel)
	}
	if _, ok := c.reply.Subscriptions[channel]; !ok {
		c.reply.Subscriptions[channel] = c.serverSide(ns, channels.SourceUserPersonal, auth.Override{})
	}
	if !c.rules.SingleConnection() || !ns.Options.Presence {
		return nil
	}
	stats, err := p.node.PresenceStats(ctx, channel)
	if err != nil {
		p.log.Error("reading presence of a personal channel", "channel", channel, "error", err)
		return centrifuge.ErrorInternal
	}
	if stats.NumClients == 0 {
		return nil
	}
	others := centrifuge.Target{User: c.user, Except: []string{clientID}}
	if err := p.node.Disconnect(ctx, others, centrifuge.DisconnectConnectionLimit); err != nil {
		p.log.Error("disconnecting the other connections of a user", "user", c.user, "error", err)
		return centrifuge.ErrorInternal
	}
	return nil
}

// subscribeAsked subscribes a connection to the channels that it requests. A channel of
// an unknown namespace is an error; a channel that is not allowed is skipped
// (server.md 3.8).
func (c *connectRequest) subscribeAsked(asked []string) error {
	for _, channel := range asked {
		verdict := c.rules.MaySubscribeOnConnect(channel, c.user)
		if verdict.Outcome == channels.UnknownChannel {
			return because(centrifuge.DisconnectBadRequest, "unknown channel %.255q asked for", channel)
		}
		if _, ok := c.reply.Subscriptions[channel]; ok || verdict.Outcome != channels.Allowed {
			continue
		}
		c.reply.Subscriptions[channel] = c.serverSide(verdict.Namespace, verdict.Source, auth.Override{})
	}
	return nil
}

// refresh extends a connection by a new token. The core has checked that the command
// has a token.
func (p *Policy) refresh(ctx context.Context, e centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
	if !e.ClientSideRefresh {
		// Only a proxy could extend it, and proxies are not implemented.
		return centrifuge.RefreshReply{Expired: true}, nil
	}
	s := p.settings.Load()
	token, err := s.connect.VerifyConnect(e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return centrifuge.RefreshReply{Expired: true}, nil
	case errors.Is(err, auth.ErrBase64):
		return centrifuge.RefreshReply{}, centrifuge.ErrorInternal
	case err != nil:
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectInvalidToken, "refresh token: %w", err)
	case token.User != e.Client.UserID():
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectInvalidToken, "refresh token is for another user")
	}
	if before, _ := ctx.Value(tokenChannelsKey{}).(channelSet); !maps.Equal(before, channelsOf(token)) {
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectInsufficientState, "refresh token has other channels")
	}
	reply := centrifuge.RefreshReply{ExpireAt: token.ExpireAt, Info: token.Info}
	if s.client.Insecure {
		reply.ExpireAt = 0
	}
	return reply, nil
}
