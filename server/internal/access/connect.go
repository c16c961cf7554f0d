package access

import (
	"context"
	"errors"
	"maps"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/access/grant"
	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/channels"
)

// tokenChannelsKey is the context key of the set of channels that came with the
// connection's token: a refresh must not bring others.
type tokenChannelsKey struct{}

type channelSet map[string]struct{}

// newcomer is a connection whose connect command is being decided.
type newcomer struct {
	*settings
	user  string
	reply centrifuge.ConnectingReply
}

// connecting decides who a connection is, by the first way of server-interface
// 3.8 that applies, and what it is subscribed to from the start.
func (p *Policy) connecting(ctx context.Context, e centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
	n := &newcomer{settings: p.settings.Load()}
	n.reply.Subscriptions = map[string]centrifuge.SubscribeOptions{}
	switch {
	case e.Token != "":
		if err := p.byToken(ctx, n, e); err != nil {
			return centrifuge.ConnectingReply{}, err
		}
	case n.client.Insecure || n.client.AllowAnonymousConnectWithoutToken:
		n.reply.Credentials = &centrifuge.Credentials{}
	case n.client.UserIDHTTPHeader != "" && p.user(ctx) != "":
		// Neither a personal channel nor channels of its choice (trap 20).
		n.reply.Credentials = &centrifuge.Credentials{UserID: p.user(ctx)}
		return n.reply, nil
	default:
		// Without credentials the core refuses it (3501), unless an embedder has
		// put some into the context.
		return centrifuge.ConnectingReply{}, nil
	}
	if err := p.subscribePersonal(ctx, n, e.ClientID); err != nil {
		return centrifuge.ConnectingReply{}, err
	}
	if err := n.subscribeAsked(e.Channels); err != nil {
		return centrifuge.ConnectingReply{}, err
	}
	return n.reply, nil
}

// byToken lets in whom the token names (server-interface 3.6).
func (p *Policy) byToken(ctx context.Context, n *newcomer, e centrifuge.ConnectingEvent) error {
	token, err := n.connect.VerifyConnect(e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return centrifuge.ErrorTokenExpired
	case errors.Is(err, auth.ErrBase64):
		return centrifuge.ErrorInternal
	case err != nil:
		return because(centrifuge.DisconnectInvalidToken, "connection token: %w", err)
	case token.User == "" && n.client.DisallowAnonymousConnectionTokens:
		return because(centrifuge.DisconnectPermissionDenied, "connection token names no user")
	}
	credentials := &centrifuge.Credentials{UserID: token.User, Info: token.Info}
	if !n.client.Insecure {
		credentials.Exp = token.ExpireAt
	}
	n.user = token.User
	n.reply.Credentials, n.reply.ClientSideRefresh = credentials, true
	for channel, sub := range token.Subs {
		ns, ok := n.rules.Namespace(channel)
		if !ok {
			return because(centrifuge.ErrorUnknownChannel, "channel %.255q of the connection token", channel)
		}
		opts := n.serverSide(ns, channels.SourceConnectionToken, sub.Override)
		opts.Info, opts.Data = sub.Info, sub.Data
		n.reply.Subscriptions[channel] = opts
	}
	n.reply.Context = context.WithValue(ctx, tokenChannelsKey{}, channelsOf(token))
	return nil
}

func channelsOf(token auth.ConnectToken) channelSet {
	set := make(channelSet, len(token.Subs))
	for channel := range token.Subs {
		set[channel] = struct{}{}
	}
	return set
}

// serverSide returns the options of a subscription that the server makes.
func (n *newcomer) serverSide(
	ns *channels.Namespace, source channels.Source, override auth.Override,
) centrifuge.SubscribeOptions {
	features := n.rules.Features(ns, source, n.user, channels.Wishes{}, channels.Override(override))
	return grant.Options(ns, source, features)
}

// subscribePersonal subscribes a user to its personal channel and, where only
// one connection is allowed, ends the others (server-interface 4.7).
func (p *Policy) subscribePersonal(ctx context.Context, n *newcomer, clientID string) error {
	channel, ok := n.rules.PersonalChannel(n.user)
	if !ok {
		return nil
	}
	ns, ok := n.rules.Namespace(channel)
	if !ok {
		return because(centrifuge.ErrorUnknownChannel, "personal channel %.255q", channel)
	}
	if _, ok := n.reply.Subscriptions[channel]; !ok {
		n.reply.Subscriptions[channel] = n.serverSide(ns, channels.SourceUserPersonal, auth.Override{})
	}
	if !n.rules.SingleConnection() || !ns.Options.Presence {
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
	others := centrifuge.Target{User: n.user, Except: []string{clientID}}
	if err := p.node.Disconnect(ctx, others, centrifuge.DisconnectConnectionLimit); err != nil {
		p.log.Error("disconnecting the other connections of a user", "user", n.user, "error", err)
		return centrifuge.ErrorInternal
	}
	return nil
}

// subscribeAsked subscribes a connection to the channels it asks for, those that
// it may have. A channel of an unknown namespace is an error, one that is not
// allowed is left out without a word (server-interface 3.8).
func (n *newcomer) subscribeAsked(asked []string) error {
	for _, channel := range asked {
		verdict := n.rules.MaySubscribeOnConnect(channel, n.user)
		if verdict.Outcome == channels.UnknownChannel {
			return because(centrifuge.DisconnectBadRequest, "unknown channel %.255q asked for", channel)
		}
		if _, ok := n.reply.Subscriptions[channel]; ok || verdict.Outcome != channels.Allowed {
			continue
		}
		n.reply.Subscriptions[channel] = n.serverSide(verdict.Namespace, verdict.Source, auth.Override{})
	}
	return nil
}

// refresh prolongs a connection by a new token. What the core has checked
// before: that there is a token and that the client is to bring one.
func (p *Policy) refresh(ctx context.Context, e centrifuge.RefreshEvent) (centrifuge.RefreshReply, error) {
	if !e.ClientSideRefresh {
		// Only a proxy could know; a connection that nobody prolongs has expired.
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
