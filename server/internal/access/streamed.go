package access

import (
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/auth"
	"centrifugo/server/internal/channels"
	"centrifugo/server/internal/proxy"
)

// maxUnannounced is how long a stream waits for its subscription to begin after the backend
// has allowed it. The core waits at most 5 seconds for another command on the channel, and
// 10 for its engine.
const maxUnannounced = 30 * time.Second

// subscribeByStream asks a backend whether a client may subscribe, over a stream that then
// has the publications of the subscription (server.md 5.10).
func (p *Policy) subscribeByStream(
	ctx context.Context, e centrifuge.SubscribeEvent, verdict channels.Verdict,
) (opts auth.SubscribeOptions, expireAt int64, err error) {
	asked := p.proxies.Find(proxy.SubscribeStream, verdict.Proxy)
	if asked == nil {
		return opts, 0, centrifuge.ErrorNotAvailable
	}
	caller := proxy.CallerOf(e.Client)
	bidirectional := verdict.Namespace.Options.SubscribeStreamProxyBidirectional
	response, subscription, err := asked.Open(ctx, caller, proxy.Request{Channel: e.Channel, Token: e.Token, Data: e.Data}, bidirectional)
	if err != nil {
		return opts, 0, err //nolint:wrapcheck // it answers the command
	}
	if err := response.Err(); err != nil {
		return opts, 0, err //nolint:wrapcheck // it answers the command
	}
	caller.Session.AddStream(strings.Clone(e.Channel), subscription, maxUnannounced)
	r := response.Result
	if r == nil {
		r = new(proxy.Result)
	}
	return auth.SubscribeOptions{Info: r.Info, Data: r.Data, Override: r.Override}, max(0, r.ExpireAt), nil
}

// subscribed begins to deliver the publications of a stream. They follow the reply to the
// subscribe command.
func (p *Policy) subscribed(ctx context.Context, e centrifuge.SubscribedEvent) {
	session := proxy.SessionFrom(ctx)
	if s := session.Announce(e.Channel); s != nil {
		go p.deliver(ctx, session, e.Client, e.Channel, s)
	}
}

// unsubscribed ends the stream of a subscription that has ended.
func (p *Policy) unsubscribed(ctx context.Context, e centrifuge.UnsubscribedEvent) {
	session := proxy.SessionFrom(ctx)
	if s := session.Stream(e.Channel); s != nil { // not that of the next subscription, which is not announced
		session.RemoveStream(e.Channel, s)
	}
}

// deliver passes the publications of a stream to its subscriber until either ends.
func (p *Policy) deliver(ctx context.Context, session *proxy.Session, c *centrifuge.Client, channel string, s *proxy.Subscription) {
	for {
		pub, err := s.Recv(ctx)
		if err == nil {
			err = c.SendPublication(channel, &centrifuge.Publication{Data: pub.Data, Tags: pub.Tags})
		}
		if err == nil {
			continue
		}
		if !session.RemoveStream(channel, s) || ctx.Err() != nil {
			return // the subscription or the connection has ended
		}
		why := centrifuge.UnsubscribeInsufficient
		if errors.Is(err, io.EOF) {
			why = centrifuge.UnsubscribeServer
		}
		c.Unsubscribe(channel, why)
		return
	}
}

// publishByStream sends what a client publishes to the stream of its subscription.
func (p *Policy) publishByStream(
	ctx context.Context, e centrifuge.PublishEvent, verdict channels.Verdict,
) (centrifuge.PublishReply, error) {
	if p.proxies.Find(proxy.SubscribeStream, verdict.Proxy) == nil {
		return centrifuge.PublishReply{}, centrifuge.ErrorNotAvailable
	}
	s := proxy.SessionFrom(ctx).Stream(e.Channel)
	if s == nil {
		return centrifuge.PublishReply{}, centrifuge.ErrorPermissionDenied
	}
	if err := s.Publish(e.Data); err != nil {
		return centrifuge.PublishReply{}, err //nolint:wrapcheck // it answers the command
	}
	return centrifuge.PublishReply{Done: true}, nil
}
