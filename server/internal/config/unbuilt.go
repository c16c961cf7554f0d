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
	{"map subscriptions", "channel.proxy.map_publish."},
	{"map subscriptions", "channel.proxy.map_remove."},
	{"shared poll subscriptions", "channel.proxy.shared_poll_refresh."},
	{"map subscriptions", "channel.*.map."},
	{"map subscriptions", "channel.*.map_clients_presence_channel_prefix"},
	{"map subscriptions", "channel.*.map_users_presence_channel_prefix"},
	{"map subscriptions", "map_broker."},
	{"shared poll subscriptions", "channel.*.shared_poll."},
	{"shared poll subscriptions", "shared_poll."},
	{"map and shared poll subscriptions", "channel.*.subscription_type"},
	{"NATS", "broker.nats."},
	{"PostgreSQL", "broker.postgres."},
	{"PostgreSQL", "controller."},
}

// withoutEffect are keys of features that are built which change nothing here, and why.
var withoutEffect = map[string]string{
	"enable_unreleased_features":                                 "there are none",
	"usage_stats.disabled":                                       "usage is never reported",
	"client.channel_position_max_time_lag":                       "no lag is tolerated",
	"websocket.read_buffer_size":                                 "connections share the buffers of the event loop",
	"websocket.write_buffer_size":                                "connections share the buffers of the event loop",
	"websocket.use_write_buffer_pool":                            "connections share the buffers of the event loop",
	"uni_websocket.read_buffer_size":                             "connections share the buffers of the event loop",
	"uni_websocket.write_buffer_size":                            "connections share the buffers of the event loop",
	"uni_websocket.use_write_buffer_pool":                        "connections share the buffers of the event loop",
	"http_server.tls.server_ca_pem":                              "a listener does not connect to servers",
	"http_server.tls.insecure_skip_verify":                       "a listener does not connect to servers",
	"http_server.tls.server_name":                                "a listener does not connect to servers",
	"http_server.internal_tls.server_ca_pem":                     "a listener does not connect to servers",
	"http_server.internal_tls.insecure_skip_verify":              "a listener does not connect to servers",
	"http_server.internal_tls.server_name":                       "a listener does not connect to servers",
	"grpc_api.tls.server_ca_pem":                                 "a listener does not connect to servers",
	"grpc_api.tls.insecure_skip_verify":                          "a listener does not connect to servers",
	"grpc_api.tls.server_name":                                   "a listener does not connect to servers",
	"grpc.tls.server_ca_pem":                                     "a listener does not connect to servers",
	"grpc.tls.insecure_skip_verify":                              "a listener does not connect to servers",
	"grpc.tls.server_name":                                       "a listener does not connect to servers",
	"uni_grpc.tls.server_ca_pem":                                 "a listener does not connect to servers",
	"uni_grpc.tls.insecure_skip_verify":                          "a listener does not connect to servers",
	"uni_grpc.tls.server_name":                                   "a listener does not connect to servers",
	"engine.redis.replica_client.enabled":                        "reads go to masters",
	"engine.redis.tls.client_ca_pem":                             "a client does not verify clients",
	"engine.redis.sentinel_tls.client_ca_pem":                    "a client does not verify clients",
	"broker.redis.replica_client.enabled":                        "reads go to masters",
	"broker.redis.tls.client_ca_pem":                             "a client does not verify clients",
	"broker.redis.sentinel_tls.client_ca_pem":                    "a client does not verify clients",
	"presence_manager.redis.replica_client.enabled":              "reads go to masters",
	"client.token.jwks_tls.client_ca_pem":                        "a client does not verify clients",
	"client.token.issuers[].jwks_tls.client_ca_pem":              "a client does not verify clients",
	"client.subscription_token.jwks_tls.client_ca_pem":           "a client does not verify clients",
	"client.subscription_token.issuers[].jwks_tls.client_ca_pem": "a client does not verify clients",
	"presence_manager.redis.tls.client_ca_pem":                   "a client does not verify clients",
	"presence_manager.redis.sentinel_tls.client_ca_pem":          "a client does not verify clients",
	"proxies[].http.tls.client_ca_pem":                           "a client does not verify clients",
	"proxies[].grpc.tls.client_ca_pem":                           "a client does not verify clients",
	"consumers[].postgresql.tls.client_ca_pem":                   "a client does not verify clients",
	"consumers[].kafka.tls.client_ca_pem":                        "a client does not verify clients",
	"consumers[].nats_jetstream.tls.client_ca_pem":               "a client does not verify clients",
	"consumers[].redis_stream.prefix":                            "streams are named in full",
	"consumers[].redis_stream.sharded_pubsub_partitions":         "streams are not messages of PUB/SUB",
	"consumers[].redis_stream.replica_client.enabled":            "reads go to masters",
	"consumers[].redis_stream.tls.client_ca_pem":                 "a client does not verify clients",
	"consumers[].redis_stream.sentinel_tls.client_ca_pem":        "a client does not verify clients",
}

// NoEffect returns why a key changes nothing although its feature is built, or nothing.
func (k Key) NoEffect() string { return withoutEffect[generalPath(k.Path)] }

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
// stands for the options of channels, `[]` for the items of a list, `proxies[].` for every
// proxy that is built.
func generalPath(path string) string {
	path = plainPath(path)
	for _, section := range builtProxies {
		if rest, ok := strings.CutPrefix(path, section); ok && rest != "enabled" {
			return "proxies[]." + rest
		}
	}
	for _, options := range []string{"channel.without_namespace.", "channel.namespaces[]."} {
		if rest, ok := strings.CutPrefix(path, options); ok {
			return "channel.*." + rest
		}
	}
	return path
}

// builtProxies are the sections of the proxies with the name `default`.
var builtProxies = []string{
	"client.proxy.connect.", "client.proxy.refresh.", "channel.proxy.subscribe.", "channel.proxy.publish.", "channel.proxy.sub_refresh.",
	"channel.proxy.subscribe_stream.", "rpc.proxy.",
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
	"channel.*.subscription_type": "subscriptions would be refused",
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
	case "channel.*.subscription_type":
		if v.String() == "stream" {
			return ""
		}
	}
	return reason
}

// CheckBuilt returns an error when the configuration cannot be used because this
// version lacks what it asks for: users would be locked out, or let in on other terms. The
// server must not start then. What else is not built is a warning of Load. The types of
// engines are judged by package app, which makes them.
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
	if len(problems) > 0 {
		return problems
	}
	return nil
}
