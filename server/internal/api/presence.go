package api

import (
	"context"
	"encoding/json"
	"math"

	"centrifugo/centrifuge"
)

// PresenceRequest asks who is subscribed to a channel.
type PresenceRequest struct {
	Channel string `json:"channel"`
}

// PresenceResult has the subscribed connections by client id.
type PresenceResult struct {
	Presence map[string]ClientInfo `json:"presence"`
}

// ClientInfo describes a connection. User and Client are never left out.
type ClientInfo struct {
	User     string          `json:"user"`
	Client   string          `json:"client"`
	ConnInfo json.RawMessage `json:"conn_info,omitempty"`
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

// Presence returns who is subscribed to a channel, cluster-wide.
func (a *API) Presence(ctx context.Context, req *PresenceRequest) (PresenceResult, *Error) {
	return call(ctx, a, MethodPresence, req, (*API).presence)
}

func (a *API) presence(ctx context.Context, req *PresenceRequest) (PresenceResult, *Error) {
	if apiErr := a.withPresence(req.Channel); apiErr != nil {
		return PresenceResult{}, apiErr
	}
	entries, err := a.node.Presence(ctx, req.Channel)
	if err != nil {
		return PresenceResult{}, a.internal(ctx, MethodPresence, req.Channel, err)
	}
	presence := make(map[string]ClientInfo, len(entries))
	for id, info := range entries {
		presence[id] = clientInfo(info)
	}
	return PresenceResult{Presence: presence}, nil
}

func (a *API) withPresence(channel string) *Error {
	ns, apiErr := a.namespace(channel)
	if apiErr != nil {
		return apiErr
	}
	if !ns.Options.Presence {
		return ErrorNotAvailable
	}
	return nil
}

// PresenceStatsRequest asks how many are subscribed to a channel.
type PresenceStatsRequest struct {
	Channel string `json:"channel"`
}

// PresenceStatsResult counts connections and distinct users.
type PresenceStatsResult struct {
	NumClients uint32 `json:"num_clients"`
	NumUsers   uint32 `json:"num_users"`
}

// PresenceStats counts the subscribers of a channel, cluster-wide.
func (a *API) PresenceStats(ctx context.Context, req *PresenceStatsRequest) (PresenceStatsResult, *Error) {
	return call(ctx, a, MethodPresenceStats, req, (*API).presenceStats)
}

func (a *API) presenceStats(ctx context.Context, req *PresenceStatsRequest) (PresenceStatsResult, *Error) {
	if apiErr := a.withPresence(req.Channel); apiErr != nil {
		return PresenceStatsResult{}, apiErr
	}
	stats, err := a.node.PresenceStats(ctx, req.Channel)
	if err != nil {
		return PresenceStatsResult{}, a.internal(ctx, MethodPresenceStats, req.Channel, err)
	}
	return PresenceStatsResult{NumClients: count(stats.NumClients), NumUsers: count(stats.NumUsers)}, nil
}

// count is n on the wire, where counts have 32 bits.
func count(n int) uint32 {
	return uint32(min(uint64(max(n, 0)), math.MaxUint32)) //nolint:gosec // bounded on the same line
}
