package centrifuge

import "context"

// CacheEmptyEvent reports that a subscriber which recovers in cache mode finds no
// publication in the channel.
type CacheEmptyEvent struct {
	Client  *Client
	Channel string
}

// CacheEmptyReply says what the handler did.
type CacheEmptyReply struct {
	// Populated is set by a handler that has published the state of the channel, with
	// history. The subscriber then reads it.
	Populated bool
}

// populateCache calls the handler for a channel without a publication, and reports
// whether there may be one now. It may run on any goroutine: a panic of the handler is
// an error that closes the connection.
func (p *pendingSubscription) populateCache(ctx context.Context) (populated bool, err error) {
	n := p.client.node
	if n.handlers.CacheEmpty == nil {
		return false, nil
	}
	defer func() {
		if v := recover(); v != nil {
			n.logger.panicked("populating a channel", v, "client", p.client.id, "channel", p.Channel)
			populated, err = false, DisconnectServerError
		}
	}()
	reply, err := n.handlers.CacheEmpty(ctx, CacheEmptyEvent{Client: p.client, Channel: p.Channel})
	return reply.Populated, err
}
