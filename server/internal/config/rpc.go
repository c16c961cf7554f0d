package config

// RPC is section rpc.
type RPC struct {
	// Proxy with the name `default` of RPC.
	Proxy Proxy `key:"proxy"`
	// Methods without a namespace.
	WithoutNamespace RPCOptions `key:"without_namespace"`
	// Namespaces of methods.
	Namespaces []RPCNamespace `key:"namespaces,named"`
	// A method answered by this server itself.
	Ping RPCPing `key:"ping"`
	// What separates the namespace from the rest of a method name.
	NamespaceBoundary string `key:"namespace_boundary" default:":"`
}

// RPCOptions are the options of the methods of one namespace.
type RPCOptions struct {
	// Pass calls to a proxy.
	ProxyEnabled bool `key:"proxy_enabled"`
	// Name of that proxy.
	ProxyName string `key:"proxy_name" default:"default"`
}

// RPCNamespace is an element of rpc.namespaces.
type RPCNamespace struct {
	// Name of the namespace, unique; at least two characters of `-a-zA-Z0-9_.`.
	Name string `key:"name"`
	RPCOptions
}

// RPCPing is section rpc.ping.
type RPCPing struct {
	// Answer the method with an empty result.
	Enabled bool `key:"enabled"`
	// Name of the method.
	Method string `key:"method" default:"ping"`
}
