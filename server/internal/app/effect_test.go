package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"centrifugo/server/internal/config"
)

// settingsKeys holds keys that change how the server is built: listeners, routes, the
// settings of the node, its engine and WebSocket. Each has a value other than its
// default, and the other keys that must be set for it to have an effect.
var settingsKeys = map[string]struct {
	value string
	base  string
}{
	"http_server.address": {"127.0.0.1", ""}, "http_server.port": {"9000", ""},
	"http_server.internal_address": {"127.0.0.1", "http_server.internal_port=9000"}, "http_server.internal_port": {"9000", ""},
	"node.name": {"x", ""}, "log.level": {"debug", ""},
	"client.insecure": {"true", ""}, "client.insecure_skip_token_signature_verify": {"true", ""}, "http_api.insecure": {"true", ""}, // loopback only
	"client.ping_interval": {"30s", ""}, "client.pong_timeout": {"3s", ""}, "client.expired_close_delay": {"3s", ""},
	"client.expired_sub_close_delay": {"3s", ""}, "client.stale_close_delay": {"3s", ""}, "client.channel_limit": {"3", ""},
	"client.queue_max_size": {"3000", ""}, "client.queue_max_total_size": {"300000", ""}, "client.reply_max_size": {"300000", ""},
	"client.write_delay": {"3ms", ""}, "client.max_messages_in_frame": {"3", ""}, "client.presence_update_interval": {"3s", ""},
	"client.concurrency": {"3", ""}, "client.channel_position_check_delay": {"3s", ""}, "client.user_connection_limit": {"3", ""},
	"client.connect_include_server_time": {"true", ""}, "client.history_max_publication_limit": {"3", ""},
	"client.recovery_max_publication_limit": {"3", ""},
	"channel.history_meta_ttl":              {"300h", ""}, "channel.max_length": {"30", ""},
	"websocket.disabled": {"true", ""}, "websocket.handler_prefix": {"/x", ""}, "websocket.compression": {"true", ""},
	"websocket.compression_min_size": {"30", ""}, "websocket.compression_level": {"3", ""}, "websocket.write_timeout": {"3s", ""},
	"websocket.message_size_limit": {"30000", ""}, "websocket.decompressed_message_size_limit": {"30000", ""},
	"uni_websocket.enabled":                         {"true", ""},
	"uni_websocket.handler_prefix":                  {"/x", "uni_websocket.enabled=true"},
	"uni_websocket.compression":                     {"true", "uni_websocket.enabled=true"},
	"uni_websocket.compression_min_size":            {"30", "uni_websocket.enabled=true"},
	"uni_websocket.compression_level":               {"3", "uni_websocket.enabled=true"},
	"uni_websocket.write_timeout":                   {"3s", "uni_websocket.enabled=true"},
	"uni_websocket.message_size_limit":              {"30000", "uni_websocket.enabled=true"},
	"uni_websocket.decompressed_message_size_limit": {"30000", "uni_websocket.enabled=true"},
	"uni_websocket.disable_closing_handshake":       {"true", "uni_websocket.enabled=true"},
	"uni_websocket.disable_disconnect_push":         {"true", "uni_websocket.enabled=true"},
	"uni_websocket.join_push_messages":              {"true", "uni_websocket.enabled=true"},
	"sse.enabled":                                   {"true", ""}, "sse.handler_prefix": {"/x", "sse.enabled=true"}, "sse.max_request_body_size": {"30000", "sse.enabled=true"},
	"http_stream.enabled": {"true", ""}, "http_stream.handler_prefix": {"/x", "http_stream.enabled=true"},
	"http_stream.max_request_body_size": {"30000", "http_stream.enabled=true"}, "emulation.handler_prefix": {"/x", "sse.enabled=true"},
	"uni_sse.enabled": {"true", ""}, "uni_sse.handler_prefix": {"/x", "uni_sse.enabled=true"},
	"uni_sse.max_request_body_size": {"30000", "uni_sse.enabled=true"},
	"uni_http_stream.enabled":       {"true", ""}, "uni_http_stream.handler_prefix": {"/x", "uni_http_stream.enabled=true"},
	"uni_http_stream.max_request_body_size": {"30000", "uni_http_stream.enabled=true"},
	"http_api.disabled":                     {"true", ""}, "http_api.handler_prefix": {"/x", ""}, "http_api.external": {"true", "http_server.internal_port=9000"},
	"grpc.enabled": {"true", ""}, "grpc.port": {"9000", "grpc.enabled=true"}, "grpc.address": {"127.0.0.1", "grpc.enabled=true"},
	"uni_grpc.enabled": {"true", ""}, "uni_grpc.port": {"9000", "uni_grpc.enabled=true"}, "uni_grpc.address": {"127.0.0.1", "uni_grpc.enabled=true"},
	"grpc_api.enabled": {"true", ""}, "grpc_api.port": {"9000", "grpc_api.enabled=true"},
	"grpc_api.address": {"127.0.0.1", "grpc_api.enabled=true"}, "grpc_api.insecure": {"true", "grpc_api.enabled=true"}, // loopback only
	"prometheus.enabled": {"true", ""}, "prometheus.handler_prefix": {"/x", "prometheus.enabled=true"},
	"swagger.enabled": {"true", ""}, "swagger.handler_prefix": {"/x", "swagger.enabled=true"},
	"health.enabled": {"true", ""}, "health.handler_prefix": {"/x", "health.enabled=true"},
	"debug.enabled": {"true", ""}, "debug.handler_prefix": {"/x", "debug.enabled=true"},
	"admin.enabled": {"true", ""}, "admin.handler_prefix": {"/x", "admin.enabled=true"}, "admin.insecure": {"true", "admin.enabled=true"}, // loopback only
	"admin.external": {"true", "admin.enabled=true http_server.internal_port=9000"},
	"init.enabled":   {"true", ""}, "init.handler_prefix": {"/x", "init.enabled=true"},
	"engine.memory.history_max_size": {"3000", ""}, "engine.memory.history_max_channels": {"3", ""},
	"engine.type": {"redis", ""}, "broker.type": {"redis", "broker.enabled=true"}, "broker.enabled": {"true", "broker.type=redis"},
	"presence_manager.type": {"redis", "presence_manager.enabled=true"}, "presence_manager.enabled": {"true", "presence_manager.type=redis"},
}

