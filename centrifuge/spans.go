package centrifuge

import "context"

// Spans is told about the steps of a publication, for distributed tracing. Its methods
// are called by any goroutine and must not block. Tags are those of the publication, which
// travel with it to all nodes: trace context that the publisher has put there is known
// wherever the publication arrives. The tags must not be changed.
type Spans interface {
	// Publish is called before a publication is given to the broker, which gets the context
	// that it returns. The node calls ended with the answer of the broker.
	Publish(ctx context.Context, channel string, tags map[string]string) (traced context.Context, ended func(error))
	// FanOut is called before a publication that came from the broker is handed to the
	// connections of its channel, of which there may be none, and ended afterwards. The
	// context is that of Publish if the broker of this node delivers before it answers, as
	// the memory engine does, and otherwise empty.
	FanOut(ctx context.Context, channel string, tags map[string]string) (ended func())
}

// give gives a publication to the broker. With Config.Spans it remembers the context for the fan-out.
func (n *Node) give(ctx context.Context, channel string, pub *Publication, opts PublishOptions) (PublishResult, error) {
	if n.config.Spans == nil {
		return n.broker.Publish(ctx, channel, pub, opts)
	}
	ctx, ended := n.config.Spans.Publish(ctx, channel, pub.Tags)
	n.spans.Store(pub, ctx)
	defer n.spans.Delete(pub)
	result, err := n.broker.Publish(ctx, channel, pub, opts)
	ended(err)
	return result, err
}

// traceFanOut begins the step of the fan-out.
func (n *Node) traceFanOut(channel string, pub *Publication) (ended func()) {
	ctx := context.Background()
	if publishing, ok := n.spans.Load(pub); ok {
		ctx = publishing.(context.Context) //nolint:forcetypeassert // nothing else is stored
	}
	return n.config.Spans.FanOut(ctx, channel, pub.Tags)
}
