package main

import "math"

// step is the time that a storm advances at once, in seconds.
const step = 0.05

// Delays of the official SDKs before they connect again: a random part of a time that
// doubles from the first to the last with each attempt.
const (
	firstDelay = 0.5
	lastDelay  = 20
	attempts   = 8 // after which the delay does not grow any more
)

// maxStorm ends a storm that does not end, in seconds.
const maxStorm = 3600

// failure is an event after which clients connect again.
type failure struct {
	name      string
	clients   float64
	survivors int     // nodes to which they go
	release   float64 // clients that lose their connection in a second; 0 for all at once
}

// failures are the usual ones of a cluster.
func (c *cluster) failures() []failure {
	of := c.connections / float64(c.nodes)
	list := []failure{{name: "a node is killed", clients: of, survivors: max(c.nodes-1, 1)}}
	if tenth := c.nodes / 10; tenth > 1 {
		list = append(list, failure{name: "a tenth of the nodes are killed", clients: of * float64(tenth), survivors: c.nodes - tenth})
	}
	return append(list,
		failure{name: "a node is restarted (shutdown.release_rate 5000)", clients: of, survivors: max(c.nodes-1, 1), release: 5000},
		failure{name: "the network of all clients fails for a moment", clients: c.connections, survivors: c.nodes})
}

// storm is what comes of a failure.
type storm struct {
	half, most, all float64 // seconds until so many are back
	refused         float64 // attempts that were answered with 503
	node, shard     float64 // highest share of a node's and a shard's processor that connects have used
}

// storm computes how clients come back, in steps. Clients are not computed one by one: those
// that have failed equally often are spread evenly over their delay. A node admits what its
// idle cores can connect, as client.connection_max_delay makes it do.
func (c *cluster) storm(f failure) (s storm) {
	// waiting[a][i] are clients after a failed attempts that try again in step i from now.
	var waiting [attempts][]float64
	for a := range waiting {
		waiting[a] = make([]float64, int(math.Min(firstDelay*math.Pow(2, float64(a)), lastDelay)/step))
	}
	all := c.resources(c.publications)
	node, shard := &all[0], &all[3]
	idleCores := math.Max(c.cores-node.used, c.cores*0.05)
	perNode := idleCores * step * 1e6 / c.costs.Connect
	perShard := math.Max(1-shard.used, 0.05) * step * 1e6 / c.costs.RedisSubscribe
	capacity := math.Min(perNode*float64(f.survivors), perShard*float64(c.shards))
	lost, back := 0.0, 0.0
	for t := 0.0; back < f.clients*0.99999 && t < maxStorm; t += step {
		leaving := f.clients - lost
		if f.release > 0 {
			leaving = math.Min(leaving, f.release*step)
		}
		lost += leaving
		spread(waiting[0], leaving)
		trying, failed := 0.0, [attempts]float64{}
		for a := range waiting {
			failed[a] = waiting[a][0]
			trying += failed[a]
			copy(waiting[a], waiting[a][1:])
			waiting[a][len(waiting[a])-1] = 0
		}
		admitted := math.Min(trying, capacity)
		s.node = max(s.node, admitted/float64(f.survivors)*c.costs.Connect/(step*1e6*c.cores)+node.used/c.cores)
		s.shard = max(s.shard, admitted/float64(c.shards)*c.costs.RedisSubscribe/(step*1e6)+shard.used)
		back += admitted
		s.refused += trying - admitted
		if trying > 0 {
			for a := range failed {
				spread(waiting[min(a+1, attempts-1)], failed[a]*(1-admitted/trying))
			}
		}
		for _, m := range []struct {
			share float64
			at    *float64
		}{{0.5, &s.half}, {0.99, &s.most}, {0.99999, &s.all}} {
			if *m.at == 0 && back >= f.clients*m.share {
				*m.at = t + step
			}
		}
	}
	return s
}

// spread adds clients evenly to the steps of a delay.
func spread(steps []float64, clients float64) {
	for i := range steps {
		steps[i] += clients / float64(len(steps))
	}
}
