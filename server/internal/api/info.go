package api

import (
	"context"
	"time"
)

// MaxPattern bounds the pattern of the channels method, in bytes, because every node
// compiles it. A longer pattern is a bad request.
const MaxPattern = 4096

// InfoRequest has no fields.
type InfoRequest struct{}

// InfoResult describes the nodes of the cluster.
type InfoResult struct {
	Nodes []NodeInfo `json:"nodes,omitempty"`
}

// NodeInfo describes a node. Uptime is in seconds.
type NodeInfo struct {
	UID         string       `json:"uid"`
	Name        string       `json:"name"`
	Version     string       `json:"version"`
	NumClients  uint32       `json:"num_clients"`
	NumUsers    uint32       `json:"num_users"`
	NumChannels uint32       `json:"num_channels"`
	Uptime      uint32       `json:"uptime,omitempty"`
	Metrics     *NodeMetrics `json:"metrics,omitempty"`
	NumSubs     uint32       `json:"num_subs"`
}

// NodeMetrics holds what a node counted in an interval.
type NodeMetrics struct {
	// Interval is in seconds.
	Interval float64            `json:"interval,omitempty"`
	Items    map[string]float64 `json:"items,omitempty"`
}

func (c call) info(ctx context.Context, _ *InfoRequest) (InfoResult, *Error) {
	nodes, err := c.node.Info(ctx)
	if err != nil {
		return InfoResult{}, c.internal(ctx, "", err)
	}
	infos := make([]NodeInfo, len(nodes))
	for i, n := range nodes {
		infos[i] = NodeInfo{
			UID:         n.ID,
			Name:        n.Name,
			Version:     n.Version,
			NumClients:  count(n.Clients),
			NumUsers:    count(n.Users),
			NumChannels: count(n.Channels),
			Uptime:      count(int(n.Uptime / time.Second)),
			NumSubs:     count(n.Subscriptions),
		}
		if n.Metrics != nil {
			infos[i].Metrics = &NodeMetrics{Interval: n.Metrics.Interval, Items: n.Metrics.Items}
		}
	}
	return InfoResult{Nodes: infos}, nil
}

// ChannelsRequest asks for the channels that have subscribers.
type ChannelsRequest struct {
	// Pattern is a glob in which * matches any characters. Empty means all channels.
	Pattern string `json:"pattern"`
}

// ChannelsResult holds the channels by name.
type ChannelsResult struct {
	Channels map[string]ChannelInfo `json:"channels"`
}

// ChannelInfo counts the subscribers of a channel.
type ChannelInfo struct {
	NumClients uint32 `json:"num_clients,omitempty"`
}

// channels lists the channels of all nodes. A malformed pattern is an internal error
// (server.md 1.4).
func (c call) channels(ctx context.Context, req *ChannelsRequest) (ChannelsResult, *Error) {
	if len(req.Pattern) > MaxPattern {
		return ChannelsResult{}, ErrorBadRequest
	}
	stats, err := c.node.Channels(ctx, req.Pattern)
	if err != nil {
		return ChannelsResult{}, c.internal(ctx, "", err)
	}
	result := make(map[string]ChannelInfo, len(stats))
	for channel, s := range stats {
		result[channel] = ChannelInfo{NumClients: count(s.Clients)}
	}
	return ChannelsResult{Channels: result}, nil
}
