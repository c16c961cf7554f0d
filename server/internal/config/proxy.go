package config

import "time"

// Proxy describes calls to the application backend.
type Proxy struct {
	// Where to: `http://` and `https://` mean HTTP, `grpc://host:port` or `host:port` mean gRPC.
	Endpoint string `key:"endpoint"`
	// Time allowed for a whole call.
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
