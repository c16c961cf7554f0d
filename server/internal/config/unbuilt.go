package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// notBuilt lists the keys whose features this version lacks, by prefix of the
// dotted path. `channel.*.` stands for the options of channels with and without
// a namespace, `[]` for the items of a list. When a feature is built, its line is deleted.
var notBuilt = []struct{ feature, prefix string }{
	{"the Server-Sent Events transport", "sse."},
	{"the HTTP stream transport", "http_stream."},
	{"emulation", "emulation."},
	{"the WebTransport transport", "webtransport."},
	{"the unidirectional WebSocket transport", "uni_websocket."},
	{"the unidirectional Server-Sent Events transport", "uni_sse."},
	{"the unidirectional HTTP stream transport", "uni_http_stream."},
	{"the unidirectional gRPC transport", "uni_grpc."},
	{"unidirectional transports", "client.connect_code_to_unidirectional_disconnect."},
	{"the gRPC API", "grpc_api."},
	{"the admin interface", "admin."},
	{"Swagger", "swagger."},
	{"OpenTelemetry", "opentelemetry."},
	{"Graphite", "graphite."},
	{"HTTP/3", "http_server.http3."},
	{"ACME", "http_server.tls_autocert."},
	{"JWKS", "client.token.jwks_public_endpoint"},
	{"JWKS", "client.token.insecure_skip_jwks_endpoint_safety_check"},
	{"JWKS", "client.subscription_token.jwks_public_endpoint"},
	{"JWKS", "client.subscription_token.insecure_skip_jwks_endpoint_safety_check"},
	{"proxies", "proxies[]."},
	{"proxies", "client.proxy."},
	{"proxies", "channel.proxy."},
	{"proxies", "rpc.proxy."},
	{"proxies", "rpc.without_namespace.proxy_"},
	{"proxies", "rpc.namespaces[]."},
	{"proxies", "rpc.namespace_boundary"},
	{"proxies", "channel.*.subscribe_proxy_"},
	{"proxies", "channel.*.publish_proxy_"},
	{"proxies", "channel.*.sub_refresh_proxy_"},
	{"proxies", "channel.*.subscribe_stream_proxy_"},
	{"map subscriptions", "channel.*.map."},
	{"map subscriptions", "channel.*.map_clients_presence_channel_prefix"},
	{"map subscriptions", "channel.*.map_users_presence_channel_prefix"},
	{"map subscriptions", "map_broker."},
	{"shared poll subscriptions", "channel.*.shared_poll."},
	{"shared poll subscriptions", "shared_poll."},
	{"map and shared poll subscriptions", "channel.*.subscription_type"},
	{"Redis", "engine.redis."},
	{"Redis", "broker.redis."},
	{"Redis", "presence_manager.redis."},
	{"NATS", "broker.nats."},
	{"PostgreSQL", "broker.postgres."},
	{"PostgreSQL", "controller."},
	{"consumers", "consumers[]."},
}

// withoutEffect are keys of features that are built which change nothing here, and why.
var withoutEffect = map[string]string{
	"enable_unreleased_features":                    "there are none",
	"usage_stats.disabled":                          "usage is never reported",
	"client.channel_position_max_time_lag":          "no lag is tolerated",
	"websocket.read_buffer_size":                    "connections share the buffers of the event loop",
	"websocket.write_buffer_size":                   "connections share the buffers of the event loop",
	"websocket.use_write_buffer_pool":               "connections share the buffers of the event loop",
	"prometheus.recovered_publications_histogram":   "there is no such histogram",
	"prometheus.native_histograms":                  "histograms are classic ones",
	"http_server.tls.server_ca_pem":                 "a listener does not connect to servers",
	"http_server.tls.insecure_skip_verify":          "a listener does not connect to servers",
	"http_server.tls.server_name":                   "a listener does not connect to servers",
	"http_server.internal_tls.server_ca_pem":        "a listener does not connect to servers",
	"http_server.internal_tls.insecure_skip_verify": "a listener does not connect to servers",
	"http_server.internal_tls.server_name":          "a listener does not connect to servers",
}

// NoEffect returns why a key changes nothing although its feature is built, or nothing.
func (k Key) NoEffect() string { return withoutEffect[generalPath(k.Path)] }

// builtEngines are the types of engines and brokers that this version has.
var builtEngines = []string{"memory"}

// unbuiltFeature returns the feature that a key belongs to if this version lacks it.
func unbuiltFeature(path string) string {
	path = plainPath(path)
	general := generalPath(path)
	for _, entry := range notBuilt {
		if strings.HasPrefix(path, entry.prefix) || strings.HasPrefix(general, entry.prefix) {
			return entry.feature
		}
	}
	return ""
}

// generalPath returns the path of a key as lists of keys write it: `channel.*.`
// stands for the options of channels, `[]` for the items of a list.
func generalPath(path string) string {
	path = plainPath(path)
	for _, options := range []string{"channel.without_namespace.", "channel.namespaces[]."} {
		if rest, ok := strings.CutPrefix(path, options); ok {
			return "channel.*." + rest
		}
	}
	return path
}

