package app

import (
	"context"
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
	"http_api.disabled": {"true", ""}, "http_api.handler_prefix": {"/x", ""}, "http_api.external": {"true", "http_server.internal_port=9000"},
	"prometheus.enabled": {"true", ""}, "prometheus.handler_prefix": {"/x", "prometheus.enabled=true"},
	"health.enabled": {"true", ""}, "health.handler_prefix": {"/x", "health.enabled=true"},
	"debug.enabled": {"true", ""}, "debug.handler_prefix": {"/x", "debug.enabled=true"},
	"init.enabled": {"true", ""}, "init.handler_prefix": {"/x", "init.enabled=true"},
	"engine.memory.history_max_size": {"3000", ""}, "engine.memory.history_max_channels": {"3", ""},
}

// refusedValues holds keys with only one value in this version. Others are refused.
var refusedValues = map[string]struct{ value, base string }{
	"engine.type": {"redis", ""}, "broker.type": {"nats", "broker.enabled=true"}, "broker.enabled": {"true", "broker.type=nats"},
	"presence_manager.type": {"redis", "presence_manager.enabled=true"}, "presence_manager.enabled": {"true", "presence_manager.type=redis"},
}

// effectTests name the test that shows the effect of a key: file below server, and
// function. The test must name the key or its field.
var effectTests = map[string]string{
	"http_server.tls.cert_pem": "internal/app/check_test.go:TestCheckIsTheStart", "http_server.tls.key_pem": "internal/app/check_test.go:TestCheckIsTheStart",
	"http_server.internal_tls.cert_pem":   "internal/app/check_test.go:TestCheckIsTheStart",
	"http_server.internal_tls.key_pem":    "internal/app/check_test.go:TestCheckIsTheStart",
	"http_server.h2c_external":            "internal/app/h2c_test.go:TestH2CExternal",
	"prometheus.instrument_http_handlers": "internal/app/instrument_test.go:TestRequestsAreCounted",
	"http_server.tls.enabled":             "internal/app/tls_test.go:TestTLSOfListeners", "http_server.tls_external": "internal/app/tls_test.go:TestTLSOfListeners",
	"http_server.tls_threaded":         "internal/app/tls_test.go:TestTLSThreaded",
	"http_server.internal_tls.enabled": "internal/app/tls_test.go:TestTLSOfListeners",
	"http_server.tls.client_ca_pem":    "internal/app/tls_test.go:TestClientCertificates",
	"log.file":                         "exit_test.go:TestLogFile", "pid_file": "exit_test.go:TestSignalsEndTheServer", "shutdown.timeout": "exit_test.go:TestShutdownDeadline",
	"node.info_metrics_aggregate_interval": "internal/app/metrics_test.go:TestInfoMetrics",
	"client.allowed_origins":               "internal/app/endpoint_test.go:TestOriginOfWebSockets",
	"client.connection_limit":              "internal/app/endpoint_test.go:TestConnectionLimit", "client.connection_rate_limit": "internal/app/endpoint_test.go:TestConnectionRateLimit",
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
		_, probed := settingsKeys[path]
		_, refused := refusedValues[path]
		test := effectTests[path]
		seen[path] = true
		switch {
		case k.NotBuilt(), k.NoEffect() != "":
			if probed || refused || test != "" {
				t.Errorf("%s: listed as without effect, and with one", k.Path)
			}
			if !strings.Contains(k.Path, "[]") { // the warnings name items as they name these
				warnedOf(t, k)
			}
		case probed:
			p := settingsKeys[path]
			if before, after := settings(t, p.base), settings(t, p.base+" "+path+"="+p.value); before == after {
				t.Errorf("%s=%s changes nothing:\n%s", path, p.value, before)
			}
		case refused:
			p := refusedValues[path]
			if before, after := built(t, p.base), built(t, p.base+" "+path+"="+p.value); before != nil || after == nil {
				t.Errorf("%s=%s: error %v, before %v", path, p.value, after, before)
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
			t.Errorf("%s: no such key", path)
		}
	}
	for path := range effectTests {
		if !seen[path] {
			t.Errorf("%s: no such key", path)
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

func built(t *testing.T, words string) error {
	t.Helper()
	cfg, _, err := config.Load(options(words))
	if err != nil {
		t.Fatalf("%s: %v", words, err)
	}
	return cfg.CheckBuilt()
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
			t.Errorf("%s: the error names another key: %v", k.Path, err)
		}
		return
	}
	if err := cfg.CheckBuilt(); err != nil && strings.Contains(err.Error(), k.Path) {
		return
	}
	for _, w := range warnings {
		if (w.Kind == config.NotBuilt || w.Kind == config.NoEffect) && strings.Contains(", "+w.Key+",", ", "+k.Path+",") {
			return
		}
	}
	t.Errorf("%s=%s: neither an error nor a warning: %v", k.Path, value, warnings)
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
		scalars(&b, reflect.ValueOf(t.handler).Elem().FieldByName("config"))
	}
	node := reflect.ValueOf(a.node).Elem()
	scalars(&b, node.FieldByName("config"))
	scalars(&b, node.FieldByName("config").FieldByName("Broker").Elem().Elem().FieldByName("config"))
	plans, err := a.plan()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range plans {
		fmt.Fprintln(&b, p.address, p.routes.patterns, p.tls.Enabled)
	}
	log, err := newLogger(cfg.Log, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&b, log.Enabled(context.Background(), slog.LevelDebug))
	return b.String()
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
