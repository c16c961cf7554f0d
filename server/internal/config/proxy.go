package config

import "time"

// Proxy describes calls to the application backend.
type Proxy struct {
	// Where to: `http://` and `https://` mean HTTP, `grpc://host:port` or `host:port` mean gRPC.
	Endpoint string `key:"endpoint"`
	// Time allowed for a whole call, from the moment it is sent; the wait for a place among the calls in flight is not
	// part of it.
	Timeout time.Duration `key:"timeout" default:"1s"`
	// Headers of the client's transport request that are passed on.
	HTTPHeaders []string `key:"http_headers"`
	// Metadata keys of a gRPC client that are passed on; lower case.
	GRPCMetadata []string `key:"grpc_metadata"`
	// Headers which the client put into its connect command that are passed on.
	EmulatedHeaders []string `key:"emulated_headers"`
	// Send payloads as base64.
	BinaryEncoding bool `key:"binary_encoding"`
	// Add the meta of the connection to requests.
	IncludeConnectionMeta bool `key:"include_connection_meta"`
	// Settings for HTTP endpoints.
	HTTP ProxyHTTP `key:"http"`
	// Settings for gRPC endpoints.
	GRPC ProxyGRPC `key:"grpc"`
	// How many calls the backend gets at once. This section is an addition of this server.
	Limit ProxyLimit `key:"limit"`
	// When the backend gets no calls at all. This section is an addition of this server.
	Breaker ProxyBreaker `key:"breaker"`
}

// ProxyLimit bounds the calls of one proxy that are in flight. Proxies with different names have limits of their own,
// also if they have the same endpoint.
type ProxyLimit struct {
	// Calls in flight at most, and connections to an HTTP endpoint. The limit in force starts at 20, rises to this number while
	// calls wait, and falls while the backend answers slower than it normally does.
	MaxInFlight int `key:"max_in_flight" default:"255"`
	// Keep the limit at max_in_flight, whatever the latency of the backend.
	Fixed bool `key:"fixed"`
	// Calls that wait at most while the limit is reached. Others are answered at once: a connect by disconnect 3013, which
	// makes clients reconnect with a growing delay; subscribe, publish and rpc by the temporary error 111; a refresh by
	// another try in 60s.
	QueueSize int `key:"queue_size" default:"1000"`
	// How long a call waits at most; it is answered like one that finds the queue full. SDKs give up after 5s.
	QueueTimeout time.Duration `key:"queue_timeout" default:"3s"`
}

// ProxyBreaker stops the calls of one proxy while its backend fails.
type ProxyBreaker struct {
	// Call the backend whether it fails or not.
	Disabled bool `key:"disabled"`
	// Part of the calls of the last 10s, in percent, that must fail before calls stop. A call fails if the endpoint cannot
	// be reached, does not answer in time, or answers with HTTP status 429 or from 500 to 599 without a transform of it.
	FailurePercent int `key:"failure_percent" default:"50"`
	// Calls in the last 10s below which calls do not stop.
	MinCalls int `key:"min_calls" default:"20"`
	// How long no calls are made. Then 5 calls are tried: if all succeed, calls are made again.
	OpenTime time.Duration `key:"open_time" default:"1s"`
}

// EventProxy is a Proxy with a switch of its own.
type EventProxy struct {
	// Call the proxy.
	Enabled bool `key:"enabled"`
	Proxy
}

// NamedProxy is an element of proxies.
type NamedProxy struct {
	// Name of the proxy, unique; at least two characters of `-a-zA-Z0-9_.`; not `default`.
	Name string `key:"name"`
	Proxy
}

// ProxyHTTP are the settings of a proxy for HTTP endpoints.
type ProxyHTTP struct {
	// TLS towards the endpoint.
	TLS TLS `key:"tls"`
	// Headers added to every request; lowest priority.
	StaticHeaders map[string]string `key:"static_headers"`
	// What statuses other than 200 mean; the first match decides.
	StatusToCodeTransforms []StatusTransform `key:"status_to_code_transforms"`
}

// ProxyGRPC are the settings of a proxy for gRPC endpoints.
type ProxyGRPC struct {
	// TLS towards the endpoint.
	TLS TLS `key:"tls"`
	// Metadata added to every request; lowest priority.
	StaticMetadata map[string]string `key:"static_metadata"`
	// Key of the per-call credentials.
	CredentialsKey string `key:"credentials_key"`
	// Value of the per-call credentials.
	CredentialsValue string `key:"credentials_value"`
	// Compress requests with gzip.
	Compression bool `key:"compression"`
}

// StatusTransform turns one HTTP status into an error or a disconnect of the client.
type StatusTransform struct {
	// Status to match.
	StatusCode int `key:"status_code"`
	// Error used when its code is not 0.
	ToError TransformError `key:"to_error"`
	// Disconnect used otherwise.
	ToDisconnect TransformDisconnect `key:"to_disconnect"`
}

// TransformError is an error of the client protocol.
type TransformError struct {
	// Code, 400 to 1999 for applications.
	Code uint32 `key:"code"`
	// ASCII text of at most 123 bytes.
	Message string `key:"message"`
	// The client may try again.
	Temporary bool `key:"temporary"`
}

// TransformDisconnect is a disconnect of the client protocol.
type TransformDisconnect struct {
	// Code, 4000 to 4999 for applications.
	Code uint32 `key:"code"`
	// ASCII text of at most 123 bytes.
	Reason string `key:"reason"`
}
