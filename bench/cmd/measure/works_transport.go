//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"strconv"

	"centrifugo/internal/freeport"
)

// transportSettings enable the transports that are compared with WebSocket.
var transportSettings = settings{
	"sse": settings{"enabled": true}, "http_stream": settings{"enabled": true}, "uni_websocket": settings{"enabled": true},
}

// overGRPC is against over bidirectional gRPC, whose listener is another one.
func overGRPC(args ...string) runner {
	return func(ctx context.Context, m *measurement) (sample, error) {
		port, _, err := freeport.Reserve()
		if err != nil {
			return nil, err
		}
		s := subject{config: settings{"grpc": settings{"enabled": true, "address": "127.0.0.1", "port": port}}}
		return against(s, append(args, "--transport", "grpc", "--address", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))...)(ctx, m)
	}
}

// transportWorks compare the other transports with WebSocket.
func transportWorks(m *measurement) []work {
	over1000 := func(transport string) runner {
		return against(subject{config: transportSettings}, m.paced("fanout", "--transport", transport)...)
	}
	idle := func(transport string) runner {
		return against(subject{config: transportSettings}, m.paused(1, "idle", "--clients", "10000", "--transport", transport)...)
	}
	overHTTP2 := func(streams string) runner {
		s := subject{config: transportSettings, tls: true}
		return against(s, m.paused(1, "idle", "--clients", "5000", "--transport", "sse", "--http2-streams", streams)...)
	}
	return []work{
		{
			name: "idle-transports", title: "Idle connections of other transports", rounds: 2,
			note: "10,000 connections over HTTP/1.1 without TLS with one subscription each, measured as the WebSocket connections above. SSE over HTTP/2 is with TLS and 5,000 clients, once with 100 clients that share a connection, as behind a proxy, and once with one, as a browser. Over gRPC, 100 clients share an HTTP/2 connection.",
			sides: []side{
				{name: "http_stream", run: idle("http_stream")}, {name: "sse", run: idle("sse")},
				{name: "sse, HTTP/2", run: overHTTP2("100")}, {name: "sse, HTTP/2 of its own", run: overHTTP2("1")},
				{name: "grpc", run: overGRPC(m.paused(1, "idle", "--clients", "10000")...)},
			},
			columns: []column{{"bytes per connection", clientMemory, 0, 0}, {"connects/s", "connect.per_second", 0, 0}},
			figures: []figure{
				{work: "idle HTTP stream, one subscription: memory per connection", limit: 12 << 10, unit: " B", value: just("http_stream", clientMemory)},
				{work: "idle SSE, one subscription: memory per connection", limit: 12 << 10, unit: " B", value: just("sse", clientMemory)},
				{work: "idle SSE over HTTP/2, 100 clients a connection: memory per client", limit: 25 << 10, unit: " B", value: just("sse, HTTP/2", clientMemory)},
				{work: "idle SSE over HTTP/2, a connection each: memory per client", limit: 25 << 10, unit: " B", value: just("sse, HTTP/2 of its own", clientMemory)},
				{work: "idle gRPC stream, one subscription: memory per connection", limit: shown, unit: " B", value: just("grpc", clientMemory)},
			},
		},
		{
			name: "fanout-transports", title: "Fan-out over other transports",
			note: "1,000 subscribers, 100 publications of 128 bytes a second over HTTP, evenly spaced.",
			sides: []side{
				{name: "websocket", run: over1000("websocket")}, {name: "http_stream", run: over1000("http_stream")}, {name: "sse", run: over1000("sse")},
				{name: "uni_websocket", run: over1000("uni_websocket")}, {name: "grpc", run: overGRPC(m.paced("fanout")...)},
			},
			columns: delivering,
			figures: []figure{
				{work: "fan-out to 1,000 SSE streams: CPU per delivery, to WebSocket", limit: 1.5, places: 2, unit: "x", value: over("sse", "websocket", deliveryCPU)},
				{work: "fan-out to 1,000 HTTP streams: CPU per delivery, to WebSocket", limit: 1.5, places: 2, unit: "x", value: over("http_stream", "websocket", deliveryCPU)},
				{work: "fan-out to 1,000 unidirectional WebSockets: CPU per delivery, to bidirectional ones", limit: 1.05, places: 2, unit: "x", value: over("uni_websocket", "websocket", deliveryCPU)},
				{work: "fan-out to 1,000 gRPC streams: CPU per delivery, to WebSocket", limit: shown, places: 2, unit: "x", value: over("grpc", "websocket", deliveryCPU)},
			},
		},
		waysWork(),
	}
}

// waysWork compares the ways into the API.
func waysWork() work {
	const unit = " server-ns/op"
	cpu := func(way string) string { return "WaysIn/" + way + unit }
	w := work{
		name: "ways-in", title: "Ways to publish",
		note:  "`go test ./server -bench WaysIn`: CPU of a server process for a publication of 128 bytes without subscribers: a request or a call for each, and one long request or call for all. grpc-floor is the same call of a server of the gRPC library that does nothing: eight calls run at once over one connection.",
		sides: []side{{name: "API", run: benchmark("./server", "^BenchmarkWaysIn$", "100000x")}},
		figures: []figure{
			{work: "publications through `/api/stream`, to single requests: as many per CPU second", limit: 10, least: true, places: 1, unit: "x",
				value: func(at lookup) float64 { return at("API", cpu("http")) / at("API", cpu("http-stream")) }},
			{work: "empty call of the gRPC library: CPU, to a request over HTTP", limit: shown, places: 2, unit: "x",
				value: func(at lookup) float64 { return at("API", cpu("grpc-floor")) / at("API", cpu("http")) }},
			{work: "unary publish over gRPC: CPU, to a request over HTTP", limit: 0.7, places: 2, unit: "x",
				value: func(at lookup) float64 { return at("API", cpu("grpc")) / at("API", cpu("http")) },
				remark: func(at lookup) string {
					return fmt.Sprintf("%.1f µs and %.1f µs", at("API", cpu("grpc"))/1e3, at("API", cpu("http"))/1e3)
				}},
		},
	}
	for _, way := range []string{"http", "grpc", "grpc-floor", "http-stream", "grpc-stream"} {
		w.columns = append(w.columns, column{way + ", µs", cpu(way), 2, 1e-3})
	}
	return w
}
