package config

import "time"

// WebSocket is section websocket.
type WebSocket struct {
	// Turn this transport off.
	Disabled bool `key:"disabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/websocket"`
	WebSocketFrames
}

// WebSocketFrames are the settings common to both WebSocket transports.
type WebSocketFrames struct {
	// Negotiate permessage-deflate with clients.
	Compression bool `key:"compression"`
	// Messages smaller than this many bytes are not compressed.
	CompressionMinSize int `key:"compression_min_size"`
	// Level of deflate, 1 (fast) to 9 (small).
	CompressionLevel int `key:"compression_level" default:"1"`
	// Bytes of the read buffer. 0: chosen by the server.
	ReadBufferSize int `key:"read_buffer_size"`
	// Bytes of the write buffer. 0: chosen by the server.
	WriteBufferSize int `key:"write_buffer_size"`
	// Share write buffers between connections.
	UseWriteBufferPool bool `key:"use_write_buffer_pool"`
	// Time allowed for writing one message.
	WriteTimeout time.Duration `key:"write_timeout" default:"1000ms"`
	// Bytes allowed in a message of a client, and so in a command. Before the connect reply at most 256 KiB.
	MessageSizeLimit int `key:"message_size_limit" default:"65536"`
	// Bytes allowed in a message of a client after inflating. 0: ten times message_size_limit. Before the connect reply at most 256 KiB.
	DecompressedMessageSizeLimit int `key:"decompressed_message_size_limit"`
}

// UniWebSocket is section uni_websocket.
type UniWebSocket struct {
	// Turn this transport on.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/uni_websocket"`
	WebSocketFrames
	// Close the TCP connection without the closing handshake.
	DisableClosingHandshake bool `key:"disable_closing_handshake"`
	// Do not send a disconnect push before closing.
	DisableDisconnectPush bool `key:"disable_disconnect_push"`
	// Send several pushes in one message when they are ready together.
	JoinPushMessages bool `key:"join_push_messages"`
}

// SSE is section sse.
type SSE struct {
	// Turn this transport on.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/sse"`
	// Bytes allowed in a request body.
	MaxRequestBodySize int `key:"max_request_body_size" default:"65536"`
}

// HTTPStream is section http_stream.
type HTTPStream struct {
	// Turn this transport on.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/http_stream"`
	// Bytes allowed in a request body.
	MaxRequestBodySize int `key:"max_request_body_size" default:"65536"`
}

// Emulation is section emulation.
type Emulation struct {
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/emulation"`
	// Bytes allowed in a request body.
	MaxRequestBodySize int `key:"max_request_body_size" default:"65536"`
}

// WebTransport is section webtransport.
type WebTransport struct {
	// Turn this transport on; needs http_server.http3.enabled.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/webtransport"`
	// Bytes allowed in a message of a client. Before the connect reply at most 256 KiB.
	MessageSizeLimit int `key:"message_size_limit" default:"65536"`
}

// UniSSE is section uni_sse.
type UniSSE struct {
	// Turn this transport on.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/uni_sse"`
	// Bytes allowed in a request body.
	MaxRequestBodySize int `key:"max_request_body_size" default:"65536"`
	// HTTP responses to a refused connect.
	ConnectCodeToHTTPResponse ConnectCodeToHTTPResponse `key:"connect_code_to_http_response"`
}

// UniHTTPStream is section uni_http_stream.
type UniHTTPStream struct {
	// Turn this transport on.
	Enabled bool `key:"enabled"`
	// Path of the endpoint.
	HandlerPrefix string `key:"handler_prefix" default:"/connection/uni_http_stream"`
	// Bytes allowed in a request body.
	MaxRequestBodySize int `key:"max_request_body_size" default:"65536"`
	// HTTP responses to a refused connect.
	ConnectCodeToHTTPResponse ConnectCodeToHTTPResponse `key:"connect_code_to_http_response"`
}

// ConnectCodeToHTTPResponse turns errors of connect into HTTP responses.
type ConnectCodeToHTTPResponse struct {
	// Apply the transforms.
	Enabled bool `key:"enabled"`
	// First entry with the code of the error decides.
	Transforms []HTTPResponseTransform `key:"transforms"`
}

// HTTPResponseTransform turns one error code of connect into an HTTP response.
type HTTPResponseTransform struct {
	// Error code to match.
	Code uint32 `key:"code"`
	// Response used.
	To TransformedResponse `key:"to"`
}

// TransformedResponse is an HTTP response.
type TransformedResponse struct {
	// HTTP status.
	StatusCode int `key:"status_code"`
	// Body of the response.
	Body string `key:"body"`
}

// GRPC is section grpc. Other servers of this protocol do not have it.
type GRPC struct {
	// Turn this transport on.
	Enabled bool `key:"enabled"`
	// Address to bind to. Empty: all interfaces.
	Address string `key:"address"`
	// Port to listen on.
	Port int `key:"port" default:"8001"`
	// Bytes allowed in a message of a client.
	MaxReceiveMessageSize int `key:"max_receive_message_size" default:"65536"`
	// Describe the services to tools such as grpcurl.
	Reflection bool `key:"reflection"`
	// TLS of the listener.
	TLS TLS `key:"tls"`
}

// UniGRPC is section uni_grpc.
type UniGRPC struct {
	// Turn this transport on.
	Enabled bool `key:"enabled"`
	// Address to bind to. Empty: all interfaces.
	Address string `key:"address"`
	// Port to listen on.
	Port int `key:"port" default:"11000"`
	// Bytes allowed in a connect request. 0: 64 KiB.
	MaxReceiveMessageSize int `key:"max_receive_message_size"`
	// TLS of the listener.
	TLS TLS `key:"tls"`
}
