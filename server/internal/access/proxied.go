package access

import (
	"context"
	"errors"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/proxy"
)

// retryRefresh is how long an expiry is put off when the proxy that decides it cannot be
// asked (server.md 5.3).
const retryRefresh = time.Minute

// ask asks a proxy about an event of a client. A result that the backend has not sent is
// empty. The errors are answers: those of the backend and those of proxy.Call.
func (p *Policy) ask(
	ctx context.Context, e proxy.Event, name string, c *centrifuge.Client, r proxy.Request,
) (*proxy.Result, error) {
	asked := p.proxies.Find(e, name)
	if asked == nil {
		return nil, centrifuge.ErrorNotAvailable
	}
	response, err := asked.Call(ctx, e, proxy.CallerOf(c), r)
	if err != nil {
		return nil, err //nolint:wrapcheck // it answers the command
	}
	if err := response.Err(); err != nil {
		return nil, err //nolint:wrapcheck // it answers the command
	}
	if response.Result == nil {
		return new(proxy.Result), nil
	}
	return response.Result, nil
}

// byProxy authenticates a connection without a token by the connect proxy, if there is one
// (server.md 5.4). Decided is false if the proxy leaves the decision to others.
func (p *Policy) byProxy(ctx context.Context, c *connectRequest, e centrifuge.ConnectingEvent) (decided bool, err error) {
	asked := p.proxies.Find(proxy.Connect, proxy.DefaultName)
	if asked == nil || e.Token != "" {
		return false, nil
	}
	caller := proxy.Caller{Client: e.ClientID, Transport: e.Transport, Session: c.session}
	response, err := asked.Call(ctx, proxy.Connect, caller, proxy.Request{
		Name: e.Name, Version: e.Version, Channels: e.Channels, Data: e.Data,
	})
	switch {
	case errors.Is(err, centrifuge.ErrorTooManyRequests):
		// A connection that is not authenticated is not kept: the client comes back later.
		return false, centrifuge.DisconnectTooManyRequests
	case err != nil:
		return false, err //nolint:wrapcheck // it answers the command
	}
	if err := response.Err(); err != nil {
		return false, err //nolint:wrapcheck // it answers the command
	}
	if response.Result == nil {
		return false, nil
	}
	return true, p.admit(c, response.Result)
}

// admit fills the reply to a connect command from the result of the proxy.
func (p *Policy) admit(c *connectRequest, r *proxy.Result) error {
	c.user = r.User
	c.reply.Credentials = &centrifuge.Credentials{UserID: r.User, Exp: max(0, r.ExpireAt), Info: r.Info}
	c.reply.ClientSideRefresh = !p.serverRefreshes()
	c.reply.Data = r.Data
	c.session.SetMeta(r.Meta)
	subs := make(map[string]*proxy.SubscribeOptions, len(r.Channels)+len(r.Subs))
	for _, channel := range r.Channels {
		subs[channel] = new(proxy.SubscribeOptions)
	}
	for channel, o := range r.Subs {
		subs[channel] = o
	}
	for channel, o := range subs {
		ns, ok := c.rules.Namespace(channel)
		if !ok || channel == "" {
			return because(centrifuge.ErrorUnknownChannel, "channel %.255q of the connect proxy", channel)
		}
		opts := c.serverSide(ns, channels.SourceConnectProxy, o.Override)
		opts.Info, opts.Data, opts.ExpireAt = o.Info, o.Data, o.ExpireAt
		if o.CacheRecover {
			opts.RecoveryMode, opts.AutoRecover = centrifuge.RecoverCache, true
		}
		c.reply.Subscriptions[channel] = opts
	}
	return nil
}

// serverRefreshes reports whether connections are refreshed by a proxy and not by their
// clients (server.md 5.5).
func (p *Policy) serverRefreshes() bool {
	return p.proxies.Find(proxy.Refresh, proxy.DefaultName) != nil
}

