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
func (p *Policy) subscribe(_ context.Context, e centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
	s := p.settings.Load()
	user := e.Client.UserID()
	verdict := s.rules.MaySubscribe(channels.SubscribeQuery{Channel: e.Channel, User: user, HasToken: e.Token != ""})
	if err := refusal(verdict.Outcome); err != nil {
		return centrifuge.SubscribeReply{}, err
	}
	var token auth.SubscribeToken
	if verdict.Outcome == channels.CheckToken {
		var err error
		if token, err = p.subscribeToken(s, e); err != nil {
			return centrifuge.SubscribeReply{}, err
		}
	}
	request := channels.Request{Positioned: e.Positioned, Recoverable: e.Recoverable, JoinLeave: e.JoinLeave}
	features := s.rules.Features(verdict.Namespace, verdict.Source, user, request, channels.Override(token.Override))
	opts := subscribeopts.New(verdict.Namespace, verdict.Source, features)
	opts.ExpireAt, opts.Info, opts.Data = token.ExpireAt, token.Info, token.Data
	// Without a token the subscription does not expire, and the flag has no effect.
	return centrifuge.SubscribeReply{Options: opts, ClientSideRefresh: true}, nil
}

// subscribeToken verifies the token of a subscribe command (server.md 3.6).
func (p *Policy) subscribeToken(s *settings, e centrifuge.SubscribeEvent) (auth.SubscribeToken, error) {
	token, err := s.subscribe.VerifySubscribe(e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		return token, centrifuge.ErrorTokenExpired
	case err != nil:
		return token, because(centrifuge.ErrorPermissionDenied, "subscription token: %w", err)
	case !token.Matches(e.Client.UserID(), e.Channel, e.Client.ID()):
		return token, because(centrifuge.DisconnectInvalidToken, "subscription token is for another user, channel or client")
	}
	return token, nil
}

// subRefresh extends a subscription by a new token. The core has checked that there is
// a subscription and a token (protocol.md 6.8).
func (p *Policy) subRefresh(_ context.Context, e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
	if !e.ClientSideRefresh {
		// Only a proxy could extend it; it ends after expired_sub_close_delay.
		return centrifuge.SubRefreshReply{}, centrifuge.ErrorNotAvailable
	}
	token, err := p.settings.Load().subscribe.VerifySubscribe(e.Token)
	switch {
	case errors.Is(err, auth.ErrTokenExpired):
		// Upstream answers with a success here and drops the expiry
		// (docs/compatibility.md).
		return centrifuge.SubRefreshReply{}, centrifuge.ErrorTokenExpired
	case err != nil:
		return centrifuge.SubRefreshReply{}, because(centrifuge.DisconnectInvalidToken, "subscription token: %w", err)
	case !token.Matches(e.Client.UserID(), e.Channel, e.Client.ID()):
		return centrifuge.SubRefreshReply{}, because(centrifuge.DisconnectInvalidToken, "subscription token is for another user, channel or client")
	}
	return centrifuge.SubRefreshReply{ExpireAt: token.ExpireAt, Info: token.Info}, nil
}
