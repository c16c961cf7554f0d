package access

import (
	"context"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/channels"
)

// publish decides a publish command (server.md 4.4). The core adds the client
// info of the publisher.
func (p *Policy) publish(ctx context.Context, e centrifuge.PublishEvent) (centrifuge.PublishReply, error) {
	verdict := p.Rules().MayPublish(channels.PublishQuery{
		Channel:    e.Channel,
		User:       e.Client.UserID(),
		Subscribed: e.Client.IsSubscribed(e.Channel),
		Data:       e.Data,
	})
	var reply centrifuge.PublishReply
	var err error
	switch verdict.Outcome {
	case channels.AskProxy:
		reply, err = p.publishByProxy(ctx, e, verdict)
	case channels.AskStreamProxy:
		return p.publishByStream(ctx, e, verdict)
	default:
		if err = refusal(verdict.Outcome); err == nil {
			reply.Options = publishOptions(verdict.Namespace)
			reply.Options.UseDelta = verdict.Namespace.Options.DeltaPublish
		}
	}
	if err != nil {
		return centrifuge.PublishReply{}, err
	}
	if verdict.Namespace.Options.PublishExcludeSender {
		reply.Options.ExcludeClient = e.Client.ID()
	}
	return reply, nil
}

// publishOptions returns the options of a publication that follow from its namespace.
func publishOptions(ns *channels.Namespace) centrifuge.PublishOptions {
	return centrifuge.PublishOptions{
		HistorySize:    ns.Options.HistorySize,
		HistoryTTL:     ns.Options.HistoryTTL,
		HistoryMetaTTL: ns.HistoryMetaTTL,
	}
}

func readQuery(c *centrifuge.Client, channel string) channels.ReadQuery {
	return channels.ReadQuery{Channel: channel, User: c.UserID(), Subscribed: c.IsSubscribed(channel)}
}

func (p *Policy) presence(_ context.Context, e centrifuge.PresenceEvent) (centrifuge.PresenceReply, error) {
	verdict := p.Rules().MayPresence(readQuery(e.Client, e.Channel))
	return centrifuge.PresenceReply{}, refusal(verdict.Outcome)
}

func (p *Policy) presenceStats(
	_ context.Context, e centrifuge.PresenceStatsEvent,
) (centrifuge.PresenceStatsReply, error) {
	verdict := p.Rules().MayPresence(readQuery(e.Client, e.Channel))
	return centrifuge.PresenceStatsReply{}, refusal(verdict.Outcome)
}

// history reads the stream itself, because the lifetime of the position is an option of
// the namespace.
func (p *Policy) history(ctx context.Context, e centrifuge.HistoryEvent) (centrifuge.HistoryReply, error) {
	verdict := p.Rules().MayHistory(readQuery(e.Client, e.Channel))
	if err := refusal(verdict.Outcome); err != nil {
		return centrifuge.HistoryReply{}, err
	}
	opts := e.Options
	opts.MetaTTL = verdict.Namespace.HistoryMetaTTL
	result, err := p.node.History(ctx, e.Channel, opts)
	if err != nil {
		return centrifuge.HistoryReply{}, err //nolint:wrapcheck // the core tells the kinds of errors apart
	}
	return centrifuge.HistoryReply{Result: &result}, nil
}
