package centrifuge

import (
	"bytes"
	"time"

	"centrifugo/protocol"
)

// checkChannel applies what every command demands of a channel's name.
func (c *Client) checkChannel(channel string) error {
	if channel == "" {
		return DisconnectBadRequest
	}
	if limit := c.node.config.ChannelMaxLength; limit > 0 && len(channel) > limit {
		return ErrorBadRequest
	}
	return nil
}

func (c *Client) handlePublish(request *protocol.PublishRequest) (*protocol.Reply, error) {
	if err := c.checkChannel(request.Channel); err != nil {
		return nil, err
	}
	if request.Type != 0 {
		return nil, ErrorNotAvailable // maps are not built
	}
	if request.Data == nil {
		return nil, ErrorBadRequest
	}
	if c.node.handlers.Publish == nil {
		return nil, ErrorNotAvailable
	}
	var received time.Time
	if c.node.latency != nil {
		received = time.Now()
	}
	info := c.infoFor(c.subscription(request.Channel))
	reply, err := c.node.handlers.Publish(c.Context(), PublishEvent{
		Client: c, Channel: request.Channel, Data: request.Data, Info: info,
	})
	if err != nil {
		return nil, err
	}
	if !reply.Done {
		data := bytes.Clone(request.Data) // history must not keep the whole message
		if reply.Data != nil {
			data = reply.Data
		}
		if reply.Options.ClientInfo == nil {
			reply.Options.ClientInfo = info
		}
		if reply.Options.Received.IsZero() {
			reply.Options.Received = received
		}
		if _, err := c.node.Publish(c.Context(), request.Channel, data, reply.Options); err != nil {
			return nil, err
		}
	}
	return &protocol.Reply{Publish: &protocol.PublishResult{}}, nil
}

func (c *Client) handleHistory(request *protocol.HistoryRequest) (*protocol.Reply, error) {
	if err := c.checkChannel(request.Channel); err != nil {
		return nil, err
	}
	if request.Reverse && request.Since != nil && request.Since.Offset == 0 {
		return nil, ErrorBadRequest
	}
	if c.node.handlers.History == nil {
		return nil, ErrorNotAvailable
	}
	opts := HistoryOptions{Limit: int(request.Limit), Since: request.Since, Reverse: request.Reverse}
	if most := c.node.config.HistoryMaxPublications; most > 0 && (opts.Limit < 0 || opts.Limit > most) {
		opts.Limit = most
	}
	reply, err := c.node.handlers.History(c.Context(), HistoryEvent{Client: c, Channel: request.Channel, Options: opts})
	if err != nil {
		return nil, err
	}
	if reply.Result == nil {
		result, err := c.node.History(c.Context(), request.Channel, opts)
		if err != nil {
			return nil, err
		}
		reply.Result = &result
	}
	pubs := reply.Result.Publications
	if n := c.replySpace().take(pubs); n < len(pubs) {
		pubs = pubs[:max(n, 1)] // at least one, so that a client that reads page by page advances
	}
	return &protocol.Reply{History: &protocol.HistoryResult{
		Publications: pubs, Offset: reply.Result.Offset, Epoch: reply.Result.Epoch,
	}}, nil
}

func (c *Client) handlePresence(request *protocol.PresenceRequest) (*protocol.Reply, error) {
	if err := c.checkChannel(request.Channel); err != nil {
		return nil, err
	}
	if c.node.handlers.Presence == nil {
		return nil, ErrorNotAvailable
	}
	reply, err := c.node.handlers.Presence(c.Context(), PresenceEvent{Client: c, Channel: request.Channel})
	if err != nil {
		return nil, err
	}
	if reply.Result == nil {
		if reply.Result, err = c.node.Presence(c.Context(), request.Channel); err != nil {
			return nil, err
		}
	}
	return &protocol.Reply{Presence: &protocol.PresenceResult{Presence: reply.Result}}, nil
}

func (c *Client) handlePresenceStats(request *protocol.PresenceStatsRequest) (*protocol.Reply, error) {
	if err := c.checkChannel(request.Channel); err != nil {
		return nil, err
	}
	if c.node.handlers.PresenceStats == nil {
		return nil, ErrorNotAvailable
	}
	reply, err := c.node.handlers.PresenceStats(c.Context(), PresenceStatsEvent{Client: c, Channel: request.Channel})
	if err != nil {
		return nil, err
	}
	if reply.Result == nil {
		stats, err := c.node.PresenceStats(c.Context(), request.Channel)
		if err != nil {
			return nil, err
		}
		reply.Result = &stats
	}
	return &protocol.Reply{PresenceStats: &protocol.PresenceStatsResult{
		NumClients: uint32(reply.Result.NumClients), //nolint:gosec // a count of connections
		NumUsers:   uint32(reply.Result.NumUsers),   //nolint:gosec // not more than that
	}}, nil
}
