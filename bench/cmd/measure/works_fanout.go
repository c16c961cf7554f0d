//go:build linux

package main

import (
	"fmt"
)

const hist = "hist:bench" // a channel with history and recovery

func fanoutWorks(m *measurement) []work {
	return append(steadyWorks(m), coresWork(m), deflateWork(m), deflateMemoryWork(m), deltaWork(m), slowWork(m))
}

// steadyWorks are the fan-outs that are compared with the floor.
func steadyWorks(m *measurement) []work {
	return []work{
		{
			name: "fanout-1000", title: "Fan-out to 1,000 subscribers",
			note: "100 publications of 128 bytes a second over HTTP, evenly spaced, and saturated: 32 publishers without a pause.",
			sides: []side{
				{name: "floor", run: against(subject{floor: true}, m.paced("fanout")...)},
				{name: "server", run: against(subject{}, m.paced("fanout")...)},
				{name: "positioned", run: against(subject{config: positioned}, m.paced("fanout", "--channel", hist)...)},
				{name: "Protobuf", run: against(subject{}, m.paced("fanout", "--protobuf")...)},
				{name: "saturated", run: against(subject{}, m.paced("fanout", "--rate", "0", "--publishers", "32")...)},
				{name: "Protobuf, saturated", run: against(subject{}, m.paced("fanout", "--rate", "0", "--publishers", "32", "--protobuf")...)},
			},
			columns: delivering,
			figures: []figure{
				{work: "fan-out 100/s to 1,000: CPU per delivery, to the floor", limit: 1.15, places: 2, unit: "x", value: over("server", "floor", deliveryCPU)},
				{work: "fan-out 100/s to 1,000: user-mode CPU per delivery", limit: 2.3, places: 2, unit: " µs", value: just("server", deliveryUser)},
				{work: "the same with history and recovery on (positioned), to without", limit: 1.10, places: 2, unit: "x", value: over("positioned", "server", deliveryCPU)},
				{work: "Protobuf, to JSON", limit: 1, places: 2, unit: "x", value: over("Protobuf", "server", deliveryCPU)},
				{work: "Protobuf saturated, to JSON saturated", limit: 1, places: 2, unit: "x", value: over("Protobuf, saturated", "saturated", deliveryCPU)},
				{work: "fan-out saturated, 32 publishers, 1,000 subscribers: CPU per delivery, to the paced floor", limit: 0.10, places: 3, unit: "x", value: over("saturated", "floor", deliveryCPU),
					remark: func(at lookup) string {
						return fmt.Sprintf("%.2f million deliveries/s, none lost", at("saturated", deliveries)/1e6)
					}},
				{work: "fan-out saturated: p99 latency", limit: 100, unit: " ms", value: just("saturated", latencyP99)},
			},
		},
		{
			name: "fanout-8000", title: "Fan-out to 8,000 subscribers",
			note: "10 publications of 128 bytes a second over HTTP, evenly spaced.",
			sides: []side{
				{name: "floor", run: against(subject{floor: true}, m.paced("fanout", "--clients", "8000", "--rate", "10")...)},
				{name: "server", run: against(subject{}, m.paced("fanout", "--clients", "8000", "--rate", "10")...)},
			},
			columns: delivering,
			figures: []figure{
				{work: "fan-out 10/s to 8,000: CPU per delivery, to the floor", limit: 1.20, places: 2, unit: "x", value: over("server", "floor", deliveryCPU)},
				{work: "fan-out 10/s to 8,000: p99 latency, to the floor", limit: 1.2, places: 2, unit: "x", value: over("server", "floor", latencyP99)},
			},
		},
	}
}

// coresWork shows that lanes scale with cores.
func coresWork(m *measurement) work {
	w := work{
		name: "cores", title: "Lanes and cores", rounds: 3,
		note:    "Saturated as above; the server with GOMAXPROCS 1 and 2, which is also its number of lanes. The load takes a core of the same machine.",
		columns: delivering,
		figures: []figure{{work: "GOMAXPROCS 2, to 1: deliveries/s saturated", limit: shown, places: 2, unit: "x", value: over("GOMAXPROCS=2", "GOMAXPROCS=1", deliveries)}},
	}
	for _, procs := range []string{"GOMAXPROCS=1", "GOMAXPROCS=2"} {
		w.sides = append(w.sides, side{name: procs, run: against(subject{environ: []string{procs}}, m.paced("fanout", "--rate", "0")...)})
	}
	return w
}

var compression = settings{"websocket": settings{"compression": true}}

func deflateWork(m *measurement) work {
	return work{
		name: "deflate", title: "permessage-deflate",
		note: "100 publications of 1 KB a second to 1,000 subscribers that offer compression, and to the same that do not, both with `websocket.compression` on.",
		sides: []side{
			{name: "plain", run: against(subject{config: compression}, m.paced("fanout", "--payload", "1024")...)},
			{name: "deflate", run: against(subject{config: compression}, m.paced("fanout", "--payload", "1024", "--deflate")...)},
		},
		columns: append(delivering[:len(delivering):len(delivering)], column{"bytes/s", deliveredBytes, 0, 0}),
		figures: []figure{{work: "permessage-deflate, 1 KB payload: CPU per delivery, to without", limit: 1.10, places: 2, unit: "x", value: over("deflate", "plain", deliveryCPU)}},
	}
}