// redisKeys are the keys of the sections of Redis, as settingsKeys has them. SECTION is the
// key of the section.
var redisKeys = map[string]struct{ value, base string }{
	"prefix": {"x", ""}, "address": {"a:1", ""}, "cluster_address": {"a:1", ""}, "sentinel_address": {"a:1", "SECTION.sentinel_master_name=m"},
	"sentinel_master_name": {"n", "SECTION.sentinel_master_name=m"}, "sentinel_user": {"x", ""}, "sentinel_password": {"x", ""},
	"sentinel_client_name": {"x", ""}, "sentinel_tls.enabled": {"true", ""}, "sentinel_tls.insecure_skip_verify": {"true", "SECTION.sentinel_tls.enabled=true"},
	"sentinel_tls.server_name": {"x", "SECTION.sentinel_tls.enabled=true"}, "db": {"3", ""}, "user": {"x", ""}, "password": {"x", ""},
	"client_name": {"x", ""}, "force_resp2": {"true", ""}, "connect_timeout": {"3s", ""}, "io_timeout": {"3s", ""}, "tls.enabled": {"true", ""},
	"tls.insecure_skip_verify": {"true", "SECTION.tls.enabled=true"}, "tls.server_name": {"x", "SECTION.tls.enabled=true"},
	"sharded_pubsub_partitions": {"3", "SECTION.cluster_address=a:1"},
	"history_use_lists":         {"true", ""}, "delivery": {"streams", ""}, "delivery_stream_size": {"300", "SECTION.delivery=streams"}, "presence_ttl": {"3m", ""}, "presence_hash_field_ttl": {"true", ""}, "presence_user_mapping": {"true", ""},
}

// redisSections are the sections of Redis with the settings that make them used.
var redisSections = map[string]string{
	"engine.redis": "engine.type=redis", "broker.redis": "broker.enabled=true broker.type=redis",
	"presence_manager.redis": "presence_manager.enabled=true presence_manager.type=redis",
}

func init() {
	for section, base := range redisSections {
		for key, p := range redisKeys {
			if presence := strings.HasPrefix(key, "presence_"); presence && section == "broker.redis" || (key == "history_use_lists" || strings.HasPrefix(key, "delivery")) && section == "presence_manager.redis" {
				continue
			}
			settingsKeys[section+"."+key] = struct{ value, base string }{p.value, base + " " + strings.ReplaceAll(p.base, "SECTION", section)}
		}
		for _, section := range []string{section + ".tls.", section + ".sentinel_tls."} {
			for _, key := range []string{"cert_pem", "key_pem", "server_ca_pem"} {
				effectTests[section+key] = "internal/app/redis_test.go:TestRedisTLS"
			}
		}
	}
}

