package config

import (
	"strings"
	"testing"
)

func valuesByKey(c *Config) map[string]Value {
	values := map[string]Value{}
	for _, v := range c.Values() {
		values[v.Key] = v
	}
	return values
}

func TestValuesHaveTheirSource(t *testing.T) {
	file := writeFile(t, "config.json", `{
		"client": {"channel_limit": 7, "ping_interval": "30s"}, "node": {"name": "of-file"}, "log": {"level": "debug"},
		"channel": {"namespaces": [{"name": "news", "history_size": 5, "history_ttl": "1m"}]}}`)
	cfg, _, err := Load(Options{
		File: file, Environ: []string{"CENTRIFUGO_LOG_LEVEL=warn", "CENTRIFUGO_NODE_NAME=of-environ", "CENTRIFUGO_CHANNEL_NAMESPACES=chat",
			"CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_HISTORY_SIZE=9", "CENTRIFUGO_CHANNEL_NAMESPACES_CHAT_HISTORY_TTL=1m", `CENTRIFUGO_RPC_NAMESPACES=[{"name":"math"}]`},
		Flags: map[string]string{"node.name": "of-flag", "http_api.insecure": "true"},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := valuesByKey(cfg)
	for key, want := range map[string][2]string{
		"http_server.port":                      {"8000", "default"},
		"admin.handler_prefix":                  {"/", "default"},
		"client.channel_limit":                  {"7", "file"},
		"client.ping_interval":                  {"30s", "file"},
		"log.level":                             {"warn", "environment"},
		"node.name":                             {"of-flag", "flag"},
		"http_api.insecure":                     {"true", "flag"},
		"http_server.address":                   {"127.0.0.1", "server"}, // of an insecure mode
		"channel.namespaces[news].name":         {"news", "file"},
		"channel.namespaces[news].history_size": {"5", "file"},
		"channel.namespaces[news].presence":     {"", "default"},
		"channel.namespaces[chat].name":         {"chat", "environment"},
		"channel.namespaces[chat].history_size": {"9", "environment"},
		"rpc.namespaces[math].name":             {"math", "environment"},
	} {
		v, ok := got[key]
		if v.Source != want[1] || !ok || want[0] != "" && v.Value != want[0] {
			t.Errorf("%s: value %q from %q, want %q from %q", key, v.Value, v.Source, want[0], want[1])
		}
	}
	if got["shared_poll.concurrency_limit"].NoEffect == "" || got["http_server.port"].NoEffect != "" {
		t.Errorf("no effect: shared_poll %q, port %q; want a reason for the first only", got["shared_poll.concurrency_limit"].NoEffect, got["http_server.port"].NoEffect)
	}
}

// No value that may be secret is shown, in whatever key it is.
func TestValuesHoldNoSecrets(t *testing.T) {
	const secret = "s3cr3t-v4lue"
	settings := map[string]string{
		"http_api": `{"key": "X"}`, "grpc_api": `{"key": "X"}`, "admin": `{"password": "X", "secret": "X"}`,
		"client": `{"token": {"hmac_secret_key": "X", "hmac_previous_secret_key": "X"}, "subscription_token": {"hmac_secret_key": "X"},
			"proxy": {"connect": {"endpoint": "http://user:X@host/path?api_key=X&b=1", "http": {"static_headers": {"authorization": "X"}}}}}`,
		"engine": `{"type": "redis", "redis": {"address": ["redis://user:X@host:1", "redis://host:1/?password=X"], "password": "X", "sentinel_password": "X"}}`,
		"broker": `{"nats": {"url": "nats://user:X@host:1"}, "postgres": {"dsn": "postgres://user:X@host/db"}}`,
		"consumers": `[{"name": "ab", "type": "kafka", "postgresql": {"dsn": "postgres://user:X@host/db"}, "kafka": {"sasl_password": "X"},
			"nats_jetstream": {"url": "nats://user:X@host", "password": "X", "token": "X"}, "azure_service_bus": {"connection_string": "X", "client_secret": "X"}}]`,
	}
	var members []string
	for key, value := range settings {
		members = append(members, `"`+key+`": `+value)
	}
	file := writeFile(t, "config.json", strings.ReplaceAll("{"+strings.Join(members, ",")+"}", "X", secret))
	cfg, _, err := Load(Options{File: file})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range cfg.Values() {
		if strings.Contains(v.Value, secret) {
			t.Errorf("%s shows %q; want no %q in it", v.Key, v.Value, secret)
		}
	}
	got := valuesByKey(cfg)
	for key, want := range map[string]string{
		"http_api.key": "set", "engine.redis.address": "redis://***@host:1 redis://host:1/?password=***",
		"client.proxy.connect.endpoint": "http://***@host/path?api_key=***&b=1", "broker.nats.url": "nats://***@host:1",
		"grpc_api.tls.key_pem": "", "engine.redis.sentinel_password": "set",
	} {
		if got[key].Value != want {
			t.Errorf("%s = %q, want %q", key, got[key].Value, want)
		}
	}
}

// Every key whose name speaks of a secret is hidden.
func TestSecretKeys(t *testing.T) {
	for _, v := range Default().Values() {
		name := v.Key[strings.LastIndex(v.Key, ".")+1:]
		for _, word := range []string{"password", "secret_key", "dsn", "key_pem"} {
			if strings.HasSuffix(name, word) && !v.Secret {
				t.Errorf("%s is shown, want it hidden", v.Key)
			}
		}
	}
	for _, shown := range []string{"client.user_id_http_header", "http_server.port", "client.allowed_origins", "engine.redis.address", "client.token.issuer", "admin.enabled", "client.subscription_token.enabled"} {
		if v, ok := valuesByKey(Default())[shown]; !ok || v.Secret {
			t.Errorf("%s: %+v, want it shown", shown, v)
		}
	}
}
