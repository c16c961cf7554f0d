package centrifuge

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// NodeInfo is what a node tells about itself.
type NodeInfo struct {
	ID            string
	Name          string
	Version       string
	Clients       int
	Users         int
	Channels      int
	Subscriptions int
	Uptime        time.Duration
	// Metrics is nil until they have been aggregated once.
	Metrics *NodeMetrics
}

// NodeMetrics are a node's metrics over an interval.
type NodeMetrics struct {
	Interval float64 // seconds
	Items    map[string]float64
}

// Info tells about every node of the cluster, this one first.
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

// SetMetrics gives Info something to tell.
func (n *Node) SetMetrics(m *NodeMetrics) { n.metrics.Store(m) }

// ChannelStats tells about one channel.
type ChannelStats struct{ Clients int }

// survey collects the answers of the other nodes.
type survey struct {
	waiting  map[string]bool // ids of the nodes that have not answered
	channels map[string]int
	err      error
	done     chan struct{} // closed when the last one has answered
}

// Channels lists the channels that have subscribers, with their number in the
// cluster. An empty pattern means all. Every node has to answer within 10 seconds.
func (n *Node) Channels(ctx context.Context, pattern string) (map[string]ChannelStats, error) {
	if err := n.started(); err != nil {
		return nil, err
	}
	counts, err := n.localChannels(pattern)
	if err != nil {
		return nil, err
	}
	if n.cluster.controller != nil {
		others, err := n.cluster.ask(ctx, pattern)
		if err != nil {
			return nil, err
		}
		for channel, clients := range others {
			counts[channel] += clients
		}
	}
	stats := make(map[string]ChannelStats, len(counts))
	for channel, clients := range counts {
		stats[channel] = ChannelStats{Clients: clients}
	}
	return stats, nil
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

// ask surveys the other nodes.
func (cl *cluster) ask(ctx context.Context, pattern string) (map[string]int, error) {
	ctx, cancel := context.WithTimeout(ctx, surveyTimeout)
	defer cancel()
	cl.node.stats.actions.add(actionSurvey)
	cl.mu.Lock()
	s := &survey{waiting: make(map[string]bool), channels: make(map[string]int), done: make(chan struct{})}
	for id := range cl.peers {
		s.waiting[id] = true
	}
	alone := len(s.waiting) == 0
	cl.number++
	number := cl.number
	cl.surveys[number] = s
	cl.mu.Unlock()
	defer func() {
		cl.mu.Lock()
		delete(cl.surveys, number)
		cl.mu.Unlock()
	}()
	if alone {
		return nil, nil //nolint:nilnil // no other node, nothing to add
	}
	if err := cl.publish(ctx, "", order{Op: orderAsk, Survey: number, Pattern: pattern}); err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, errSurveyIncomplete
	case <-s.done:
		return s.channels, s.err
	}
}

func (cl *cluster) answer(o order) {
	reply := order{Op: orderAnswer, Survey: o.Survey}
	counts, err := cl.node.localChannels(o.Pattern)
	if err != nil {
		reply.Error = err.Error()
	}
	reply.Channels = counts
	cl.send(o.From, reply)
}

func (cl *cluster) collect(o order) {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	s := cl.surveys[o.Survey]
	if s == nil || !s.waiting[o.From] {
		return
	}
	for channel, clients := range o.Channels {
		s.channels[channel] += clients
	}
	if o.Error != "" {
		s.err = errors.New(o.Error)
	}
	s.answered(o.From)
}

// answered notes that nothing more is expected of a node. The caller holds cluster.mu.
func (s *survey) answered(id string) {
	if !s.waiting[id] {
		return
	}
	delete(s.waiting, id)
	if len(s.waiting) == 0 {
		close(s.done)
	}
}
