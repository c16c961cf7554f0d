package centrifuge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// NodeInfo describes a node of the cluster.
type NodeInfo struct {
	ID            string
	Name          string
	Version       string // of the program
	Clients       int    // connections that have connected
	Users         int
	Channels      int // that have subscribers on the node
	Subscriptions int
	Uptime        time.Duration
	// Metrics are those of the last call of SetMetrics, nil before it.
	Metrics *NodeMetrics
}

// NodeMetrics are figures that an application shows in Info. The node does not
// interpret them.
type NodeMetrics struct {
	// Interval over which the items were collected, in seconds.
	Interval float64
	// Items by name.
	Items map[string]float64
}

// Info describes the nodes of the cluster, this one first. Those of other nodes are up
// to 3 seconds old. The error is ErrNotRunning before Run.
func (n *Node) Info(context.Context) ([]NodeInfo, error) {
	if err := n.started(); err != nil {
		return nil, err
	}
	return append([]NodeInfo{n.localInfo()}, n.cluster.infos()...), nil
}

func (n *Node) localInfo() NodeInfo {
	channels, subscriptions := n.hub.Count()
	return NodeInfo{
		ID: n.id, Name: n.config.Name, Version: n.config.Version,
		Clients: int(n.registry.known.Load()), Users: n.registry.numUsers(),
		Channels: channels, Subscriptions: subscriptions, Uptime: n.timeline.now().since(1),
		Metrics: n.metrics.Load(),
	}
}

// SetMetrics sets the metrics that this node reports in Info, on every node of the
// cluster. The caller must not change m afterwards. Items that are not finite numbers,
// and items above 16,384, are not sent to other nodes. It is safe for concurrent use.
func (n *Node) SetMetrics(m *NodeMetrics) { n.metrics.Store(m) }

// ChannelStats describes a channel.
type ChannelStats struct {
	Clients int // subscribers in the cluster
}

// surveyChannels is the operation by which Channels asks other nodes. Its data are the
// pattern, and its answer is a JSON object of the number of subscribers by channel.
const surveyChannels = reservedOps + "channels"

// Channels returns the channels that have subscribers, with their number in the
// cluster. An empty pattern selects all channels; see Config.MatchChannel. Every node
// has to answer within 10 seconds, otherwise the error is a *SurveyError.
func (n *Node) Channels(ctx context.Context, pattern string) (map[string]ChannelStats, error) {
	if err := n.started(); err != nil {
		return nil, err
	}
	counts, err := n.localChannels(pattern)
	if err != nil {
		return nil, err
	}
	if n.cluster.controller != nil {
		if err := n.addOtherChannels(ctx, pattern, counts); err != nil {
			return nil, err
		}
	}
	stats := make(map[string]ChannelStats, len(counts))
	for channel, clients := range counts {
		stats[channel] = ChannelStats{Clients: clients}
	}
	return stats, nil
}

// addOtherChannels adds the subscribers on other nodes to counts.
func (n *Node) addOtherChannels(ctx context.Context, pattern string, counts map[string]int) error {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	n.stats.actions.add(actionSurvey)
	results, missing, err := n.cluster.survey(ctx, surveyChannels, []byte(pattern), "")
	if err = errors.Join(err, incomplete(ctx, missing)); err != nil {
		return fmt.Errorf("listing channels: %w", err)
	}
	for id, result := range results {
		if result.Error != nil {
			return fmt.Errorf("listing channels of node %s: %w", id, result.Error)
		}
		var others map[string]int
		if err := json.Unmarshal(result.Data, &others); err != nil {
			return fmt.Errorf("listing channels of node %s: %w", id, err)
		}
		for channel, clients := range others {
			counts[channel] += clients
		}
	}
	return nil
}

func (n *Node) localChannels(pattern string) (counts map[string]int, err error) {
	defer n.logger.caught(&err, "matching channels")
	match := func(string) bool { return true }
	if pattern != "" {
		if match, err = n.config.MatchChannel(pattern); err != nil {
			return nil, fmt.Errorf("channel pattern: %w", err)
		}
	}
	counts = make(map[string]int)
	n.hub.Each(func(channel string, subscribers int) {
		if match(channel) {
			counts[channel] = subscribers
		}
	})
	return counts, nil
}

// channelsHere answers a survey for channels.
func (n *Node) channelsHere(pattern string) ([]byte, error) {
	counts, err := n.localChannels(pattern)
	if err != nil {
		return nil, err
	}
	return json.Marshal(counts)
}
