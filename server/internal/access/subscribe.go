package access

import (
	"context"
	"errors"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/subscribeopts"
)

// subscribe decides a subscribe command (server.md 4.3).
func (p *Policy) subscribe(ctx context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
	s := p.settings.Load()
	user := e.Client.UserID()
	verdict := s.rules.MaySubscribe(channels.SubscribeQuery{Channel: e.Channel, User: user, HasToken: e.Token != ""})
	var grant auth.SubscribeToken // what the token or the proxy has granted
	var err error
	switch verdict.Outcome {
	case channels.CheckToken:
		grant, err = p.subscribeToken(ctx, s, e)
	case channels.AskProxy:
		grant.SubscribeOptions, grant.ExpireAt, err = p.subscribeByProxy(ctx, e, verdict.Proxy)
	case channels.AskStreamProxy:
		grant.SubscribeOptions, grant.ExpireAt, err = p.subscribeByStream(ctx, e, verdict)
	default:
		err = refusal(verdict.Outcome)
	}
	if err != nil {
		return centrifuge.SubscribeReply{}, err
	}
	request := channels.Request{Positioned: e.Positioned, Recoverable: e.Recoverable, JoinLeave: e.JoinLeave}
	features := s.rules.Features(verdict.Namespace, verdict.Source, user, request, grant.Override)
	opts := subscribeopts.New(verdict.Namespace, verdict.Source, features)
	opts.ExpireAt, opts.Info, opts.Data = grant.ExpireAt, grant.Info, grant.Data
	if verdict.Source == channels.SourceStreamProxy {
		opts.AllowDelta, opts.AllowCompaction, opts.AllowTagsFilter = false, false, false // they are for publications of the channel
	}
	return centrifuge.SubscribeReply{Options: opts, ClientSideRefresh: !verdict.Namespace.Options.SubRefreshProxyEnabled}, nil
}

// subscribeToken verifies the token of a subscribe command (server.md 3.6).
func (p *Policy) subscribeToken(ctx context.Context, s *settings, e centrifuge.SubscribeEvent) (auth.SubscribeToken, error) {
	token, err := s.subscribe.VerifySubscribe(ctx, e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return token, centrifuge.ErrorTokenExpired
	case errors.Is(err, auth.ErrKeysUnavailable):
		return token, because(centrifuge.ErrorInternal, "subscription token: %w", err)
	case err != nil:
		return token, because(centrifuge.ErrorPermissionDenied, "subscription token: %w", err)
	case !token.Matches(e.Client.UserID(), e.Channel, e.Client.ID()):
		return token, because(centrifuge.DisconnectInvalidToken, "subscription token is for another user, channel or client")
	}
	return token, p.notRevoked(ctx, e.Client, token)
}

// notRevoked returns an error if a subscription token is revoked, and keeps what it says so
// that it can be revoked later.
func (p *Policy) notRevoked(ctx context.Context, c *centrifuge.Client, token auth.SubscribeToken) error {
	facts := tokenFacts{id: token.ID, issuedAt: token.IssuedAt}
	stateOf(ctx).noteSubscription(c, token.Channel, facts)
	if p.revocations.Revoked(facts.of(token.User)) {
		return because(centrifuge.ErrorTokenExpired, "subscription token is revoked")
	}
	return nil
}

// subRefresh extends a subscription: the sub_refresh proxy does, or a new token. The core has
// checked that there is a subscription, and a token if the client has to send one
// (protocol.md 6.8).
func (p *Policy) subRefresh(ctx context.Context, e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
	if !e.ClientSideRefresh {
		return p.subRefreshByProxy(ctx, e)
	}
	token, err := p.settings.Load().subscribe.VerifySubscribe(ctx, e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		// Upstream answers with a success here and drops the expiry
		// (docs/compatibility.md).
		return centrifuge.SubRefreshReply{}, centrifuge.ErrorTokenExpired
	case errors.Is(err, auth.ErrKeysUnavailable):
		return centrifuge.SubRefreshReply{}, because(centrifuge.ErrorInternal, "subscription token: %w", err)
	case err != nil:
		return centrifuge.SubRefreshReply{}, because(centrifuge.DisconnectInvalidToken, "subscription token: %w", err)
	case !token.Matches(e.Client.UserID(), e.Channel, e.Client.ID()):
		return centrifuge.SubRefreshReply{}, because(centrifuge.DisconnectInvalidToken, "subscription token is for another user, channel or client")
	}
	if err := p.notRevoked(ctx, e.Client, token); err != nil {
		return centrifuge.SubRefreshReply{}, err
	}
	return centrifuge.SubRefreshReply{ExpireAt: token.ExpireAt, Info: token.Info}, nil
}