func init() {
	for test, keys := range map[string]string{
		"internal/app/telemetry_test.go:TestTraces":                   `opentelemetry.enabled opentelemetry.api opentelemetry.consuming`,
		"internal/app/telemetry_test.go:TestGoogleCredentials":        `opentelemetry.google_cloud_adc_auth`,
		"internal/app/graphite_test.go:TestGraphite":                  `graphite.enabled graphite.host graphite.port graphite.prefix graphite.interval graphite.tags`,
		"internal/app/native_histograms_test.go:TestNativeHistograms": `prometheus.native_histograms`,
		"internal/app/metrics_test.go:TestClientNames":                `prometheus.client_names prometheus.recovered_publications_histogram`,
		"internal/app/proxy_test.go:TestProxyTLS": `proxies[].http.tls.enabled proxies[].http.tls.cert_pem proxies[].http.tls.key_pem proxies[].http.tls.server_ca_pem
			proxies[].http.tls.insecure_skip_verify proxies[].http.tls.server_name proxies[].grpc.tls.enabled proxies[].grpc.tls.cert_pem
			proxies[].grpc.tls.key_pem proxies[].grpc.tls.server_ca_pem proxies[].grpc.tls.insecure_skip_verify proxies[].grpc.tls.server_name`,
		"internal/proxy/http_test.go:TestTimeout":  `proxies[].timeout`,
		"internal/proxy/http_test.go:TestRequests": `proxies[].binary_encoding proxies[].include_connection_meta`,
		"internal/proxy/http_test.go:TestStatusTransforms": `proxies[].http.status_to_code_transforms[].status_code
			proxies[].http.status_to_code_transforms[].to_error.code proxies[].http.status_to_code_transforms[].to_error.message
			proxies[].http.status_to_code_transforms[].to_error.temporary proxies[].http.status_to_code_transforms[].to_disconnect.code
			proxies[].http.status_to_code_transforms[].to_disconnect.reason`,
		"internal/proxy/http_test.go:TestConnectionsAreReused":   `proxies[].limit.max_in_flight`,
		"internal/proxy/headers_test.go:TestHeaders":             `proxies[].http_headers proxies[].grpc_metadata proxies[].emulated_headers proxies[].http.static_headers`,
		"internal/proxy/carriers_test.go:TestEventsOverCarriers": `proxies[].grpc.static_metadata`,
		"internal/proxygrpc/carrier_test.go:TestMetadata":        `proxies[].grpc.credentials_key proxies[].grpc.credentials_value proxies[].grpc.compression`,
		"internal/proxy/limiter_test.go:TestLimiterFixed":        `proxies[].limit.fixed`,
		"internal/proxy/limiter_test.go:TestLimiterQueue":        `proxies[].limit.queue_size proxies[].limit.queue_timeout`,
		"internal/proxy/guard_test.go:TestBreaker":               `proxies[].breaker.disabled proxies[].breaker.failure_percent proxies[].breaker.min_calls`,
		"internal/proxy/guard_test.go:TestBreakerCloses":         `proxies[].breaker.open_time`,
		"internal/access/proxied_test.go:TestRPCByProxy": `rpc.without_namespace.proxy_enabled rpc.without_namespace.proxy_name rpc.namespaces[].name
			rpc.namespaces[].proxy_enabled rpc.namespaces[].proxy_name rpc.namespace_boundary`,
		"internal/app/proxy_test.go:TestEventProxies": `proxies[].endpoint proxies[].name client.proxy.connect.enabled client.proxy.refresh.enabled
			channel.*.subscribe_proxy_enabled channel.*.subscribe_proxy_name channel.*.publish_proxy_enabled channel.*.publish_proxy_name
			channel.*.sub_refresh_proxy_enabled channel.*.sub_refresh_proxy_name channel.*.subscribe_stream_proxy_enabled
			channel.*.subscribe_stream_proxy_name channel.*.subscribe_stream_proxy_bidirectional`,
	} {
		for key := range strings.FieldsSeq(keys) {
			effectTests[key] = test
		}
	}
}

