package config

import (
	"fmt"
	"reflect"
	"strings"
	"sync"
)

// formerIrregular are keys of Centrifugo v2 to v5 whose successor does not follow
// from their name (server.md 6.9). Empty: nothing replaces them.
var formerIrregular = map[string]string{
	"secret": "client.token.hmac_secret_key", "name": "node.name", "engine": "engine.type", "broker": "broker.type",
	"address": "http_server.address", "port": "http_server.port", "internal_address": "http_server.internal_address",
	"internal_port": "http_server.internal_port", "tls": "http_server.tls.enabled", "tls_external": "http_server.tls_external",
	"tls_autocert": "http_server.tls_autocert.enabled", "http3": "http_server.http3.enabled",
	"redis_tls": "engine.redis.tls.enabled", "redis_sentinel_tls": "engine.redis.sentinel_tls.enabled",
	"redis_host": "engine.redis.address", "redis_port": "engine.redis.address", "redis_url": "engine.redis.address",
	"redis_cluster_addrs": "engine.redis.cluster_address", "redis_sentinels": "engine.redis.sentinel_address",
	"redis_master_name": "engine.redis.sentinel_master_name", "redis_use_lists": "engine.redis.history_use_lists",
	"redis_read_timeout": "engine.redis.io_timeout", "redis_write_timeout": "engine.redis.io_timeout",
	"global_presence_ttl": "engine.redis.presence_ttl", "presence_ttl": "engine.redis.presence_ttl",
	"client_presence_expire_interval":    "engine.redis.presence_ttl",
	"global_redis_presence_user_mapping": "engine.redis.presence_user_mapping",
	"global_history_meta_ttl":            "channel.history_meta_ttl", "memory_history_meta_ttl": "channel.history_meta_ttl",
	"redis_history_meta_ttl": "channel.history_meta_ttl", "redis_sequence_ttl": "channel.history_meta_ttl",
	"separate_subscription_token_config": "client.subscription_token.enabled",
	"client_anonymous":                   "client.allow_anonymous_connect_without_token",
	"client_presence_ping_interval":      "client.presence_update_interval", "client_ping_interval": "client.ping_interval",
	"websocket_ping_interval": "client.ping_interval", "client_message_write_timeout": "websocket.write_timeout",
	"client_request_max_size": "websocket.message_size_limit", "websocket_disable": "websocket.disabled",
	"api_disable": "http_api.disabled", "usage_stats_disable": "usage_stats.disabled", "rpc_ping": "rpc.ping.enabled",
	"node_info_metrics_aggregate_interval": "node.info_metrics_aggregate_interval",
	"user_subscribe_to_personal":           "client.subscribe_to_user_personal_channel.enabled",
	"user_personal_channel_namespace":      "client.subscribe_to_user_personal_channel.personal_channel_namespace",
	"user_personal_single_connection":      "client.subscribe_to_user_personal_channel.single_connection",
	"namespaces":                           "channel.namespaces", "granular_proxy_mode": "proxies",
	"proxy_http_headers": "client.proxy.connect.http_headers", "proxy_extra_http_headers": "client.proxy.connect.http_headers",
	"proxy_grpc_metadata": "client.proxy.connect.grpc_metadata", "connect_proxy_name": "client.proxy.connect",
	"refresh_proxy_name": "client.proxy.refresh", "rpc_proxy_name": "rpc.without_namespace.proxy_name",
	"token": "client.token",

	"sockjs": "", "sockjs_disable": "", "sockjs_url": "", "sockjs_heartbeat_delay": "", "sockjs_handler_prefix": "",
	"v3_use_offset": "", "redis_streams": "", "redis_pubsub_num_workers": "", "redis_idle_timeout": "", "gomaxprocs": "",
	"shutdown_termination_delay": "", "use_client_protocol_v1_by_default": "", "disable_client_protocol_v1": "",
	"tls_autocert_force_rsa": "",
}

// formerOptions are options of channels in Centrifugo v2 to v4.
var formerOptions = map[string]string{
	"publish": "allow_publish_for_client", "subscribe_to_publish": "allow_publish_for_subscriber",
	"anonymous": "allow_subscribe_for_anonymous", "protected": "allow_subscribe_for_client", "server_side": "allow_subscribe_for_client",
	"presence_disable_for_client": "allow_presence_for_subscriber", "history_disable_for_client": "allow_history_for_subscriber",
	"position": "force_positioning", "recover": "force_recovery", "history_recover": "force_recovery",
	"history_lifetime": "history_ttl", "proxy_subscribe": "subscribe_proxy_enabled", "proxy_publish": "publish_proxy_enabled",
	"proxy_sub_refresh": "sub_refresh_proxy_enabled", "proxy_subscribe_stream": "subscribe_stream_proxy_enabled",
	"proxy_subscribe_stream_bidirectional": "subscribe_stream_proxy_bidirectional",
}

