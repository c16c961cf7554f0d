//go:build linux

package main

import "fmt"

// channelWorks are those with many channels.
func channelWorks(m *measurement) []work {
	return []work{
		{
			name: "unique", title: "Unique channels over the HTTP API", rounds: 3,
			note: "1,000 clients with a channel each; 2,000 publications of 128 bytes a second over 32 persistent connections of the HTTP API.",
			sides: []side{
				{name: "server", run: against(subject{}, m.paced("unique", "--rate", "2000")...)},
			},
			columns: []column{{"CPU µs per publication", publicationCPU, 1, 0}, {"p50 ms", latencyP50, 2, 0}, {"p99 ms", latencyP99, 2, 0}, {"publications/s", "publish.per_second", 0, 0}, loadCPU},
			figures: []figure{{work: "unique channels, 2,000/s over the HTTP API: CPU per publication, total", limit: shown, places: 1, unit: " µs",
				value: just("server", publicationCPU)}},
		},
		profileWork(m),
		{
			name: "publish", title: "The publish path",
			note: "`go test ./server/internal/apihttp -bench BenchmarkPublish/usual`: a whole request of the API in memory, from its body to the node and the answer, with net/http itself left out.",
			sides: []side{
				{name: "publish", run: benchmark("./server/internal/apihttp", "^BenchmarkPublish$/^usual$", "200ms")},
			},
			columns: []column{{"µs", "Publish/usual ns/op", 2, 1e-3}, {"allocations", "Publish/usual allocs/op", 0, 0}},
			figures: []figure{
				{work: "publish path itself", limit: 3, places: 2, unit: " µs", value: func(at lookup) float64 { return at("publish", "Publish/usual ns/op") / 1000 }},
				{work: "publish path itself: allocations", limit: 4, value: just("publish", "Publish/usual allocs/op")},
			},
		},
		{
			name: "million", title: "A million channels", rounds: 2,
			note: "10 connections that subscribe to 100,000 channels each, no channel twice; memory 10 s after the last subscription, less the memory before the first connection.",
			sides: []side{{name: "server", run: against(subject{config: manyChannels}, m.paused(1,
				"idle", "--clients", "10", "--channels-per-client", "100000", "--warmup", "10s")...)}},
			columns: []column{{"bytes per subscription", channelMemory, 0, 0}, {"server MB at most", mostMemory, 0, megabyte},
				{"subscriptions/s", "connect.subscriptions_per_second", 0, 0}},
			figures: []figure{{work: "1,000,000 channels with one subscriber each: memory per subscription", limit: 400, unit: " B", value: just("server", channelMemory)}},
		},
	}
}

// manyChannels lets one client have all.
var manyChannels = settings{"client": settings{"channel_limit": 1_000_000}}

// profileWork looks where the CPU of a publication over HTTP goes.
func profileWork(m *measurement) work {
	w := work{
		name: "profile", title: "Where the CPU of a publication over HTTP goes", rounds: 1,
		note: "A CPU profile from the debug endpoint during the same load. A sample is attributed by the innermost frame of its stack that belongs to one of these groups: " +
			"*sockets* are system calls on sockets and epoll, the runtime's network poller among them, with the kernel's time in them; *net/http* is that package and what it parses with (net/textproto, net/url, bufio, mime, context, time); " +
			"*scheduler* are stacks of the Go scheduler alone: goroutines that wait for a request are woken and parked; *collector* is garbage collection; *ours* is all code of this project that is innermost, " +
			"middleware and the decoding of the request's JSON too, with what it calls in the runtime.",
		sides: []side{{name: "server", run: profiled(subject{config: settings{"debug": settings{"enabled": true}}}, 4*m.seconds, "unique", "--rate", "2000")}},
		figures: []figure{{work: "unique channels, 2,000/s over the HTTP API: share of the CPU that is HTTP parsing and writes (sockets, net/http, scheduler)", limit: 80, least: true, unit: " %",
			value: func(at lookup) float64 {
				return 100 * (at("server", "profile.sockets") + at("server", "profile.net/http") + at("server", "profile.scheduler"))
			},
			remark: func(at lookup) string {
				return fmt.Sprintf("without the scheduler %.0f %%", 100*(at("server", "profile.sockets")+at("server", "profile.net/http")))
			},
		}},
	}
	for _, owner := range owners {
		w.columns = append(w.columns, column{owner + " %", "profile." + owner, 1, 100})
	}
	return w
}