// effectTests name the test that shows the effect of a key: file below server, and
// function. The test must name the key or its field.
var effectTests = map[string]string{
	"http_server.tls.cert_pem": "internal/app/check_test.go:TestCheckIsTheStart", "http_server.tls.key_pem": "internal/app/check_test.go:TestCheckIsTheStart",
	"http_server.internal_tls.cert_pem":     "internal/app/check_test.go:TestCheckIsTheStart",
	"http_server.internal_tls.key_pem":      "internal/app/check_test.go:TestCheckIsTheStart",
	"http_server.reuse_port":                "handover_linux_test.go:TestHandover",
	"http_server.proxy_protocol_from":       "internal/app/client_address_test.go:TestClientAddresses",
	"http_server.forwarded_for_from":        "internal/app/client_address_test.go:TestClientAddresses",
	"http_server.h2c_external":              "internal/app/h2c_test.go:TestH2CExternal",
	"prometheus.publication_latency_sample": "internal/app/namespace_metrics_test.go:TestPublicationLatency",
	"prometheus.channel_namespaces":         "internal/app/namespace_metrics_test.go:TestNamespacesInMetrics",
	"prometheus.instrument_http_handlers":   "internal/app/instrument_test.go:TestRequestsAreCounted",
	"http_server.tls.enabled":               "internal/app/tls_test.go:TestTLSOfListeners", "http_server.tls_external": "internal/app/tls_test.go:TestTLSOfListeners",
	"http_server.http3.enabled":                    "internal/app/http3_test.go:TestHTTP3",
	"webtransport.enabled":                         "internal/app/transport_webtransport_test.go:TestWebTransport",
	"webtransport.handler_prefix":                  "internal/app/transport_webtransport_test.go:TestWebTransport",
	"webtransport.message_size_limit":              "internal/app/transport_webtransport_test.go:TestWebTransportLimit",
	"http_server.tls_autocert.enabled":             "internal/app/acme_test.go:TestACMEListeners",
	"http_server.tls_autocert.http":                "internal/app/acme_test.go:TestACMEChallengeListener",
	"http_server.tls_autocert.http_addr":           "internal/app/acme_test.go:TestACMEChallengeListener",
	"http_server.tls_autocert.host_whitelist":      "internal/acme/manager_test.go:TestACMEUnknownHost",
	"http_server.tls_autocert.server_name":         "internal/acme/manager_test.go:TestACMEUnknownHost",
	"http_server.tls_autocert.cache_dir":           "internal/acme/manager_test.go:TestACMERestart",
	"http_server.tls_autocert.email":               "internal/acme/manager_test.go:TestACMEByTLSALPN",
	"http_server.tls_autocert.directory_url":       "internal/acme/manager_test.go:TestACMEStopped",
	"http_server.tls_autocert.server_ca_pem":       "internal/acme/manager_test.go:TestACMEAuthority",
	"http_server.tls_autocert.external_account_id": "internal/acme/manager_test.go:TestACMEExternalAccount", "http_server.tls_autocert.external_account_key": "internal/acme/manager_test.go:TestACMEExternalAccount",
	"http_server.tls_threaded":         "internal/app/tls_test.go:TestTLSThreaded",
	"http_server.scheduled_writes":     "internal/app/writes_linux_test.go:TestScheduledWrites",
	"http_server.internal_tls.enabled": "internal/app/tls_test.go:TestTLSOfListeners",
	"http_server.tls.client_ca_pem":    "internal/app/tls_test.go:TestClientCertificates",
	"log.file":                         "exit_test.go:TestLogFile", "pid_file": "exit_test.go:TestSignalsEndTheServer", "shutdown.timeout": "exit_test.go:TestShutdownDeadline", "shutdown.release_rate": "internal/app/shutdown_test.go:TestShutdownReleasesByRate",
	"node.info_metrics_aggregate_interval": "internal/app/metrics_test.go:TestInfoMetrics",
	"client.allowed_origins":               "internal/app/endpoint_test.go:TestOriginOfWebSockets",
	"client.connection_limit":              "internal/app/endpoint_test.go:TestConnectionLimit", "client.connection_rate_limit": "internal/app/endpoint_test.go:TestConnectionRateLimit",
	"client.connection_max_delay":                                          "internal/app/endpoint_test.go:TestConnectionMaxDelay",
	"client.user_id_http_header":                                           "internal/app/endpoint_test.go:TestUserHeader",
	"client.subscribe_to_user_personal_channel.enabled":                    "internal/access/connect_test.go:TestPersonalChannel",
	"client.subscribe_to_user_personal_channel.personal_channel_namespace": "internal/access/connect_test.go:TestPersonalChannel",
	"client.subscribe_to_user_personal_channel.single_connection":          "internal/access/connect_test.go:TestSingleConnection",
	"client.allow_anonymous_connect_without_token":                         "internal/access/connect_test.go:TestConnectWithoutToken",
	"client.disallow_anonymous_connection_tokens":                          "internal/access/connect_test.go:TestConnectByToken",
	"client.subscription_token.enabled":                                    "internal/access/subscribe_test.go:TestSubscribe",
	"client.token.hmac_secret_key":                                         "internal/auth/verifier_test.go:TestVerifyConnectClaims",
	"client.token.hmac_previous_secret_key":                                "internal/auth/verifier_test.go:TestPreviousSecret",
	"client.token.hmac_previous_secret_key_valid_until":                    "internal/auth/verifier_test.go:TestPreviousSecret",
	"client.token.rsa_public_key":                                          "internal/auth/verifier_test.go:TestAlgorithms",
	"client.token.ecdsa_public_key":                                        "internal/auth/verifier_test.go:TestAlgorithms",
	"client.token.ed25519_public_key":                                      "internal/auth/verifier_test.go:TestAlgorithms",
	"client.token.audience":                                                "internal/auth/verifier_test.go:TestVerifyConnectClaims",
	"client.token.audience_regex":                                          "internal/auth/verifier_test.go:TestVerifyConnectClaims",
	"client.token.issuer":                                                  "internal/auth/verifier_test.go:TestVerifyConnectClaims",
	"client.token.issuer_regex":                                            "internal/auth/verifier_test.go:TestVerifyConnectClaims",
	"client.token.jwks_public_endpoint":                                    "internal/auth/key_set_test.go:TestKeySetAlgorithms",
	"client.token.openid_issuer":                                           "internal/auth/key_set_test.go:TestKeySetAlgorithms",
	"client.token.insecure_skip_jwks_endpoint_safety_check":                "internal/auth/template_test.go:TestTemplateSafety",
	"client.token.user_id_claim":                                           "internal/auth/verifier_test.go:TestUserIDClaim",
	"channel.*.presence":                                                   "internal/channels/permission_test.go:TestFeatures",
	"channel.*.join_leave":                                                 "internal/channels/permission_test.go:TestFeatures",
	"channel.*.force_push_join_leave":                                      "internal/channels/permission_test.go:TestFeatures",
	"channel.*.history_size":                                               "internal/channels/permission_test.go:TestFeatures",
	"channel.*.history_ttl":                                                "internal/channels/permission_test.go:TestFeatures",
	"channel.*.history_meta_ttl":                                           "internal/channels/rules_test.go:TestInheritance",
	"channel.*.force_positioning":                                          "internal/channels/permission_test.go:TestFeatures",
	"channel.*.allow_positioning":                                          "internal/channels/permission_test.go:TestFeatures",
	"channel.*.force_recovery":                                             "internal/channels/permission_test.go:TestFeatures",
	"channel.*.allow_recovery":                                             "internal/channels/permission_test.go:TestFeatures",
	"channel.*.force_recovery_mode":                                        "internal/channels/permission_test.go:TestFeatures",
	"channel.*.auto_cache_recover":                                         "internal/channels/permission_test.go:TestFeatures",
	"channel.*.allowed_delta_types":                                        "internal/subscribeopts/subscribeopts_test.go:TestNew",
	"channel.*.allow_tags_filter":                                          "internal/subscribeopts/subscribeopts_test.go:TestNew",
	"channel.*.delta_publish":                                              "internal/api/api_test.go:TestDeltaOfNamespace",
	"channel.*.allow_channel_compaction":                                   "internal/subscribeopts/subscribeopts_test.go:TestNew",
	"channel.*.slow_reader_policy":                                         "internal/subscribeopts/subscribeopts_test.go:TestNew",
	"channel.*.publish_exclude_sender":                                     "internal/app/delivery_test.go:TestExcludeSender",
	"channel.*.allow_wildcards":                                            "internal/app/delivery_test.go:TestWildcards",
	"channel.*.batch_max_delay":                                            "internal/channels/feature_test.go:TestBatch",
	"channel.*.batch_max_size":                                             "internal/channels/feature_test.go:TestBatch",
	"channel.*.batch_flush_latest":                                         "internal/channels/feature_test.go:TestBatch",
	"channel.*.allow_subscribe_for_client":                                 "internal/channels/permission_test.go:TestMaySubscribe",
	"channel.*.allow_subscribe_for_anonymous":                              "internal/channels/permission_test.go:TestMaySubscribe",
	"channel.*.allow_publish_for_client":                                   "internal/channels/permission_test.go:TestMayPublish",
	"channel.*.allow_publish_for_subscriber":                               "internal/channels/permission_test.go:TestMayPublish",
	"channel.*.allow_publish_for_anonymous":                                "internal/channels/permission_test.go:TestMayPublish",
	"channel.*.allow_presence_for_client":                                  "internal/channels/permission_test.go:TestMayRead",
	"channel.*.allow_presence_for_subscriber":                              "internal/channels/permission_test.go:TestMayRead",
	"channel.*.allow_presence_for_anonymous":                               "internal/channels/permission_test.go:TestMayRead",
	"channel.*.allow_history_for_client":                                   "internal/channels/permission_test.go:TestMayRead",
	"channel.*.allow_history_for_subscriber":                               "internal/channels/permission_test.go:TestMayRead",
	"channel.*.allow_history_for_anonymous":                                "internal/channels/permission_test.go:TestMayRead",
	"channel.*.allow_user_limited_channels":                                "internal/channels/permission_test.go:TestMaySubscribe",
	"channel.*.channel_regex":                                              "internal/channels/rules_test.go:TestNames",
	"channel.*.publication_data_format":                                    "internal/channels/permission_test.go:TestMayPublish",
	"channel.namespaces[].name":                                            "internal/channels/rules_test.go:TestInheritance",
	"channel.publication_data_format":                                      "internal/channels/rules_test.go:TestInheritance",
	"channel.private_prefix":                                               "internal/channels/rules_test.go:TestOtherSeparators",
	"channel.namespace_boundary":                                           "internal/channels/rules_test.go:TestOtherSeparators",
	"channel.user_boundary":                                                "internal/channels/rules_test.go:TestOtherSeparators",
	"channel.user_separator":                                               "internal/channels/rules_test.go:TestOtherSeparators",
	"rpc.ping.enabled":                                                     "internal/access/channel_test.go:TestRPC",
	"rpc.ping.method":                                                      "internal/access/channel_test.go:TestRPC",
	"http_api.key":                                                         "internal/apihttp/handler_test.go:TestKeyNotSet",
	"http_api.error_mode":                                                  "internal/apihttp/handler_test.go:TestErrorModes",

	"uni_sse.connect_code_to_http_response.enabled":                             "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"uni_sse.connect_code_to_http_response.transforms[].code":                   "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"uni_sse.connect_code_to_http_response.transforms[].to.status_code":         "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"uni_sse.connect_code_to_http_response.transforms[].to.body":                "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"uni_http_stream.connect_code_to_http_response.enabled":                     "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"uni_http_stream.connect_code_to_http_response.transforms[].code":           "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"uni_http_stream.connect_code_to_http_response.transforms[].to.status_code": "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"uni_http_stream.connect_code_to_http_response.transforms[].to.body":        "internal/app/transport_httpstream_test.go:TestConnectStatus",
	"client.connect_code_to_unidirectional_disconnect.enabled":                  "internal/app/transport_httpstream_test.go:TestUnidirectionalDisconnect",
	"client.connect_code_to_unidirectional_disconnect.transforms[].code":        "internal/app/transport_httpstream_test.go:TestUnidirectionalDisconnect",
	"client.connect_code_to_unidirectional_disconnect.transforms[].to.code":     "internal/app/transport_httpstream_test.go:TestUnidirectionalDisconnect",
	"client.connect_code_to_unidirectional_disconnect.transforms[].to.reason":   "internal/app/transport_httpstream_test.go:TestUnidirectionalDisconnect",
	"emulation.max_request_body_size":                                           "internal/app/transport_httpstream_test.go:TestEmulation",
	"grpc_api.key":                                                              "internal/apigrpc/server_test.go:TestKey", "grpc_api.error_mode": "internal/apigrpc/server_test.go:TestErrorMode",
	"uni_grpc.max_receive_message_size": "internal/app/transport_grpc_test.go:TestUniGRPCLimits",
	"uni_grpc.tls.enabled":              "internal/app/transport_grpc_test.go:TestUniGRPCTLS",
	"uni_grpc.tls.cert_pem":             "internal/app/transport_grpc_test.go:TestUniGRPCTLS",
	"uni_grpc.tls.key_pem":              "internal/app/transport_grpc_test.go:TestUniGRPCTLS",
	"uni_grpc.tls.client_ca_pem":        "internal/app/transport_grpc_test.go:TestUniGRPCTLS",
	"grpc.max_receive_message_size":     "internal/app/grpc_client_test.go:TestGRPCLimits",
	"grpc.reflection":                   "internal/app/grpc_client_test.go:TestGRPCReflection",
	"grpc.tls.enabled":                  "internal/app/grpc_client_test.go:TestGRPCTLS",
	"grpc.tls.cert_pem":                 "internal/app/grpc_client_test.go:TestGRPCTLS",
	"grpc.tls.key_pem":                  "internal/app/grpc_client_test.go:TestGRPCTLS",
	"grpc.tls.client_ca_pem":            "internal/app/grpc_client_test.go:TestGRPCTLS",
	"grpc_api.reflection":               "internal/apigrpc/server_test.go:TestOtherServices",
	"grpc_api.max_receive_message_size": "internal/apigrpc/server_test.go:TestMalformed",
	"admin.password":                    "internal/app/admin_test.go:TestAdminReload", "admin.secret": "internal/app/admin_test.go:TestAdminReload",
	"admin.web_path": "internal/admin/admin_test.go:TestOwnPage", "admin.web_proxy_address": "internal/admin/admin_test.go:TestProxy",
	"grpc_api.tls.enabled":       "internal/app/api_grpc_test.go:TestGRPCAPITLS",
	"grpc_api.tls.cert_pem":      "internal/app/api_grpc_test.go:TestGRPCAPITLS",
	"grpc_api.tls.key_pem":       "internal/app/api_grpc_test.go:TestGRPCAPITLS",
	"grpc_api.tls.client_ca_pem": "internal/app/api_grpc_test.go:TestGRPCAPITLS",
}

