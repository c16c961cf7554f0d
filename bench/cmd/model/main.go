// Command model computes what a cluster uses, what it runs out of first, and how long its
// clients need to come back after a failure, from the costs that bench/cmd/measure has
// fitted on one machine: docs/scale.md.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
)

func main() {
	c := cluster{}
	file := flag.String("costs", "bench/costs.json", "file with the costs")
	flag.IntVar(&c.nodes, "nodes", 200, "nodes")
	flag.IntVar(&c.shards, "shards", 8, "Redis shards, of which each uses one core")
	flag.Float64Var(&c.cores, "cores", 8, "cores of a node, as fast as those of the machine that was measured")
	flag.Float64Var(&c.memory, "memory", 16, "memory of a node in GiB")
	flag.Float64Var(&c.network, "network", 10, "network of a node and of a shard in Gbit/s")
	flag.Float64Var(&c.connections, "connections", 20e6, "connections, with one subscription each")
	flag.Float64Var(&c.publications, "publications", 5000, "publications a second")
	flag.Float64Var(&c.fanout, "fanout", 100, "subscribers of a channel, spread over the nodes")
	flag.Float64Var(&c.payload, "payload", 128, "bytes of a payload")
	flag.Float64Var(&c.history, "history", 0.5, "share of the publications that go into history")
	flag.Parse()
	if err := run(*file, &c); err != nil {
		log.Fatal(err)
	}
}

func run(file string, c *cluster) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("reading costs, which `make bench` writes: %w", err)
	}
	if err := json.Unmarshal(text, &c.costs); err != nil {
		return fmt.Errorf("reading costs from %s: %w", file, err)
	}
	if err := c.check(); err != nil {
		return err
	}
	c.report(os.Stdout)
	return nil
}