// warnNotBuilt names the keys that were set to something else than their default
// and have no effect in this version; one warning per feature.
func (l *loader) warnNotBuilt() {
	keys := map[string][]string{}
	var features []string
	visit(reflect.ValueOf(l.cfg).Elem(), "", func(path string, f field, v reflect.Value) {
		if l.sources[path] == FromDefault || formatText(v) == formatDefault(f) || l.cfg.refused(path, v) != "" {
			return
		}
		if reason := withoutEffect[generalPath(path)]; reason != "" && !v.IsZero() {
			l.warn(Warning{Kind: NoEffect, Key: path, Message: "without effect: " + reason})
		}
		if feature := unbuiltFeature(path); feature != "" {
			if !slices.Contains(features, feature) {
				features = append(features, feature)
			}
			keys[feature] = append(keys[feature], path)
		}
	})
	for _, feature := range features {
		l.warn(Warning{Kind: NotBuilt, Key: strings.Join(keys[feature], ", "),
			Message: fmt.Sprintf("without effect: %s: not in this version yet", feature)})
	}
}

func formatDefault(f field) string {
	v := reflect.New(f.typ).Elem()
	if f.def != "" {
		_ = setText(v, f.def) // a default that does not parse panics in setDefaults
	}
	return formatText(v)
}

// refusedKeys are the keys of features that are not built which cannot be left
// out: without them users would be locked out, or let in on other terms than the
// configuration says. The text says what would happen.
var refusedKeys = map[string]string{
	"client.token.jwks_public_endpoint":              "every token would be invalid",
	"client.subscription_token.jwks_public_endpoint": "every subscription token would be invalid",
	"client.proxy.connect.enabled":                   "connections that it would authenticate would be refused",
	"client.proxy.refresh.enabled":                   "connections that it would prolong would expire",
	"channel.*.subscribe_proxy_enabled":              "subscriptions would be refused",
	"channel.*.publish_proxy_enabled":                "publications would be refused",
	"channel.*.sub_refresh_proxy_enabled":            "subscriptions that it would prolong would expire",
	"channel.*.subscribe_stream_proxy_enabled":       "subscriptions would be refused",
	"channel.*.subscription_type":                    "subscriptions would be refused",
	"rpc.without_namespace.proxy_enabled":            "calls would be refused",
	"rpc.namespaces[].proxy_enabled":                 "calls would be refused",
	"http_server.tls_autocert.enabled":               "the listener would speak without TLS",
	"uni_websocket.enabled":                          "its clients could not connect",
	"uni_sse.enabled":                                "its clients could not connect",
	"uni_http_stream.enabled":                        "its clients could not connect",
	"uni_grpc.enabled":                               "its clients could not connect",
	"sse.enabled":                                    "no other transport is on",
	"http_stream.enabled":                            "no other transport is on",
	"webtransport.enabled":                           "no other transport is on",
}

// refused returns the reason why a key of a feature that is not built cannot be
// left out with its value, or nothing.
func (c *Config) refused(path string, v reflect.Value) string {
	general := generalPath(path)
	reason := refusedKeys[general]
	if reason == "" || v.IsZero() {
		return ""
	}
	switch general {
	case "client.subscription_token.jwks_public_endpoint":
		if !c.Client.SubscriptionToken.Enabled {
			return ""
		}
	case "channel.*.subscription_type":
		if v.String() == "stream" {
			return ""
		}
	case "sse.enabled", "http_stream.enabled", "webtransport.enabled": // beside WebSocket, SDKs fall back to it
		if !c.WebSocket.Disabled {
			return ""
		}
	}
	return reason
}

// CheckBuilt returns an error when the configuration cannot be used because this
// version lacks what it asks for: an enabled engine, broker, presence manager, map
// broker or controller has a type that is unknown or not built, so that messages
// would not go where they are expected; or users would be locked out, or let in on
// other terms. The server must not start then. What else is not built is a warning of Load.
func (c *Config) CheckBuilt() error {
	var problems Problems
	visit(reflect.ValueOf(c).Elem(), "", func(path string, _ field, v reflect.Value) {
		if reason := c.refused(path, v); reason != "" {
			feature, verb := unbuiltFeature(path), "is"
			if strings.HasSuffix(feature, "s") {
				verb = "are"
			}
			problems = append(problems, Problem{path, fmt.Sprintf("%s %s not in this version, and %s", feature, verb, reason)})
		}
	})
	problems = append(problems, c.checkEngines()...)
	if len(problems) > 0 {
		return problems
	}
	return nil
}

func (c *Config) checkEngines() Problems {
	var problems Problems
	check := func(key, typ string, valid ...string) {
		switch {
		case slices.Contains(builtEngines, typ):
		case slices.Contains(valid, typ):
			problems = append(problems, Problem{key, fmt.Sprintf("%q is not in this version yet; there is: %s", typ, strings.Join(builtEngines, ", "))})
		default:
			problems = append(problems, Problem{key, fmt.Sprintf("unknown type %q; there is: %s", typ, strings.Join(builtEngines, ", "))})
		}
	}
	check("engine.type", c.Engine.Type, "redis")
	if c.Broker.Enabled {
		check("broker.type", c.Broker.Type, "redis", "nats", "postgres", "redisnats")
	}
	if c.PresenceManager.Enabled {
		check("presence_manager.type", c.PresenceManager.Type, "redis")
	}
	check("map_broker.type", c.MapBroker.Type, "redis", "postgres")
	if c.Controller.Enabled {
		check("controller.type", c.Controller.Type, "postgres")
	}
	return problems
}
