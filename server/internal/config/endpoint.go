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
	// Secret that callers present. Empty: calls need no key.
	Key string `key:"key"`
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
	// Password of the administrator.
	Password string `key:"password"`
	// Secret with which session tokens are signed.
	Secret string `key:"secret"`
	// INSECURE, for development: no password.
	Insecure bool `key:"insecure"`
	// Directory of an own build of the interface. Empty: the embedded one.
	WebPath string `key:"web_path"`
	// Address of a development server to which the interface is passed through.
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
	// Export the histogram of recovered publications.
	RecoveredPublicationsHistogram bool `key:"recovered_publications_histogram"`
	// Export native histograms instead of summaries.
	NativeHistograms bool `key:"native_histograms"`
}

// Health is section health.
type Health struct {
	// Turn the endpoint on: status 200 and `{}` while the process serves.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
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
	// Turn tracing on; the exporter is set by the OTEL_* environment variables.
	Enabled bool `key:"enabled"`
	// Trace calls of the server API.
	API bool `key:"api"`
	// Trace consumers.
	Consuming bool `key:"consuming"`
	// Authenticate the exporter with Google application default credentials.
	GoogleCloudADCAuth bool `key:"google_cloud_adc_auth"`
}

// Graphite is section graphite.
type Graphite struct {
	// Turn the export on.
	Enabled bool `key:"enabled"`
	// Host of the receiver.
	Host string `key:"host" default:"localhost"`
	// Port of the receiver.
	Port int `key:"port" default:"2003"`
	// First part of metric names.
	Prefix string `key:"prefix" default:"centrifugo"`
	// How often metrics are sent.
	Interval time.Duration `key:"interval" default:"10s"`
	// Send labels as Graphite tags.
	Tags bool `key:"tags"`
}