func init() {
	for _, key := range []string{
		"issuer", "openid", "jwks_public_endpoint", "hmac_secret_key", "hmac_previous_secret_key", "hmac_previous_secret_key_valid_until",
		"rsa_public_key", "ecdsa_public_key", "ed25519_public_key",
		"audience", "user_id_claim",
	} {
		effectTests["client.token.issuers[]."+key] = "internal/auth/key_set_test.go:TestIssuers"
	}
	for _, key := range []string{"enabled", "cert_pem", "key_pem", "server_ca_pem", "insecure_skip_verify", "server_name"} {
		for _, section := range []string{"client.token.jwks_tls.", "client.token.issuers[].jwks_tls."} {
			effectTests[section+key] = "internal/auth/key_set_test.go:TestKeySetTLS"
		}
	}
}

// Every key of the configuration, changed alone, has an effect that a test checks, or a
// warning or an error that says that it has none.
func TestEveryKeyHasItsEffect(t *testing.T) {
	keys, err := config.Reference()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, k := range keys {
		if k.Type == "object" || k.Type == "array of objects" {
			continue
		}
		path := strings.NewReplacer("channel.without_namespace.", "channel.*.", "client.subscription_token.", "client.token.",
			"http_server.internal_tls.client_ca_pem", "http_server.tls.client_ca_pem").Replace(k.Path)
		if k.Path == "channel.namespaces[].name" || k.Path == "client.subscription_token.enabled" {
			path = k.Path
		} else {
			path = strings.Replace(path, "channel.namespaces[].", "channel.*.", 1)
		}
		for _, section := range []string{"client.proxy.connect.", "client.proxy.refresh.", "channel.proxy.subscribe.", "channel.proxy.publish.",
			"channel.proxy.sub_refresh.", "channel.proxy.subscribe_stream.", "rpc.proxy."} {
			if rest, ok := strings.CutPrefix(path, section); ok && rest != "enabled" {
				path = "proxies[]." + rest // all proxies are built by the same code
			}
		}
		_, probed := settingsKeys[path]
		test := effectTests[path]
		seen[path] = true
		switch {
		case k.NotBuilt(), k.NoEffect() != "":
			if probed || test != "" {
				t.Errorf("%s: listed as without effect, and with one; want one of both", k.Path)
			}
			if !strings.Contains(k.Path, "[]") { // the warnings name items as they name these
				warnedOf(t, k)
			}
		case probed:
			p := settingsKeys[path]
			if before, after := settings(t, p.base), settings(t, p.base+" "+path+"="+p.value); before == after {
				t.Errorf("%s=%s: the settings are as before:\n%s\nwant others", path, p.value, before)
			}
		case test != "":
			if err := namesKey(test, path); err != nil {
				t.Errorf("%s: %v", k.Path, err)
			}
		default:
			t.Errorf("%s: has no test of its effect; give it one, or list it in package config as without effect", k.Path)
		}
	}
	for path := range settingsKeys {
		if !seen[path] {
			t.Errorf("%s: no such key; want one", path)
		}
	}
	for path := range effectTests {
		if !seen[path] {
			t.Errorf("%s: no such key; want one", path)
		}
	}
}

