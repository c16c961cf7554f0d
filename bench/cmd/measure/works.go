//go:build linux

package main

import "fmt"

// works are all of them, in the order of the report.
func works(m *measurement) []work {
	all := idleWorks(m)
	all = append(all, fanoutWorks(m)...)
	all = append(all, transportWorks(m)...)
	all = append(all, channelWorks(m)...)
	all = append(all, stormWorks(m)...)
	all = append(all, growthWorks(m)...)
	all = append(all, redisWorks(m)...)
	all = append(all, scaleWork(m))
	return append(all, codeWorks()...)
}

// Names of figures of the tool that are used in several places.
const (
	deliveryCPU    = "server.cpu_us_per_delivery"
	deliveryUser   = "server.user_us_per_delivery"
	connectCPU     = "server.cpu_us_per_connect"
	latencyP50     = "deliver.latency.p50_ms"
	latencyP99     = "deliver.latency.p99_ms"
	deliveries     = "deliver.per_second"
	deliveredBytes = "deliver.bytes_per_second"
	clientMemory   = "server.rss_per_client_bytes"
	channelMemory  = "server.rss_per_subscription_bytes"
	publicationCPU = "server.cpu_us_per_publication"
	mostMemory     = "server.rss_max_bytes"
)

// loadCPU is how busy the tool was: near one core it is what is measured.
var loadCPU = column{"load, cores", "load.cores", 2, 0}

const megabyte = 1.0 / (1 << 20) // the scale that shows bytes in MB

// delivering are the columns of works that deliver.
var delivering = []column{
	{"CPU µs per delivery", deliveryCPU, 2, 0}, {"of it user", deliveryUser, 2, 0},
	{"p50 ms", latencyP50, 1, 0}, {"p99 ms", latencyP99, 1, 0}, {"deliveries/s", deliveries, 0, 0}, loadCPU,
}

// over is one figure of a side by that of another.
func over(side, base, metric string) func(lookup) float64 {
	return func(at lookup) float64 { return at(side, metric) / at(base, metric) }
}

// just is one figure of a side.
func just(side, metric string) func(lookup) float64 {
	return func(at lookup) float64 { return at(side, metric) }
}

func idleWorks(m *measurement) []work {
	const clients = "15000"
	const pings = 50 // seconds: two intervals of 25 s, so that everybody is pinged twice
	columns := []column{
		{"bytes per connection", clientMemory, 0, 0}, {"server MB in all", "server.rss_connected_bytes", 0, megabyte},
		{"CPU µs per connection and second", "server.cpu_us_per_client_second", 2, 0}, {"connects/s", "connect.per_second", 0, 0},
	}
	return []work{
		{
			name: "idle", title: "Idle connections", rounds: 2,
			note: "15,000 WebSocket connections with one subscription each. Memory is the growth of the server's resident memory (RSS) per connection, measured 3 s after the last subscription; " +
				fmt.Sprintf("CPU is measured in the %d s after that, in which each connection answers two pings.", pings),
			sides:   []side{{name: "plain", run: against(subject{}, m.paused(pings, "idle", "--clients", clients)...)}},
			columns: columns,
			figures: []figure{
				{work: "idle, one subscription each, 15,000 connections, plain TCP: memory per connection", limit: 4096, unit: " B", value: just("plain", clientMemory)},
				{work: "idle CPU per connection and second, pings every 25 s", limit: 1.5, places: 2, unit: " µs", value: just("plain", "server.cpu_us_per_client_second")},
			},
		},
		{
			name: "tls", title: "Idle connections with TLS", rounds: 2,
			note:    "The same over TLS 1.3, without the wait for pings.",
			sides:   []side{{name: "TLS", run: against(subject{tls: true}, m.paused(1, "idle", "--clients", clients)...)}},
			columns: columns[:2],
			figures: []figure{
				{work: "the same with TLS", limit: 14 << 10, unit: " B", value: just("TLS", clientMemory)},
			},
		},
	}
}

func stormWorks(m *measurement) []work {
	const missed = 100
	recovered := func(at lookup) float64 { return at("recover", "recover.cpu_us_per_publication") }
	net := func(at lookup) float64 {
		return (at("recover", connectCPU) - at("reconnect", connectCPU)) / missed
	}
	return []work{
		{
			name: "storm", title: "Connect and subscribe",
			note: "1,000 clients connect and subscribe, 128 at a time; then all are cut off and connect again. The floor does the handshake with net/http, answers both commands and keeps the socket.",
			sides: []side{
				{name: "floor", run: against(subject{floor: true}, m.paced("storm")...)},
				{name: "server", run: against(subject{}, m.paced("storm")...)},
			},
			columns: []column{{"CPU µs per connection", connectCPU, 1, 0}, {"connections/s", "connect.per_second", 0, 0}, {"p99 ms", "connect.latency.p99_ms", 1, 0}},
			figures: []figure{{work: "connect + subscribe storm: CPU per connection, to the floor", limit: 1.4, places: 2, unit: "x", value: over("server", "floor", connectCPU)}},
		},
		{
			name: "recover", title: "Recovery",
			note: fmt.Sprintf("2,000 clients of one channel with history are cut off, %d publications are made, and all come back at once and recover them. The second side is the same clients coming back to the same kind of channel with nothing missed: the difference is the cost of the recovery itself.", missed),
			sides: []side{
				{name: "recover", run: against(subject{config: positioned}, m.paced("recover", "--clients", "2000", "--missed", fmt.Sprint(missed), "--channel", "hist:bench")...)},
				{name: "reconnect", run: against(subject{config: positioned}, m.paced("storm", "--clients", "2000", "--concurrency", "1024", "--channel", "hist:bench")...)},
			},
			columns: []column{{"CPU µs per connection", connectCPU, 1, 0}, {"connections/s", "connect.per_second", 0, 0}, {"p99 ms", "connect.latency.p99_ms", 1, 0}},
			figures: []figure{
				{work: "recovery storm, 2,000 clients x 100 missed: CPU per recovered publication, without the cost of reconnecting", limit: 0.5, places: 2, unit: " µs", signed: true, value: net},
				{work: "the same with the cost of reconnecting", limit: 0.5, places: 2, unit: " µs", value: recovered,
					remark: func(at lookup) string {
						return fmt.Sprintf("reconnecting alone is %.2f µs of it", at("reconnect", connectCPU)/missed)
					}},
			},
		},
	}
}
