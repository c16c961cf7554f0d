package api

import (
	"context"
	"encoding/json"
	"math"

	"centrifugo/centrifuge"
)

// PresenceRequest lists the clients that are subscribed to a channel.
type PresenceRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
}

// PresenceResult holds the subscribed connections by client id.
type PresenceResult struct {
	Presence map[string]ClientInfo `json:"presence"`
}

// ClientInfo describes a connection.
type ClientInfo struct {
	// User is the user id, empty for an anonymous connection.
	User string `json:"user"`
	// Client is the client id.
	Client string `json:"client"`
	// ConnInfo is the info of the connection, from its token.
	ConnInfo json.RawMessage `json:"conn_info,omitempty"`
	// ChanInfo is the info of the subscription.
	ChanInfo json.RawMessage `json:"chan_info,omitempty"`
}

func clientInfo(info *centrifuge.ClientInfo) ClientInfo {
	return ClientInfo{
		User:     info.User,
		Client:   info.Client,
		ConnInfo: json.RawMessage(info.ConnInfo),
		ChanInfo: json.RawMessage(info.ChanInfo),
	}
}

// presence lists the subscribers of a channel on all nodes.
func (c call) presence(ctx context.Context, req *PresenceRequest) (PresenceResult, *Error) {
	if apiErr := c.withPresence(req.Channel); apiErr != nil {
		return PresenceResult{}, apiErr
	}
	entries, err := c.node.Presence(ctx, req.Channel)
	if err != nil {
		return PresenceResult{}, c.internal(ctx, req.Channel, err)
	}
	presence := make(map[string]ClientInfo, len(entries))
	for id, info := range entries {
		presence[id] = clientInfo(info)
	}
	return PresenceResult{Presence: presence}, nil
}

// withPresence returns an error for a channel that has no presence.
func (a *API) withPresence(channel string) *Error {
	ns, apiErr := a.namespace(channel)
	if apiErr != nil {
		return apiErr
	}
	if !ns.Options.Presence || a.rules().Pattern(channel) {
		return ErrorNotAvailable
	}
	return nil
}

// PresenceStatsRequest counts the clients that are subscribed to a channel.
type PresenceStatsRequest struct {
	// Channel is the name of the channel.
	Channel string `json:"channel" required:"true"`
}

// PresenceStatsResult counts connections and distinct users.
type PresenceStatsResult struct {
	NumClients uint32 `json:"num_clients"`
	NumUsers   uint32 `json:"num_users"`
}

// presenceStats counts the subscribers of a channel on all nodes.
func (c call) presenceStats(ctx context.Context, req *PresenceStatsRequest) (PresenceStatsResult, *Error) {
	if apiErr := c.withPresence(req.Channel); apiErr != nil {
		return PresenceStatsResult{}, apiErr
	}
	stats, err := c.node.PresenceStats(ctx, req.Channel)
	if err != nil {
		return PresenceStatsResult{}, c.internal(ctx, req.Channel, err)
	}
	return PresenceStatsResult{NumClients: count(stats.NumClients), NumUsers: count(stats.NumUsers)}, nil
}

// count converts a number to the 32 bits of counts on the wire.
func count(n int) uint32 {
	return uint32(min(uint64(max(n, 0)), math.MaxUint32)) //nolint:gosec // bounded on the same line
}