// options are those of `key=value` words, as flags: they reach every key.
func options(words string) config.Options {
	flags := map[string]string{}
	for word := range strings.FieldsSeq(words) {
		key, value, _ := strings.Cut(word, "=")
		flags[key] = value
	}
	return config.Options{Flags: flags}
}

// warnedOf sets a key alone to a value other than its default.
func warnedOf(t *testing.T, k config.Key) {
	t.Helper()
	value := map[string]string{"bool": "true", "int": "7", "duration": "7s", "map of strings": `{"a": "b"}`}[k.Type]
	if value == "" {
		value = "x"
	}
	if k.Default == value {
		value = "false"
	}
	o := options(k.Path + "=placeholder")
	o.Flags[k.Path] = value
	cfg, warnings, err := config.Load(o)
	if err != nil { // refused at once, such as a section that needs another
		if !strings.Contains(err.Error(), k.Path) && !strings.Contains(err.Error(), strings.TrimSuffix(k.Path, k.Path[strings.LastIndex(k.Path, "."):])) {
			t.Errorf("%s: the error is %v; want it to name the key", k.Path, err)
		}
		return
	}
	_, engineErr := newEngine(cfg, nil)
	if err := errors.Join(cfg.CheckBuilt(), engineErr); err != nil && strings.Contains(err.Error(), k.Path) {
		return
	}
	for _, w := range warnings {
		if (w.Kind == config.NotBuilt || w.Kind == config.NoEffect) && strings.Contains(", "+w.Key+",", ", "+k.Path+",") {
			return
		}
	}
	t.Errorf("%s=%s: no error, warnings %v; want one of both", k.Path, value, warnings)
}