// formerFamilies are sections whose keys had another first part.
var formerFamilies = []struct{ section, flat string }{
	{"channel.without_namespace.", ""}, // first: all others win
	{"client.allowed_origins", "allowed_origins"}, {"client.ping_interval", "ping_interval"}, {"client.pong_timeout", "pong_timeout"},
	{"client.allow_anonymous_connect_without_token", "allow_anonymous_connect_without_token"},
	{"client.disallow_anonymous_connection_tokens", "disallow_anonymous_connection_tokens"},
	{"client.token.", "token_"}, {"client.subscription_token.", "subscription_token_"}, {"http_api.", "api_"},
	{"engine.redis.", "redis_"}, {"broker.nats.", "nats_"}, {"http_server.tls_autocert.", "tls_autocert_"},
	{"http_server.tls.", "tls_"}, {"client.proxy.connect.", "proxy_connect_"}, {"client.proxy.refresh.", "proxy_refresh_"},
	{"channel.proxy.", "proxy_"}, {"rpc.proxy.", "proxy_rpc_"},
}

// formerKeys are the flat keys of Centrifugo v2 to v5, and what they are now.
var formerKeys = sync.OnceValue(func() map[string]string {
	out := map[string]string{}
	paths := allPaths()
	flat := func(path string) string { return strings.ReplaceAll(path, ".", "_") }
	for _, family := range formerFamilies {
		for _, path := range paths {
			if rest, ok := strings.CutPrefix(path, family.section); ok && family.flat+rest != "" {
				out[family.flat+flat(rest)] = path
			}
		}
	}
	for _, path := range paths {
		section, key, _ := strings.Cut(path, ".")
		switch {
		case key == "enabled": // a switch that had the name of the section
			out[section] = path
		case key != "":
			out[flat(path)] = path
		}
	}
	for old, now := range formerOptions {
		out[old] = "channel.without_namespace." + now
	}
	for _, leaf := range [][2]string{{"cert", "cert_pem"}, {"key", "key_pem"}, {"root_ca", "server_ca_pem"}, {"client_ca", "client_ca_pem"}} {
		for section, head := range map[string]string{"http_server.tls.": "tls_", "engine.redis.tls.": "redis_tls_", "grpc_api.tls.": "grpc_api_tls_", "uni_grpc.tls.": "uni_grpc_tls_"} {
			out[head+leaf[0]], out[head+leaf[0]+"_pem"] = section+leaf[1], section+leaf[1]
		}
	}
	for old, now := range formerIrregular {
		out[old] = now
	}
	return out
})

// former returns the successor of a key of a former version; ok says that it is one.
func former(path, key string) (now string, ok bool) {
	switch plainPath(path) {
	case "":
		now, ok = formerKeys()[key]
	case "channel.without_namespace", "channel.namespaces[]", "namespaces[]":
		if now, ok = formerOptions[key]; ok {
			now = join(path, now)
		}
	case "rpc.namespaces[]", "rpc_namespaces[]":
		now, ok = join(path, "proxy_name"), key == "rpc_proxy_name"
	case "consumers[]":
		now, ok = join(path, "enabled"), key == "disabled"
	}
	return now, ok
}

// formerPhrase is in the message of every problem with a key of a former version.
const formerPhrase = "Centrifugo v5 and earlier had "

const formerMark = " (" + formerPhrase + "this key)"

// formerHint is the hint for a key of a former version.
func (l *loader) formerHint(now string) string {
	l.former = true
	if now == "" {
		return ": " + formerPhrase + "it, nothing replaces it"
	}
	return ", did you mean " + now + "?" + formerMark
}

// switchHint is the hint for a section that was one value in a former version.
func (l *loader) switchHint(t reflect.Type, path string, raw any) string {
	want := ""
	switch raw.(type) {
	case bool:
		want = "enabled"
	case string:
		want = "type"
	}
	for _, f := range fieldsOf(t) {
		if f.key == want && path != "" && !strings.Contains(path, ".") {
			return l.formerHint(join(path, want))
		}
	}
	return ""
}

// nameFormer names a file as what it is, and the command that helps, ahead of its single
// keys. Several old keys at the top level are told together: each of them would be a line.
func (l *loader) nameFormer(file string) {
	if !l.former {
		return
	}
	var old []string
	rest := l.problems[:0:0]
	for _, p := range l.problems {
		if strings.Contains(p.Message, formerPhrase) && !strings.Contains(p.Key, ".") {
			old = append(old, p.Key)
		} else {
			rest = append(rest, p)
		}
	}
	message := "a configuration of Centrifugo v5 or earlier, or a part of one; centrifugo migrate -c " + file + " turns it into the form of v6"
	if len(old) > 1 {
		l.problems = rest
		message += ": it has " + strings.Join(old[:min(len(old), 5)], ", ")
		if len(old) > 5 {
			message += fmt.Sprintf(" and %d more such keys", len(old)-5)
		}
	}
	l.problems = append(Problems{{file, message}}, l.problems...)
}

const formerVariable = "a variable of Centrifugo v5 or earlier (centrifugo migrate writes those into a configuration file)"

// formerEnviron reports whether a variable belongs to a former version, and adds
// the problem: the server would run on a part of what the variables say.
func (l *loader) formerEnviron(name string) bool {
	if injectedValue.MatchString(l.environ[name]) {
		return false
	}
	now, ok := formerKeys()[strings.ToLower(strings.TrimPrefix(name, envPrefix+"_"))]
	switch {
	case !ok:
		return false
	case now == "":
		l.problem(name, formerVariable+", nothing replaces it")
	default:
		l.problem(name, formerVariable+", now "+envName(envPrefix, now))
	}
	return true
}
