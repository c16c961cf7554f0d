package main

import (
	"errors"
	"fmt"
	"io"
	"math"

	"centrifugo/bench/internal/costs"
)

// Bytes and times that are not measured but follow from the protocols.
const (
	// overhead of a delivery: the JSON of a push, a frame, and TCP and IP headers.
	overhead = 50 + 4 + 52
	// historyCost is what the script that appends to a history costs Redis more than
	// PUBLISH, in microseconds (docs/reliability.md).
	historyCost = 20
	// busy is the share of a core or a link up to which latency stays low.
	busy = 0.7
)

// cluster is what is computed.
type cluster struct {
	nodes, shards          int
	cores, memory, network float64 // of a node
	connections            float64
	publications, fanout   float64
	payload, history       float64
	costs                  costs.Costs
}

func (c *cluster) check() error {
	for _, v := range []float64{float64(c.nodes), float64(c.shards), c.cores, c.memory, c.network, c.connections, c.fanout, c.publications, c.payload} {
		if v <= 0 || math.IsInf(v, 0) || math.IsNaN(v) {
			return errors.New("all sizes must be positive")
		}
	}
	if c.history < 0 || c.history > 1 {
		return errors.New("history is a share between 0 and 1")
	}
	return nil
}

// receivers is how many nodes have a subscriber of a channel.
func (c *cluster) receivers() float64 {
	n := float64(c.nodes)
	return n * (1 - math.Pow(1-1/n, c.fanout))
}

// resource is something that a cluster may run out of.
type resource struct {
	name       string
	unit       string
	used, has  float64
	per        string  // node or shard
	load, idle float64 // parts of used that grow with publications, and that do not
}

// share is how much of it is used.
func (r *resource) share() float64 { return r.used / r.has }

// resources of each node and each shard at a load of publications a second.
func (c *cluster) resources(publications float64) []resource {
	n, s := float64(c.nodes), float64(c.shards)
	receivers := c.receivers()
	others := receivers * (n - 1) / n // that do not publish
	size := c.payload + overhead
	all := []resource{
		{
			name: "processor", per: "node", unit: "cores", has: c.cores * busy,
			load: publications / n * (c.costs.Publish + others*c.costs.Receive + c.fanout*c.costs.Deliver) / 1e6,
			idle: c.connections / n * c.costs.Idle / 1e6,
		},
		{name: "memory", per: "node", unit: "GiB", has: c.memory * busy, idle: c.connections / n * c.costs.Connection / (1 << 30)},
		{
			name: "network", per: "node", unit: "Gbit/s", has: c.network * busy,
			load: publications / n * (c.fanout + receivers + 1) * size * 8 / 1e9,
		},
		{
			name: "processor", per: "Redis shard", unit: "cores", has: busy,
			load: publications / s * (c.costs.RedisPublish + c.history*historyCost + receivers*math.Max(c.costs.RedisReceive, 0)) / 1e6,
		},
		{name: "network", per: "Redis shard", unit: "Gbit/s", has: c.network * busy, load: publications / s * (receivers + 1) * size * 8 / 1e9},
	}
	for i := range all {
		all[i].used = all[i].load + all[i].idle
	}
	return all
}

// limits returns the rate of publications at which each resource is used up, +Inf for one
// that does not depend on it.
func (c *cluster) limit(r *resource) float64 {
	if r.load <= 0 {
		return math.Inf(1)
	}
	return c.publications * max(r.has-r.idle, 0) / r.load
}

func (c *cluster) report(w io.Writer) {
	fmt.Fprintf(w, "%d nodes with %.0f cores and %.0f GiB, %d Redis shards, %.0f connections, %.0f publications a second to %.0f subscribers each on %.0f nodes: %.1f million deliveries a second.\n",
		c.nodes, c.cores, c.memory, c.shards, c.connections, c.publications, c.fanout, c.receivers(), c.publications*c.fanout/1e6)
	fmt.Fprintf(w, "Costs: %s.\n\n", c.costs.Machine)
	fmt.Fprintf(w, "| Of each | Resource | used | may be used | share | used up at publications/s |\n|---|---|---|---|---|---|\n")
	first, at := "", math.Inf(1)
	for _, r := range c.resources(c.publications) {
		limit := c.limit(&r)
		shown := "never"
		if !math.IsInf(limit, 1) {
			shown = fmt.Sprintf("%.0f", limit)
		}
		fmt.Fprintf(w, "| %s | %s | %.2f %s | %.2f %s | %.0f %% | %s |\n", r.per, r.name, r.used, r.unit, r.has, r.unit, r.share()*100, shown)
		if limit < at {
			first, at = r.per+"'s "+r.name, limit
		}
	}
	fmt.Fprintf(w, "\nWhat is used up first is each %s, at %.0f publications a second.\n\n", first, at)
	fmt.Fprintf(w, "| Failure | clients that come back | half are back after | 99 %% | all | refused meanwhile | busiest node | busiest shard |\n|---|---|---|---|---|---|---|---|\n")
	for _, f := range c.failures() {
		s := c.storm(f)
		fmt.Fprintf(w, "| %s | %.0f | %.1f s | %.1f s | %.1f s | %.1f for each | %.0f %% | %.0f %% |\n", f.name, f.clients, s.half, s.most, s.all, s.refused/f.clients, s.node*100, s.shard*100)
	}
}