// settings describes how a server is built.
func settings(t *testing.T, words string) string {
	t.Helper()
	cfg, _, err := config.Load(options(words))
	if err != nil {
		t.Fatalf("%s: %v", words, err)
	}
	a := &App{config: cfg, timeouts: defaultTimeouts, log: slog.New(slog.DiscardHandler), logging: new(logging), limits: limits{procs: 1}}
	if err := a.build(); err != nil {
		t.Fatalf("%s: %v", words, err)
	}
	var b strings.Builder
	a.newTransports()
	defer a.closeTransports()
	for _, t := range a.transports {
		fmt.Fprintln(&b, t.path)
		scalars(&b, reflect.ValueOf(t.config))
	}
	node := reflect.ValueOf(a.node).Elem()
	scalars(&b, node.FieldByName("config"))
	for _, part := range []string{"Broker", "PresenceManager"} {
		fmt.Fprintln(&b, part)
		engineSettings(&b, node.FieldByName("config").FieldByName(part))
	}
	plans, err := a.plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plans {
		fmt.Fprintln(&b, p.address, p.endpoints, p.tls(a.config).Enabled)
	}
	log, err := newLogger(cfg.Log, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, log.Enabled(context.Background(), slog.LevelDebug))
	return b.String()
}

// engineSettings writes the settings of a part of the engine, with those of its servers.
func engineSettings(b *strings.Builder, part reflect.Value) {
	if part.IsNil() {
		return
	}
	v := part.Elem().Elem()
	scalars(b, v.FieldByName("config"))
	r := v.FieldByName("redis")
	if !r.IsValid() {
		return
	}
	scalars(b, r.Elem())
	scalars(b, r.Elem().FieldByName("layout"))
	for shards, i := r.Elem().FieldByName("shards"), 0; i < shards.Len(); i++ {
		shard := shards.Index(i).Elem().FieldByName("config")
		scalars(b, shard)
		fmt.Fprintln(b, shard.FieldByName("Cluster"), shard.FieldByName("Sentinels"))
		for _, name := range []string{"TLS", "SentinelTLS"} {
			if c := shard.FieldByName(name); !c.IsNil() {
				fmt.Fprintln(b, name, c.Elem().FieldByName("ServerName"), c.Elem().FieldByName("InsecureSkipVerify"))
			}
		}
	}
}