func deflateMemoryWork(m *measurement) work {
	args := []string{"fanout", "--clients", "15000", "--rate", "2", "--payload", "1024", "--warmup", "3s"}
	return work{
		name: "deflate-memory", title: "Memory with permessage-deflate",
		note: "15,000 connections that have received 6 publications of 1 KB each; memory as above, 3 s after the last subscription.",
		sides: []side{
			{name: "plain", run: against(subject{config: compression}, m.paused(1, args...)...)},
			{name: "deflate", run: against(subject{config: compression}, m.paused(1, append(args[:len(args):len(args)], "--deflate")...)...)},
		},
		columns: []column{{"bytes per connection", clientMemory, 0, 0}},
		figures: []figure{{work: "permessage-deflate: memory per connection more than without", limit: 200, unit: " B", together: true, signed: true,
			value: func(at lookup) float64 { return at("deflate", clientMemory) - at("plain", clientMemory) }}},
	}
}

// deltas allows them in a channel delta:..., which has no history.
var deltas = settings{"channel": settings{"namespaces": []settings{
	merge(open, settings{"name": "delta", "allowed_delta_types": []string{"fossil"}, "delta_publish": true}),
}}}

// deltaWork publishes a document of which the stamp changes. The clients of the tool
// apply each delta, which its own CPU shows.
func deltaWork(m *measurement) work {
	args := []string{"fanout", "--payload", "2048", "--rate", "50", "--channel", "delta:bench"}
	run := func(more ...string) runner {
		return against(subject{config: deltas}, m.paced(append(args[:len(args):len(args)], more...)...)...)
	}
	perDelivery := func(over, base string) func(lookup) float64 {
		return func(at lookup) float64 {
			return at(over, deliveredBytes) / at(over, deliveries) / (at(base, deliveredBytes) / at(base, deliveries))
		}
	}
	return work{
		name: "delta", title: "Deltas",
		note: "50 publications a second of a JSON document of 2 KB, in which one field changes, to 1,000 subscribers with deltas and to the same without.",
		sides: []side{
			{name: "plain", run: run()},
			{name: "delta", run: run("--delta")},
			{name: "plain, Protobuf", run: run("--protobuf")},
			{name: "delta, Protobuf", run: run("--protobuf", "--delta")},
		},
		columns: append(delivering[:len(delivering):len(delivering)], column{"bytes/s", deliveredBytes, 0, 0}),
		figures: []figure{
			{work: "deltas, 2 KB document with one field changing: bytes, to without", limit: 0.30, places: 3, unit: "x", value: perDelivery("delta", "plain")},
			{work: "the same in Protobuf", limit: 0.30, places: 3, unit: "x", value: perDelivery("delta, Protobuf", "plain, Protobuf")},
			{work: "deltas: CPU per delivery, to without", limit: 1.10, places: 2, unit: "x", value: over("delta", "plain", deliveryCPU)},
		},
	}
}

// slowWork has readers that fall behind until they are closed.
func slowWork(m *measurement) work {
	const budget = 16 << 20
	config := settings{"client": settings{"queue_max_total_size": budget}}
	patient := merge(config, settings{"websocket": settings{"write_timeout": "60s"}})
	args := []string{"--clients", "5000", "--rate", "10", "--payload", "8000", "--warmup", "3s"}
	run := func(c settings, scenario string) runner {
		return against(subject{config: c, metrics: true}, m.paused(2*m.seconds, append([]string{scenario}, args...)...)...)
	}
	closed := func(at lookup, side string) string {
		return fmt.Sprintf("%.0f closed by the server, of them %.0f because of what waited", at(side, closedAsSlow[0])+at(side, closedAsSlow[1]), at(side, closedAsSlow[0]))
	}
	more := func(side string) func(lookup) float64 {
		return func(at lookup) float64 { return (at(side, mostMemory) - at("none", mostMemory)) * megabyte }
	}
	return work{
		name: "slow", title: "Slow readers", rounds: 3,
		note: fmt.Sprintf("10 publications of 8 KB a second to 5,000 subscribers, of which, in the other sides, 50 read 10 KB/s: the kernel keeps a few hundred KB for each of them, then the server has to. By default it closes them when a write takes longer than a second; "+
			"to keep them until the budget is used up, `websocket.write_timeout` is a minute in the last side. `client.queue_max_total_size` is %d MB. Latencies are those of the other 99 %%; memory is the most that the server had.", budget>>20),
		sides: []side{
			{name: "none", run: run(config, "fanout")},
			{name: "slow", run: run(config, "slow")},
			{name: "slow, kept", run: run(patient, "slow")},
		},
		columns: append(delivering[:len(delivering):len(delivering)], column{"server MB at most", mostMemory, 1, megabyte}),
		figures: []figure{
			{work: "slow readers, 1 % at 10 KB/s among 5,000: p99 of the others, to none slow", limit: 1.05, places: 2, unit: "x", value: over("slow", "none", latencyP99),
				remark: func(at lookup) string { return closed(at, "slow") }},
			{work: "slow readers that are kept until the budget is used up: p99 of the others, to none slow", limit: 1.05, places: 2, unit: "x", value: over("slow, kept", "none", latencyP99)},
			{work: fmt.Sprintf("slow readers: memory of the server more than without, budget %d MB", budget>>20), limit: budget >> 20, places: 1, unit: " MB", together: true, signed: true, value: more("slow, kept"),
				remark: func(at lookup) string { return closed(at, "slow, kept") }},
		},
	}
}
