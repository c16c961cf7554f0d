package centrifuge

import (
	"context"
	"fmt"
	"maps"
)

// Publish sends data to the subscribers of channel, in the whole cluster.
// Publications of one caller into one channel arrive in their order. The node
// owns data and opts.ClientInfo from the call on; opts.Tags are copied.
//
// Data may be any bytes. Subscribers with JSON connections are not sent what is not
// valid JSON (protocol.CheckJSON says why); Stats.OmittedPublications counts it.
func (n *Node) Publish(ctx context.Context, channel string, data []byte, opts PublishOptions) (PublishResult, error) {
	if err := n.running(); err != nil {
		return PublishResult{}, err
	}
	if n.isPattern(channel) {
		return PublishResult{}, fmt.Errorf("publishing to a pattern: %w", ErrorBadRequest)
	}
	counted := n.stats.of(channel)
	sampled := n.sample(counted.PublicationsSent.Add(1), channel, data, opts.Received)
	pub := &Publication{
		Data: data, Info: opts.ClientInfo, Tags: maps.Clone(opts.Tags),
		ExcludeClient: opts.ExcludeClient, UseDelta: opts.UseDelta,
	}
	opts.Tags = pub.Tags
	result, err := n.give(ctx, channel, pub, opts)
	if sampled && (err != nil || result.Suppressed != NotSuppressed) {
		n.latency.take(channel, data)
	}
	n.tracePublish(channel, pub, &opts, result, err)
	if err != nil {
		return result, fmt.Errorf("publishing: %w", err)
	}
	switch result.Suppressed {
	case SuppressedIdempotency:
		counted.SuppressedIdempotency.Add(1)
	case SuppressedVersion:
		counted.SuppressedVersion.Add(1)
	case NotSuppressed:
	}
	return result, nil
}

// NumSubscribers of a channel on this node.
func (n *Node) NumSubscribers(channel string) int {
	if n.started() != nil {
		return 0
	}
	return n.hub.NumSubscribers(channel)
}
