package access

import (
	"context"
	"errors"
	"maps"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/override"
	"centrifugo/server/internal/proxy"
	"centrifugo/server/internal/requestid"
	"centrifugo/server/internal/subscribeopts"
)

type channelSet map[string]struct{}

// connectRequest is a connect command that is being decided.
type connectRequest struct {
	*settings
	session *proxy.Session // nil without proxies
	state   *tokenState
	user    string
	reply   centrifuge.ConnectingReply
}

// authenticate authenticates a connection by the first way of server.md 3.8 that
// applies, and returns its server-side subscriptions.
func (p *Policy) authenticate(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
	c, err := p.newConnectRequest(ctx, e)
	if err != nil {
		return centrifuge.ConnectingReply{}, err
	}
	byProxy, err := p.byProxy(ctx, c, e)
	if err != nil {
		return centrifuge.ConnectingReply{}, err
	}
	switch {
	case byProxy:
		if err := p.subscribePersonal(ctx, c, e.ClientID); err != nil {
			return centrifuge.ConnectingReply{}, err
		}
		return c.reply, nil // it has been told what channels the client requests
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

// newConnectRequest prepares what all ways to connect have in common.
func (p *Policy) newConnectRequest(ctx context.Context, e centrifuge.ConnectingEvent) (*connectRequest, error) {
	session, err := p.proxies.NewSession(ctx, e.Headers)
	if err != nil {
		return nil, err //nolint:wrapcheck // it answers the command
	}
	c := &connectRequest{settings: p.settings.Load(), session: session, state: new(tokenState)}
	c.reply.Subscriptions = map[string]centrifuge.SubscribeOptions{}
	// The connection keeps nothing else of its request: what net/http has in ctx takes 400 bytes.
	c.reply.Context = context.WithValue(requestid.Carry(context.Background(), ctx), tokenStateKey{}, c.state)
	if session != nil {
		c.reply.Context = proxy.WithSession(c.reply.Context, session)
	}
	return c, nil
}

// byToken authenticates a connection by its token (server.md 3.6).
func (p *Policy) byToken(ctx context.Context, c *connectRequest, e centrifuge.ConnectingEvent) error {
	token, err := c.connect.VerifyConnect(ctx, e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return centrifuge.ErrorTokenExpired
	case errors.Is(err, auth.ErrBase64):
		return centrifuge.ErrorInternal
	case errors.Is(err, auth.ErrKeysUnavailable):
		return because(centrifuge.ErrorInternal, "connection token: %w", err)
	case err != nil:
		return because(centrifuge.DisconnectInvalidToken, "connection token: %w", err)
	case token.User == "" && c.client.DisallowAnonymousConnectionTokens:
		return because(centrifuge.DisconnectPermissionDenied, "connection token names no user")
	}
	facts := tokenFacts{id: token.ID, issuedAt: token.IssuedAt}
	if p.revocations.Revoked(facts.of(token.User)) {
		return because(centrifuge.ErrorTokenExpired, "connection token is revoked")
	}
	credentials := &centrifuge.Credentials{UserID: token.User, Info: token.Info}
	if !c.client.Insecure {
		credentials.Exp = token.ExpireAt
	}
	c.user = token.User
	c.reply.Credentials, c.reply.ClientSideRefresh = credentials, !p.serverRefreshes()
	c.session.SetMeta(token.Meta)
	for channel, sub := range token.Subs {
		ns, ok := c.rules.Namespace(channel)
		if !ok {
			return because(centrifuge.ErrorUnknownChannel, "channel %.255q of the connection token", channel)
		}
		opts := c.serverSide(ns, channels.SourceConnectionToken, sub.Override)
		opts.Info, opts.Data = sub.Info, sub.Data
		c.reply.Subscriptions[channel] = opts
	}
	c.state.channels = channelsOf(token)
	c.state.noteConnection(facts)
	return nil
}

func channelsOf(token auth.ConnectToken) channelSet {
	if len(token.Subs) == 0 {
		return nil
	}
	set := make(channelSet, len(token.Subs))
	for channel := range token.Subs {
		set[channel] = struct{}{}
	}
	return set
}

// serverSide returns the options of a server-side subscription.
func (c *connectRequest) serverSide(
	ns *channels.Namespace, source channels.Source, over *override.SubscribeOverride,
) centrifuge.SubscribeOptions {
	features := c.rules.Features(ns, source, c.user, channels.Request{}, over)
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
		c.reply.Subscriptions[channel] = c.serverSide(ns, channels.SourceUserPersonal, nil)
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
		c.reply.Subscriptions[channel] = c.serverSide(verdict.Namespace, verdict.Source, nil)
	}
	return nil
}

// refresh extends a connection: the refresh proxy does, or a new token. The core has checked
// that the command has a token.
func (p *Policy) refresh(ctx context.Context, e centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
	if !e.ClientSideRefresh {
		return p.refreshByProxy(ctx, e), nil
	}
	s := p.settings.Load()
	token, err := s.connect.VerifyConnect(ctx, e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return centrifuge.RefreshReply{Expired: true}, nil
	case errors.Is(err, auth.ErrBase64):
		return centrifuge.RefreshReply{}, centrifuge.ErrorInternal
	case errors.Is(err, auth.ErrKeysUnavailable):
		return centrifuge.RefreshReply{}, because(centrifuge.ErrorInternal, "refresh token: %w", err)
	case err != nil:
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectInvalidToken, "refresh token: %w", err)
	case token.User != e.Client.UserID():
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectInvalidToken, "refresh token is for another user")
	}
	state := stateOf(ctx)
	var before channelSet
	if state != nil {
		before = state.channels
	}
	if !maps.Equal(before, channelsOf(token)) {
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectInsufficientState, "refresh token has other channels")
	}
	facts := tokenFacts{id: token.ID, issuedAt: token.IssuedAt}
	state.noteConnection(facts)
	switch {
	case p.revocations.Blocked(token.User):
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectPermissionDenied, "user is blocked")
	case p.revocations.Revoked(facts.of(token.User)):
		return centrifuge.RefreshReply{}, because(centrifuge.DisconnectStateInvalidated, "refresh token is revoked")
	}
	reply := centrifuge.RefreshReply{ExpireAt: token.ExpireAt, Info: token.Info}
	if s.client.Insecure {
		reply.ExpireAt = 0
	}
	return reply, nil
}
