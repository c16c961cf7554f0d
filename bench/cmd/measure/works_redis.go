//go:build linux

package main

import "fmt"

const (
	redisCPU   = "redis.cpu_us_per_publication"
	redisReads = "redis.reads"
)

// redisWorks compare a node on Redis with one on the memory engine.
func redisWorks(m *measurement) []work {
	unique := m.paced("unique")
	recover := m.paced("recover", "--clients", "2000", "--missed", "100", "--channel", hist)
	w := []work{
		{
			name: "redis-fanout", title: "Fan-out with Redis", rounds: 3,
			note: "As above to 1,000 subscribers; Redis, server and load share the machine.",
			sides: []side{
				{name: "memory", run: against(subject{}, m.paced("fanout")...)},
				{name: "Redis", run: onRedis(subject{}, 1, m.paced("fanout")...)},
				{name: "memory, positioned", run: against(subject{config: positioned}, m.paced("fanout", "--channel", hist)...)},
				{name: "Redis, positioned", run: onRedis(subject{config: positioned}, 1, m.paced("fanout", "--channel", hist)...)},
			},
			columns: append(delivering[:len(delivering):len(delivering)], column{"CPU µs of Redis per publication", redisCPU, 1, 0}),
			figures: []figure{
				{work: "fan-out 100/s to 1,000 with Redis: CPU per delivery, to the memory engine", limit: 1.1, places: 2, unit: "x", value: over("Redis", "memory", deliveryCPU)},
				{work: "the same positioned", limit: 1.1, places: 2, unit: "x", value: over("Redis, positioned", "memory, positioned", deliveryCPU)},
			},
		},
		{
			name: "redis-unique", title: "Unique channels with Redis", rounds: 3,
			note: "2,000 publications a second over HTTP, each to a channel with one subscriber; with three nodes all subscribers are on the first.",
			sides: []side{
				{name: "memory", run: against(subject{}, unique...)},
				{name: "one node", run: onRedis(subject{}, 1, unique...)},
				{name: "three nodes", run: onRedis(subject{}, 3, unique...)},
			},
			columns: []column{{"CPU µs per publication", publicationCPU, 1, 0}, {"CPU µs of Redis per publication", redisCPU, 1, 0}, {"p50 ms", latencyP50, 2, 0}, {"p99 ms", latencyP99, 2, 0}},
			figures: []figure{
				{work: "unique channels with Redis: CPU of the node per publication, more than on the memory engine", limit: 25, places: 1, unit: " µs", signed: true,
					value: func(at lookup) float64 { return at("one node", publicationCPU) - at("memory", publicationCPU) }},
				{work: "CPU of Redis per publication, three nodes to one", limit: 1.15, places: 2, unit: "x", value: over("three nodes", "one node", redisCPU)},
			},
		},
		{
			name: "redis-recover", title: "Recovery with Redis", rounds: 3,
			note:    "2,000 clients of one channel come back at once and recover 100 publications. Reads are the XRANGE and XREVRANGE commands that Redis has executed during the whole run.",
			sides:   []side{{name: "Redis", run: onRedis(subject{config: positioned}, 1, recover...)}},
			columns: []column{{"CPU µs per connection", connectCPU, 1, 0}, {"connections/s", "connect.per_second", 0, 0}, {"reads of the stream", redisReads, 0, 0}},
			figures: []figure{{work: "2,000 clients that recover at once with Redis: reads of the stream", limit: 200, value: just("Redis", redisReads),
				remark: func(at lookup) string { return fmt.Sprintf("%.0f clients for each", 2000/at("Redis", redisReads)) }}},
		},
	}
	return w
}
