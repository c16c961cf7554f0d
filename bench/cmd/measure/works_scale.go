//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"centrifugo/bench/internal/costs"
)

// shapeRate is publications a second, over the HTTP API of the first node. It is the same
// for all shapes, because a process that sleeps between two publications uses more for
// each.
const shapeRate = 200

// shape is a cluster by the subscribers of one channel on each of its nodes.
type shape []int

func (s shape) name() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(s)), " ", " + "), "[]") + " subscribers"
}

// fitted are the clusters from which the costs are taken, checked those that must follow.
var (
	fitted  = []shape{{10}, {400}, {0, 10}, {10, 10}, {10, 10, 10}}
	checked = []shape{{150, 250}, {0, 100, 300}, {50, 100, 150}}
)

// scaleWork fits the model of bench/cmd/model to measurements, and checks it with clusters
// of two and three nodes.
func scaleWork(m *measurement) work {
	w := work{
		name: "scale", title: "Costs of a cluster", rounds: 3,
		note: fmt.Sprintf("%d publications a second; nodes and one Redis share this machine. ", shapeRate) + "Costs are fitted to " + shapes(fitted) + ", and compared with what was measured for " + shapes(checked) +
			". The first number is that of the node that gets the calls of the API.",
		columns: []column{{"CPU µs per publication: first node", "node0", 0, 0}, {"second", "node1", 0, 0}, {"third", "node2", 0, 0}, {"Redis", "redis", 0, 0}},
	}
	for _, s := range append(fitted[:len(fitted):len(fitted)], checked...) {
		w.sides = append(w.sides, side{name: s.name(), run: s.run})
	}
	one := func(args ...string) runner { return onRedis(subject{}, 1, args...) }
	w.sides = append(w.sides,
		side{name: "idle", run: one(m.paused(10, "idle", "--clients", "4000", "--channels-per-client", "1")...)},
		side{name: "connect", run: one(m.paced("storm")...)})
	worst := func(at lookup) float64 {
		c, err := costsOf(at)
		if err != nil {
			return math.NaN()
		}
		return c.Worst(runsOf(at, checked)) * 100
	}
	w.figures = []figure{{work: "cost model: largest error for nodes and Redis in clusters of two and three nodes", limit: 20, unit: " %", together: true, value: worst}}
	return w
}

func shapes(all []shape) string {
	var names []string
	for _, s := range all {
		names = append(names, s.name())
	}
	return strings.Join(names, ", ")
}

// runsOf returns the medians of shapes.
func runsOf(at lookup, all []shape) (runs []costs.Run) {
	for _, s := range all {
		r := costs.Run{Subscribers: s, Redis: at(s.name(), "redis")}
		for i := range s {
			r.Nodes = append(r.Nodes, at(s.name(), "node"+strconv.Itoa(i)))
		}
		runs = append(runs, r)
	}
	return runs
}

// costsOf fits the costs to the medians.
func costsOf(at lookup) (c costs.Costs, err error) {
	c = costs.Costs{
		RedisSubscribe: at("idle", "redis.cpu_us_per_client"), Idle: at("idle", "server.cpu_us_per_client_second"),
		Connection: at("idle", clientMemory), Connect: at("connect", connectCPU), Machine: machine(),
	}
	return c, c.Fit(runsOf(at, fitted))
}

// writeCosts writes the costs to a file, unless they were not measured.
func writeCosts(file string, done []outcome) error {
	for _, o := range done {
		if o.work.name != "scale" || o.err != nil {
			continue
		}
		c, err := costsOf(o.samples.medians)
		if err != nil {
			return err
		}
		text, err := json.MarshalIndent(c, "", "  ")
		if err != nil {
			return err
		}
		return os.WriteFile(file, append(text, '\n'), 0o644)
	}
	return nil
}

// run measures the processor time of each node and of Redis per publication.
func (s shape) run(ctx context.Context, m *measurement) (sample, error) {
	cluster, err := m.startCluster(ctx, subject{}, len(s))
	if err != nil {
		return nil, err
	}
	defer cluster.stop()
	nodes := cluster.nodes
	loaded := 0 // the last node with subscribers, which has those of the load that publishes
	for i, n := range s {
		if n > 0 {
			loaded = i
		}
	}
	for i, n := range s {
		if n == 0 || i == loaded {
			continue
		}
		c, err := m.gather(ctx, nodes[i], n, "bench")
		if err != nil {
			return nil, err
		}
		defer c.leave()
	}
	ended := make(chan error, 1)
	go func() {
		_, err := m.load(ctx, nodes[loaded], "fanout", "--api", nodes[0].url("http")+"/api", "--clients", strconv.Itoa(s[loaded]),
			"--rate", strconv.Itoa(shapeRate), "--warmup", "1s", "--duration", strconv.Itoa(2*m.seconds+3)+"s")
		ended <- err
	}()
	got, err := sampleShape(ctx, m, cluster)
	if err2 := <-ended; err == nil {
		err = err2
	}
	return got, err
}

// sampleShape measures while the load runs.
func sampleShape(ctx context.Context, m *measurement, c *redisCluster) (sample, error) {
	const steady = 2500 * time.Millisecond // connections are made, and what is needed once
	if err := pause(ctx, steady); err != nil {
		return nil, err
	}
	before, start, err := used(ctx, c)
	if err != nil {
		return nil, err
	}
	if err := pause(ctx, time.Duration(2*m.seconds)*time.Second); err != nil {
		return nil, err
	}
	after, end, err := used(ctx, c)
	if err != nil {
		return nil, err
	}
	publications := end.Sub(start).Seconds() * float64(shapeRate)
	got := make(sample)
	for name := range after {
		got[name] = (after[name] - before[name]) * 1e6 / publications
	}
	return got, nil
}

// used returns the processor time in seconds that nodes and Redis have used, and when.
func used(ctx context.Context, c *redisCluster) (sample, time.Time, error) {
	s := make(sample)
	now := time.Now()
	for i, p := range c.nodes {
		seconds, err := processorTime(p.cmd.Process.Pid)
		if err != nil {
			return nil, now, err
		}
		s["node"+strconv.Itoa(i)] = seconds
	}
	stats, err := c.redis.stats(ctx)
	if err != nil {
		return nil, now, err
	}
	s["redis"] = stats["cpu"]
	return s, now, nil
}

// processorTime returns what a process has used, in user and system mode. Its clock of
// clock_getcpuclockid(3) counts nanoseconds, proc(5) ticks of 10 ms.
func processorTime(pid int) (seconds float64, err error) {
	const scheduled = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("reading the processor time of %d: %w", pid, err)
	}
	return time.Duration(t.Nano()).Seconds(), nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
