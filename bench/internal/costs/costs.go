// Package costs is a linear model of what a cluster uses: so much for each publication, for
// each node that receives it, for each delivery, and so on. bench/cmd/measure fits it, and
// bench/cmd/model computes clusters with it that no test has.
package costs

import (
	"errors"
	"math"
)

// Costs are processor time in microseconds and memory in bytes, on one machine.
type Costs struct {
	// Publish is for the node that gets a call of the HTTP API, Receive for each other node
	// with subscribers of the channel, Deliver for each of these. The node that publishes
	// receives while it reads the answer, which costs next to nothing more.
	Publish, Receive, Deliver float64
	// RedisPublish is for the shard of the channel, RedisReceive for each node to which it
	// sends the publication, RedisSubscribe for each channel that a node begins or ceases
	// to receive.
	RedisPublish, RedisReceive, RedisSubscribe float64
	// Connect is for a connection with one subscription, Idle for each second of it.
	Connect, Idle float64
	// Connection is the memory of a connection with one subscription.
	Connection float64
	// Machine says where they were measured.
	Machine string
}

// Run is a load on a cluster, and what was used for each publication.
type Run struct {
	// Subscribers of the channel on each node. The first node gets the calls.
	Subscribers []int
	// Nodes and Redis are microseconds of each node and of Redis.
	Nodes []float64
	Redis float64
}

// terms of the nodes' equations: publish, receive, deliver.
func terms(subscribers []int, node int) [3]float64 {
	t := [3]float64{2: float64(subscribers[node])}
	switch {
	case node == 0:
		t[0] = 1
	case subscribers[node] > 0:
		t[1] = 1
	}
	return t
}

// receivers is the number of nodes with subscribers.
func receivers(subscribers []int) (n float64) {
	for _, s := range subscribers {
		if s > 0 {
			n++
		}
	}
	return n
}

// Predict returns what a publication costs nodes and Redis.
func (c *Costs) Predict(subscribers []int) (nodes []float64, redis float64) {
	for i := range subscribers {
		t := terms(subscribers, i)
		nodes = append(nodes, t[0]*c.Publish+t[1]*c.Receive+t[2]*c.Deliver)
	}
	return nodes, c.RedisPublish + receivers(subscribers)*c.RedisReceive
}

// Worst returns the largest relative error of the predictions for runs, over all nodes that
// have something to do and Redis; 0.1 is ten percent.
func (c *Costs) Worst(runs []Run) (worst float64) {
	for _, r := range runs {
		nodes, redis := c.Predict(r.Subscribers)
		worst = max(worst, math.Abs(redis/r.Redis-1))
		for i, predicted := range nodes {
			if predicted > 0 {
				worst = max(worst, math.Abs(predicted/r.Nodes[i]-1))
			}
		}
	}
	return worst
}

// ErrFit means that runs do not tell the costs apart.
var ErrFit = errors.New("the runs do not tell the costs apart")

// Fit sets the costs of publications to those that predict the runs best: the squares of
// the relative errors are least.
func (c *Costs) Fit(runs []Run) error {
	var nodes, redis system
	for _, r := range runs {
		redis.add([3]float64{1, receivers(r.Subscribers)}, r.Redis)
		for i, used := range r.Nodes {
			if t := terms(r.Subscribers, i); t != [3]float64{} {
				nodes.add(t, used)
			}
		}
	}
	n, ok := nodes.solve(3)
	q, ok2 := redis.solve(2)
	if !ok || !ok2 {
		return ErrFit
	}
	c.Publish, c.Receive, c.Deliver = n[0], n[1], n[2]
	c.RedisPublish, c.RedisReceive = q[0], q[1]
	return nil
}

// system holds the normal equations of a least-squares fit of up to three unknowns, the
// right sides in the last column.
type system [3][4]float64

// add adds the equation terms * unknowns = value, divided by value.
func (s *system) add(terms [3]float64, value float64) {
	if value <= 0 {
		return
	}
	for i := range 3 {
		for j := range 3 {
			s[i][j] += terms[i] * terms[j] / (value * value)
		}
		s[i][3] += terms[i] / value
	}
}

// solve solves the first n equations by elimination with pivots.
func (s *system) solve(n int) (x [3]float64, ok bool) {
	for i := range n {
		pivot := i
		for j := i + 1; j < n; j++ {
			if math.Abs(s[j][i]) > math.Abs(s[pivot][i]) {
				pivot = j
			}
		}
		s[i], s[pivot] = s[pivot], s[i]
		if math.Abs(s[i][i]) < 1e-12 {
			return x, false
		}
		for j := i + 1; j < n; j++ {
			f := s[j][i] / s[i][i]
			for k := i; k < 4; k++ {
				s[j][k] -= f * s[i][k]
			}
		}
	}
	for i := n - 1; i >= 0; i-- {
		x[i] = s[i][3]
		for j := i + 1; j < n; j++ {
			x[i] -= s[i][j] * x[j]
		}
		x[i] /= s[i][i]
	}
	return x, true
}
