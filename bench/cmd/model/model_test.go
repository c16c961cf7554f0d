package main

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"centrifugo/bench/internal/costs"
)

func sampleCluster() *cluster {
	return &cluster{
		nodes: 10, shards: 2, cores: 4, memory: 8, network: 10, connections: 100_000, publications: 1000, fanout: 10, payload: 100, history: 0.5,
		costs: costs.Costs{Publish: 60, Receive: 20, Deliver: 5, RedisPublish: 10, RedisReceive: 2, RedisSubscribe: 5, Connect: 100, Idle: 1, Connection: 4000, Machine: "a machine"},
	}
}

// TestResources compares the model with figures that were computed by hand.
func TestResources(t *testing.T) {
	c := sampleCluster()
	receivers := 10 * (1 - math.Pow(0.9, 10)) // 6.51 nodes
	want := []float64{
		100*(60+receivers*0.9*20+10*5)/1e6 + 10_000*1.0/1e6,
		10_000 * 4000.0 / (1 << 30),
		100 * (10 + receivers + 1) * 206 * 8 / 1e9,
		500 * (10 + 10 + receivers*2) / 1e6,
		500 * (receivers + 1) * 206 * 8 / 1e9,
	}
	for i, r := range c.resources(c.publications) {
		if math.Abs(r.used/want[i]-1) > 1e-9 {
			t.Errorf("%s of a %s used = %v; want %v", r.name, r.per, r.used, want[i])
		}
		limit := c.limit(&r)
		if r.load == 0 {
			if !math.IsInf(limit, 1) {
				t.Errorf("%s of a %s is used up at %v; want never", r.name, r.per, limit)
			}
			continue
		}
		if got := c.resources(limit)[i].share(); math.Abs(got-1) > 1e-9 {
			t.Errorf("share of %s of a %s at its limit = %v; want 1", r.name, r.per, got)
		}
	}
}

// TestStorm: with capacity for all, clients are back when their first delay has passed; a
// cluster that can take a tenth of them in that time refuses, and takes longer.
func TestStorm(t *testing.T) {
	c := sampleCluster()
	f := failure{clients: 10_000, survivors: 9}
	s := c.storm(f)
	if s.refused != 0 || math.Abs(s.all-firstDelay) > 2*step || math.Abs(s.half-firstDelay/2) > 2*step {
		t.Errorf("storm within the capacity = %+v; want all back after %v s, none refused", s, firstDelay)
	}
	c.costs.Connect = 20_000 // 200 clients a second on each node
	s = c.storm(f)
	if least := 10_000 / (9 * 200.0); s.refused == 0 || s.all < least || s.all > 60 {
		t.Errorf("storm above the capacity = %+v; want some refused, and all back after %v to 60 s", s, least)
	}
	if s.node > 1.001 {
		t.Errorf("share of the busiest node = %v; want at most 1", s.node)
	}
	f.release = 1000
	if s := c.storm(f); s.refused != 0 || s.all < 10 {
		t.Errorf("storm with 1,000 clients released a second = %+v; want none refused, and 10 s or more", s)
	}
}

func TestReport(t *testing.T) {
	var b bytes.Buffer
	c := sampleCluster()
	if err := c.check(); err != nil {
		t.Fatal(err)
	}
	c.report(&b)
	for _, want := range []string{"10 nodes with 4 cores", "a machine", "What is used up first is each Redis shard's processor", "a node is killed", "all clients fails"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the report is %s; want %q in it", &b, want)
		}
	}
	for _, change := range []func(*cluster){
		func(c *cluster) { c.nodes = 0 }, func(c *cluster) { c.cores = -1 }, func(c *cluster) { c.payload = math.NaN() },
		func(c *cluster) { c.history = 1.1 }, func(c *cluster) { c.connections = math.Inf(1) },
	} {
		c := sampleCluster()
		change(c)
		if err := c.check(); err == nil {
			t.Errorf("check of %+v = nil; want an error", c)
		}
	}
}