// scalars writes the fields of a struct that are numbers, texts and switches.
func scalars(b *strings.Builder, v reflect.Value) {
	for i := range v.NumField() {
		switch f := v.Field(i); f.Kind() {
		case reflect.Bool, reflect.String, reflect.Int, reflect.Int64, reflect.Int32, reflect.Uint8, reflect.Uint32:
			fmt.Fprintln(b, v.Type().Field(i).Name, f)
		default:
		}
	}
}

var function = regexp.MustCompile(`(?m)^func (\w+)\(`)

// namesKey checks that a test exists and names the key or the field of it.
func namesKey(test, path string) error {
	file, name, _ := strings.Cut(test, ":")
	source, err := os.ReadFile(filepath.Join("..", "..", file))
	if err != nil {
		return err
	}
	start := strings.Index(string(source), "\nfunc "+name+"(")
	if start < 0 {
		return fmt.Errorf("%s has no %s", file, name)
	}
	body := string(source)[start+1:]
	if next := function.FindAllStringIndex(body, 2); len(next) == 2 {
		body = body[:next[1][0]]
	}
	last := path[strings.LastIndex(path, ".")+1:]
	if !regexp.MustCompile(`(?i)\b` + last + `\b|\b` + strings.ReplaceAll(last, "_", "") + `\b`).MatchString(body) {
		return fmt.Errorf("%s does not name %s", test, last)
	}
	return nil
}
