package config

import "time"

// HTTPAPI is section http_api.
type HTTPAPI struct {
	// Turn this API off.
	Disabled bool `key:"disabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/api"`
	// Secret that callers present. Empty: every call is refused.
	Key string `key:"key" reload:"yes"`
	// How errors are reported: empty (in the body with status 200) or transport (as HTTP status).
	ErrorMode string `key:"error_mode"`
	// Serve on the external listener instead of the internal one.
	External bool `key:"external"`
	// INSECURE, for development: calls need no key.
	Insecure bool `key:"insecure" reload:"yes"`
}

// GRPCAPI is section grpc_api.
type GRPCAPI struct {
	// Turn this API on.
	Enabled bool `key:"enabled"`
	// How errors are reported: empty (in the message) or transport (as gRPC status).
	ErrorMode string `key:"error_mode"`
	// Address to bind to. Empty: all interfaces.
	Address string `key:"address"`
	// Port to listen on.
	Port int `key:"port" default:"10000"`
	// Secret that callers present. Empty: every call is refused.
	Key string `key:"key" reload:"yes"`
	// INSECURE, for development: calls need no key.
	Insecure bool `key:"insecure" reload:"yes"`
	// TLS of the listener.
	TLS TLS `key:"tls"`
	// Serve gRPC reflection.
	Reflection bool `key:"reflection"`
	// Bytes allowed in a request. 0: 4 MiB.
	MaxReceiveMessageSize int `key:"max_receive_message_size"`
}

// Admin is section admin.
type Admin struct {
	// Turn the interface on.
	Enabled bool `key:"enabled"`
	// Path of the interface. Empty: the root.
	HandlerPrefix string `key:"handler_prefix"`
	// Password of the administrator. Empty: every log-in is refused.
	Password string `key:"password" reload:"yes"`
	// Secret with which tokens are signed, the same on all nodes. A change of secret or password ends all log-ins. Empty:
	// every log-in is refused.
	Secret string `key:"secret" reload:"yes"`
	// INSECURE, for development: no password. The whole server API is open to everybody who reaches the interface.
	Insecure bool `key:"insecure" reload:"yes"`
	// Directory of an own build of the interface, with an index.html. Empty: the embedded one.
	WebPath string `key:"web_path"`
	// URL of a development server to which requests for the page are passed, such as `http://127.0.0.1:5173`.
	WebProxyAddress string `key:"web_proxy_address"`
	// Serve on the external listener instead of the internal one.
	External bool `key:"external"`
}

// Prometheus is section prometheus.
type Prometheus struct {
	// Turn the endpoint on.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/metrics"`
	// Count requests to the HTTP endpoints.
	InstrumentHTTPHandlers bool `key:"instrument_http_handlers"`
	// Names of clients that metrics of connections and subscriptions (`client_connections_*`, `client_subscriptions_*`) tell apart
	// beside those of the SDKs (js, dart, swift, java, go, python, csharp); for connections with up to 30 versions each. A client gives
	// its name when it connects.
	ClientNames []string `key:"client_names"`
	// How many namespaces the label `channel_namespace` of metrics tells apart, at most 1000. What happens to channels of further
	// ones has the value `other`; of channels without a namespace, and where no channel is involved, the empty one. 0: the label is
	// always empty. Each namespace adds some 100 series, and a dozen for each transport.
	ChannelNamespaces int `key:"channel_namespaces"`
	// Measure how long one publication in this many, of each namespace that metrics tell apart, takes from the arrival of the request
	// until the sockets of its subscribers on the same node have accepted it: `transport_publication_latency_seconds`. 0: none.
	PublicationLatencySample int `key:"publication_latency_sample"`
	// Export the histogram of recovered publications, `client_recovered_publications`.
	RecoveredPublicationsHistogram bool `key:"recovered_publications_histogram"`
	// Export native histograms instead of summaries: histograms of durations have native buckets besides the classic ones, for a
	// Prometheus that asks for the protobuf format.
	NativeHistograms bool `key:"native_histograms"`
}

// Health is section health.
type Health struct {
	// Turn the endpoints on. handler_prefix, and `/live` below it, answer with status 200 and `{}` while the process serves.
	// `/ready` below it answers with status 503 and the reason while the node shuts down, or its engine cannot be used or does
	// not deliver.
	Enabled bool `key:"enabled"`
	// Path of the endpoints.
	HandlerPrefix string `key:"handler_prefix" default:"/health"`
}

// Swagger is section swagger.
type Swagger struct {
	// Turn the endpoint on.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/swagger"`
}

// Debug is section debug.
type Debug struct {
	// Turn the endpoints on: index, cmdline, profile, symbol, trace.
	Enabled bool `key:"enabled"`
	// Path of the endpoints.
	HandlerPrefix string `key:"handler_prefix" default:"/debug/pprof"`
}

// Init is section init.
type Init struct {
	// Turn the endpoint on: GET answers `{}` with CORS headers.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/init"`
}

// OpenTelemetry is section opentelemetry.
type OpenTelemetry struct {
	// Export traces by OTLP: publications and their fan-out, and calls of proxies, which get the trace context as `traceparent`.
	// `OTEL_*` variables set the receiver, the protocol (`http/protobuf` or `grpc`) and the sampler. Metrics are exported as well with
	// `OTEL_METRICS_EXPORTER=otlp`.
	Enabled bool `key:"enabled"`
	// Trace calls of the server API. The trace context of a request (`traceparent`) is taken up.
	API bool `key:"api"`
	// Trace the commands of consumers. The trace context of a message (its header or attribute `traceparent`) is taken up.
	Consuming bool `key:"consuming"`
	// Authenticate the exporters with Google application default credentials: those of `GOOGLE_APPLICATION_CREDENTIALS`, of gcloud, or
	// of the machine. The receiver needs TLS.
	GoogleCloudADCAuth bool `key:"google_cloud_adc_auth"`
}

// Graphite is section graphite.
type Graphite struct {
	// Send the metrics to Graphite in its plain text protocol over TCP.
	Enabled bool `key:"enabled"`
	// Host of the receiver.
	Host string `key:"host" default:"localhost"`
	// Port of the receiver.
	Port int `key:"port" default:"2003"`
	// First part of metric names.
	Prefix string `key:"prefix" default:"centrifugo"`
	// How often metrics are sent, at least 10ms.
	Interval time.Duration `key:"interval" default:"10s"`
	// Send labels as tags, for Graphite 1.1 and later, and otherwise as parts of the name (`.label_value`).
	Tags bool `key:"tags"`
}
