package config

import "time"

// Config is the whole configuration, one field per section. See docs/config.md.
type Config struct {
	// Addresses, ports and TLS of the HTTP listeners.
	HTTPServer HTTPServer `key:"http_server"`
	// What is logged, and where.
	Log Log `key:"log"`
	// Identity of this server process in a cluster.
	Node Node `key:"node"`
	// Graceful termination.
	Shutdown Shutdown `key:"shutdown"`
	// Path of a file to write the process identifier to; removed at exit. Empty: no file.
	PIDFile string `key:"pid_file"`
	// Turns on features whose behaviour may still change without notice.
	EnableUnreleasedFeatures bool `key:"enable_unreleased_features"`
	// Accepted for compatibility: this server never reports usage.
	UsageStats UsageStats `key:"usage_stats"`

	// Connections of clients: authentication, limits, timings.
	Client Client `key:"client"`
	// Channels: naming rules, options, namespaces.
	Channel Channel `key:"channel" reload:"yes"`
	// Remote procedure calls of clients.
	RPC RPC `key:"rpc" reload:"yes"`
	// Named proxies which namespaces refer to by name.
	Proxies []NamedProxy `key:"proxies,named"`
	// Settings common to all shared poll channels.
	SharedPoll SharedPoll `key:"shared_poll"`

	// Bidirectional WebSocket transport.
	WebSocket WebSocket `key:"websocket"`
	// Bidirectional transport over Server-Sent Events, uplink by emulation.
	SSE SSE `key:"sse"`
	// Bidirectional transport over a streamed HTTP response, uplink by emulation.
	HTTPStream HTTPStream `key:"http_stream"`
	// Endpoint that carries the uplink of the SSE and HTTP stream transports; mounted when one of them is on.
	Emulation Emulation `key:"emulation"`
	// Bidirectional transport over a gRPC stream.
	GRPC GRPC `key:"grpc"`
	// Bidirectional transport over HTTP/3.
	WebTransport WebTransport `key:"webtransport"`
	// Unidirectional WebSocket transport.
	UniWebSocket UniWebSocket `key:"uni_websocket"`
	// Unidirectional transport over Server-Sent Events.
	UniSSE UniSSE `key:"uni_sse"`
	// Unidirectional transport over a streamed HTTP response.
	UniHTTPStream UniHTTPStream `key:"uni_http_stream"`
	// Unidirectional transport over a gRPC stream.
	UniGRPC UniGRPC `key:"uni_grpc"`

	// Server API over HTTP.
	HTTPAPI HTTPAPI `key:"http_api"`
	// Server API over gRPC.
	GRPCAPI GRPCAPI `key:"grpc_api"`
	// Administration web interface.
	Admin Admin `key:"admin"`
	// Metrics for Prometheus.
	Prometheus Prometheus `key:"prometheus"`
	// Endpoint that answers while the process serves.
	Health Health `key:"health"`
	// Browsable description of the HTTP API.
	Swagger Swagger `key:"swagger"`
	// Profiling endpoints of the Go runtime.
	Debug Debug `key:"debug"`
	// Endpoint with which a browser warms up its connection.
	Init Init `key:"init"`
	// Tracing with OpenTelemetry.
	OpenTelemetry OpenTelemetry `key:"opentelemetry"`
	// Export of metrics to Graphite.
	Graphite Graphite `key:"graphite"`

	// Broker, presence and control in one.
	Engine Engine `key:"engine"`
	// Overrides the broker of the engine.
	Broker Broker `key:"broker"`
	// Overrides the presence of the engine.
	PresenceManager PresenceManager `key:"presence_manager"`
	// State of map subscriptions, independent of the engine.
	MapBroker MapBroker `key:"map_broker"`
	// Overrides only the control channel between nodes.
	Controller Controller `key:"controller"`
	// Asynchronous consumers: commands of the server API read from queues.
	Consumers []Consumer `key:"consumers,named"`

	// sources holds the keys that were set by something else than a default. It is no part
	// of the configuration: it is for Values.
	sources map[string]Source
}

// Log is section log.
type Log struct {
	// Lowest level that is logged: none, trace, debug, info, warn, error or fatal.
	Level string `key:"level" default:"info" reload:"yes"`
	// File to which logs are written as JSON lines. Empty: standard error.
	File string `key:"file"`
}

// Node is section node.
type Node struct {
	// Name of this node, unique in the cluster. Empty: `<hostname>_<port>`.
	Name string `key:"name"`
	// How often metrics are aggregated for the info method of the server API.
	InfoMetricsAggregateInterval time.Duration `key:"info_metrics_aggregate_interval" default:"60s"`
}

// Shutdown is section shutdown.
type Shutdown struct {
	// Time given to a graceful termination; after it the process exits with code 1.
	Timeout time.Duration `key:"timeout" default:"30s"`
	// Connections closed per second at a graceful termination, so that clients do not all come to other nodes at once.
	// More are closed when they would not all be in two thirds of the timeout. 0: all at once.
	ReleaseRate int `key:"release_rate" default:"5000"`
}

// UsageStats is section usage_stats.
type UsageStats struct {
	// Accepted for compatibility and without effect: nothing is ever reported.
	Disabled bool `key:"disabled"`
}