// refreshByProxy extends a connection that has expired, if the proxy does. An error or a
// disconnect of the backend counts as an empty answer.
func (p *Policy) refreshByProxy(ctx context.Context, e centrifuge.RefreshEvent) centrifuge.RefreshReply {
	asked := p.proxies.Find(proxy.Refresh, proxy.DefaultName)
	if asked == nil {
		return centrifuge.RefreshReply{Expired: true}
	}
	caller := proxy.CallerOf(e.Client)
	response, err := asked.Call(ctx, proxy.Refresh, caller, proxy.Request{})
	if err != nil {
		return centrifuge.RefreshReply{ExpireAt: time.Now().Add(retryRefresh).Unix()}
	}
	r := response.Result
	if r == nil || r.Expired {
		return centrifuge.RefreshReply{Expired: true}
	}
	caller.Session.SetMeta(r.Meta)
	return centrifuge.RefreshReply{ExpireAt: max(0, r.ExpireAt), Info: r.Info}
}

// subRefreshByProxy extends a subscription, if the proxy of its namespace does. Without a
// proxy it ends after expired_sub_close_delay.
func (p *Policy) subRefreshByProxy(ctx context.Context, e centrifuge.SubRefreshEvent) (centrifuge.SubRefreshReply, error) {
	ns, ok := p.Rules().Namespace(e.Channel)
	if !ok || !ns.Options.SubRefreshProxyEnabled {
		return centrifuge.SubRefreshReply{}, centrifuge.ErrorNotAvailable
	}
	asked := p.proxies.Find(proxy.SubRefresh, ns.Options.SubRefreshProxyName)
	if asked == nil {
		return centrifuge.SubRefreshReply{}, centrifuge.ErrorNotAvailable
	}
	response, err := asked.Call(ctx, proxy.SubRefresh, proxy.CallerOf(e.Client), proxy.Request{Channel: e.Channel})
	if err != nil {
		return centrifuge.SubRefreshReply{ExpireAt: time.Now().Add(retryRefresh).Unix()}, nil //nolint:nilerr // put off
	}
	r := response.Result
	if r == nil || r.Expired {
		return centrifuge.SubRefreshReply{Expired: true}, nil
	}
	return centrifuge.SubRefreshReply{ExpireAt: max(0, r.ExpireAt), Info: r.Info}, nil
}

// subscribeByProxy asks a proxy whether a client may subscribe (server.md 5.6).
func (p *Policy) subscribeByProxy(
	ctx context.Context, e centrifuge.SubscribeEvent, name string,
) (opts auth.SubscribeOptions, expireAt int64, err error) {
	r, err := p.ask(ctx, proxy.Subscribe, name, e.Client, proxy.Request{Channel: e.Channel, Token: e.Token, Data: e.Data})
	if err != nil {
		return opts, 0, err
	}
	return auth.SubscribeOptions{Info: r.Info, Data: r.Data, Override: r.Override}, max(0, r.ExpireAt), nil
}

// publishByProxy asks a proxy whether a client may publish, and what (server.md 5.7). The
// option delta_publish of the namespace does not apply, and data of the proxy is not
// validated.
func (p *Policy) publishByProxy(
	ctx context.Context, e centrifuge.PublishEvent, verdict channels.Verdict,
) (centrifuge.PublishReply, error) {
	r, err := p.ask(ctx, proxy.Publish, verdict.Proxy, e.Client, proxy.Request{Channel: e.Channel, Data: e.Data})
	if err != nil {
		return centrifuge.PublishReply{}, err
	}
	opts := publishOptions(verdict.Namespace)
	opts.UseDelta, opts.Tags, opts.IdempotencyKey = r.Delta, r.Tags, r.IdempotencyKey
	opts.Version, opts.VersionEpoch = r.Version, r.VersionEpoch
	if r.SkipHistory {
		opts.HistorySize, opts.HistoryTTL = 0, 0
	}
	return centrifuge.PublishReply{Options: opts, Data: r.Data}, nil
}
