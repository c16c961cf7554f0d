package config

import (
	"strings"
	"testing"
)

func TestValidation(t *testing.T) {
	ns := func(options string) string {
		return `{"channel": {"namespaces": [{"name": "ns", ` + options + `}]}}`
	}
	tests := []struct{ name, file, want string }{
		{"ping must exceed pong", `{"client": {"ping_interval": "8s"}}`, "client.ping_interval: must be greater"},
		{"log level", `{"log": {"level": "warnings"}}`, `log.level: must be one of`},
		{"port", `{"http_server": {"port": 65536}}`, "http_server.port: must be at most 65535"},
		{"error mode", `{"http_api": {"error_mode": "http"}}`, "http_api.error_mode: must be one of"},
		{"certificate without key", `{"http_server": {"tls": {"cert_pem": "-----BEGIN X-----\n-----END X-----\n"}}}`, "http_server.tls: cert_pem and key_pem"},
		{"TLS without certificate", `{"http_server": {"tls": {"enabled": true}}}`, "http_server.tls.cert_pem: is needed"},
		{"not a PEM", `{"client": {"token": {"rsa_public_key": "/no/such/file"}}}`, "client.token.rsa_public_key: neither PEM"},
		{"ACME", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["rt.example.com"], "server_name": "RT.example.com.", "http": true, "email": "a@b.c"}}}`, ""},
		{"ACME without hosts", `{"http_server": {"tls_autocert": {"enabled": true}}}`, "http_server.tls_autocert.host_whitelist: is needed"},
		{"ACME with a wildcard", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["*.example.com"]}}}`, `http_server.tls_autocert.host_whitelist: "*.example.com": a wildcard`},
		{"ACME with an IP address", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["192.0.2.1"]}}}`, `http_server.tls_autocert.host_whitelist: "192.0.2.1" is not a host name`},
		{"ACME with a name without a dot", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["localhost"]}}}`, `http_server.tls_autocert.host_whitelist: "localhost" is not a host name`},
		{"ACME with a port", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b:443"]}}}`, `http_server.tls_autocert.host_whitelist: "a.b:443" is not a host name`},
		{"ACME with another server name", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "server_name": "c.d"}}}`, "http_server.tls_autocert.server_name: must be one of"},
		{"ACME with a bad e-mail address", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "email": "mailto:a@b.c"}}}`, "http_server.tls_autocert.email: is not an address"},
		{"ACME with a bad address for challenges", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "http": true, "http_addr": "80"}}}`, "http_server.tls_autocert.http_addr: is not an address"},
		{"ACME with a directory without TLS", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "directory_url": "http://a.b/dir"}}}`, "http_server.tls_autocert.directory_url: must be a URL"},
		{"ACME with an account without a key", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "external_account_id": "i"}}}`, "http_server.tls_autocert.external_account_key: external_account_id and external_account_key belong together"},
		{"ACME with a key that is none", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "external_account_id": "i", "external_account_key": "a+b"}}}`, "http_server.tls_autocert.external_account_key: external_account_key is not in base64url"},
		{"ACME with a key with padding", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["a.b"], "external_account_id": "i", "external_account_key": "_-8="}}}`, ""},
		{"ACME and certificates in files", `{"http_server": {"tls": {"enabled": true, "cert_pem": "-----BEGIN X-----\n-----END X-----\n", "key_pem": "-----BEGIN X-----\n-----END X-----\n"}, "tls_autocert": {"enabled": true, "host_whitelist": ["a.b"]}}}`, "http_server.tls_autocert.enabled: excludes http_server.tls.enabled"},
		{"two listeners, one port", `{"http_server": {"internal_address": "127.0.0.1"}}`, "http_server.internal_address: needs an http_server.internal_port"},
		{"two listeners, one port by name", `{"http_server": {"address": "127.0.0.1", "internal_address": "0.0.0.0", "internal_port": 8000}}`, "http_server.internal_address: needs an http_server.internal_port"},
		{"two listeners, two ports", `{"http_server": {"internal_address": "127.0.0.1", "internal_port": 9000}}`, ""},
		{"two listeners, two addresses", `{"http_server": {"address": "127.0.0.2", "internal_address": "127.0.0.1"}}`, ""},
		{"h2c", `{"http_server": {"h2c_external": true}}`, "http_server.h2c_external"},
		{"same path twice", `{"health": {"enabled": true, "handler_prefix": "/api"}}`, "health.handler_prefix: is the same path as that of http_api"},
		{"path is a pattern", `{"http_api": {"handler_prefix": "/{x}"}}`, "http_api.handler_prefix: must be a plain URL path"},
		{"path without slash", `{"http_api": {"handler_prefix": "api"}}`, "http_api.handler_prefix: must be a plain URL path"},
		{"audience twice", `{"client": {"token": {"audience": "a", "audience_regex": "b"}}}`, "client.token.audience: cannot be used together with audience_regex"},
		{"issuer twice", `{"client": {"subscription_token": {"enabled": true, "issuer": "a", "issuer_regex": "b"}}}`, "client.subscription_token.issuer: cannot"},
		{"regex of audience", `{"client": {"token": {"audience_regex": "("}}}`, "client.token.audience_regex: error parsing"},
		{"user claim", `{"client": {"token": {"user_id_claim": "a.b"}}}`, "client.token.user_id_claim: must match"},
		{"key set URL", `{"client": {"token": {"jwks_public_endpoint": "ftp://x"}}}`, "client.token.jwks_public_endpoint: must be an http"},
		{"key set", `{"client": {"token": {"jwks_public_endpoint": "https://x/{{t}}/jwks", "issuer_regex": "(?P<t>a|b)"}}}`, ""},
		{"OpenID", `{"client": {"token": {"openid_issuer": "https://x/realm"}}}`, ""},
		{"OpenID without scheme", `{"client": {"token": {"openid_issuer": "x/realm"}}}`, "client.token.openid_issuer: must be an http"},
		{"OpenID with query", `{"client": {"subscription_token": {"enabled": true, "openid_issuer": "https://x?y"}}}`, "client.subscription_token.openid_issuer: must be"},
		{"OpenID and key set", `{"client": {"token": {"openid_issuer": "https://x", "jwks_public_endpoint": "https://x/k"}}}`, "client.token.openid_issuer: cannot be used together"},
		{"OpenID and issuer", `{"client": {"token": {"openid_issuer": "https://x", "issuer": "https://x"}}}`, "client.token.openid_issuer: cannot be used together"},
		{"issuers", `{"client": {"token": {"issuers": [{"issuer": "https://x", "openid": true}, {"issuer": "a", "hmac_secret_key": "s"}, {"issuer": "b", "jwks_public_endpoint": "https://x/k"}]}}}`, ""},
		{"issuer without name", `{"client": {"token": {"issuers": [{"hmac_secret_key": "s"}]}}}`, "client.token.issuers[0].issuer: is needed"},
		{"issuer listed twice", `{"client": {"token": {"issuers": [{"issuer": "a", "hmac_secret_key": "s"}, {"issuer": "a", "hmac_secret_key": "s"}]}}}`, `client.token.issuers[1].issuer: "a" is defined twice`},
		{"issuer of the section", `{"client": {"token": {"issuer": "a", "issuers": [{"issuer": "a", "hmac_secret_key": "s"}]}}}`, "client.token.issuers: one of the issuers is also that of the section"},
		{"issuer without keys", `{"client": {"token": {"issuers": [{"issuer": "a"}]}}}`, "client.token.issuers[0]: needs exactly one source of keys"},
		{"former secret without a secret", `{"client": {"token": {"issuers": [{"issuer": "a", "rsa_public_key": "x", "hmac_previous_secret_key": "s"}]}}}`, "client.token.issuers[0].hmac_previous_secret_key: needs hmac_secret_key"},
		{"issuer with two sources", `{"client": {"token": {"issuers": [{"issuer": "https://x", "openid": true, "hmac_secret_key": "s"}]}}}`, "client.token.issuers[0]: needs exactly one source of keys"},
		{"issuer that is no URL", `{"client": {"token": {"issuers": [{"issuer": "x", "openid": true}]}}}`, "client.token.issuers[0].issuer: must be an http"},
		{"issuer with a template", `{"client": {"token": {"issuers": [{"issuer": "x", "jwks_public_endpoint": "https://x/{{t}}"}]}}}`, "client.token.issuers[0].jwks_public_endpoint: must be an http or https URL without variables"},
		{"issuer with a user claim", `{"client": {"token": {"issuers": [{"issuer": "x", "hmac_secret_key": "s", "user_id_claim": "a b"}]}}}`, "client.token.issuers[0].user_id_claim: must match"},
		{"issuer with half a certificate", `{"client": {"token": {"issuers": [{"issuer": "https://x", "openid": true, "jwks_tls": {"enabled": true, "cert_pem": "x"}}]}}}`, "client.token.issuers[0].jwks_tls: cert_pem and key_pem"},
		{"origin pattern", `{"client": {"allowed_origins": ["[a"]}}`, "client.allowed_origins"},
		{"personal namespace", `{"client": {"subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "no"}}}`, `namespace "no" is not defined`},
		{"single connection", `{"client": {"subscribe_to_user_personal_channel": {"enabled": true, "single_connection": true}}}`, "needs presence"},
		{"namespace name", `{"channel": {"namespaces": [{"name": "a"}]}}`, "channel.namespaces[a].name: must match"},
		{"namespace without name", `{"channel": {"namespaces": [{}]}}`, "channel.namespaces[0].name: must match"},
		{"namespace twice", `{"channel": {"namespaces": [{"name": "ab"}, {"name": "ab"}]}}`, `channel.namespaces[ab].name: "ab" is defined twice`},
		{"history size alone", ns(`"history_size": 1`), "channel.namespaces[ns]: history_size and history_ttl"},
		{"history TTL alone", ns(`"history_ttl": "1s"`), "history_size and history_ttl"},
		{"history TTL above meta TTL", ns(`"history_size": 1, "history_ttl": "721h"`), "must not exceed history_meta_ttl"},
		{"history TTL above own meta TTL", ns(`"history_size": 1, "history_ttl": "2m", "history_meta_ttl": "1m"`), "must not exceed history_meta_ttl"},
		{"history TTL of parts of seconds", ns(`"history_size": 1, "history_ttl": "1500ms"`), "history_ttl: must be whole seconds"},
		{"meta TTL of parts of seconds", ns(`"history_meta_ttl": "1500ms"`), "history_meta_ttl: must be whole seconds"},
		{"recovery without history", ns(`"force_recovery": true`), "force_recovery: needs history_size"},
		{"recovery mode", ns(`"force_recovery_mode": "x"`), "force_recovery_mode: must be one of"},
		{"cache recovery", ns(`"auto_cache_recover": true`), "auto_cache_recover: needs"},
		{"batch delay", ns(`"batch_max_delay": "1001ms"`), "batch_max_delay: must be at most 1s"},
		{"batch size alone", ns(`"batch_max_size": 10`), "batch_max_size: needs batch_max_delay"},
		{"negative batch size", ns(`"batch_max_delay": "1s", "batch_max_size": -1`), "batch_max_size: must not be negative"},
		{"latest alone", ns(`"batch_flush_latest": true`), "batch_flush_latest: needs batch_max_delay"},
		{"batch without namespace", `{"channel": {"without_namespace": {"batch_max_delay": "2s"}}}`, "channel.without_namespace.batch_max_delay: must be at most 1s"},
		{"slow reader policy", ns(`"slow_reader_policy": "x"`), "slow_reader_policy: must be one of"},
		{"wildcards and limited channels", ns(`"allow_wildcards": true, "allow_user_limited_channels": true`), "allow_wildcards: excludes allow_user_limited_channels"},
		{"wildcards and another engine", `{"engine": {"type": "redis"}, "channel": {"without_namespace": {"allow_wildcards": true}}}`, "allow_wildcards: needs the memory engine"},
		{"wildcards and personal channels", `{"client": {"subscribe_to_user_personal_channel": {"enabled": true}}, "channel": {"without_namespace": {"allow_wildcards": true}}}`, "channel.without_namespace.allow_wildcards: a pattern would match the personal channels"},
		{"wildcards and personal channels of a namespace", `{"client": {"subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "ns"}}, "channel": {"namespaces": [{"name": "ns", "allow_wildcards": true}]}}`, "channel.namespaces[ns].allow_wildcards: a pattern would match"},
		{"delta type", ns(`"allowed_delta_types": ["x"]`), "allowed_delta_types: must be one of"},
		{"channel regex", ns(`"channel_regex": "("`), "channel_regex: error parsing"},
		{"data format", ns(`"publication_data_format": "xml"`), "publication_data_format: must be one of"},
		{"data format of all", `{"channel": {"publication_data_format": "xml"}}`, "channel.publication_data_format: must be one of"},
		{"unknown proxy", ns(`"subscribe_proxy_enabled": true, "subscribe_proxy_name": "pp"`), `subscribe_proxy_name: proxy "pp" is not defined`},
		{"unknown proxy without namespace", `{"channel": {"without_namespace": {"publish_proxy_enabled": true, "publish_proxy_name": "pp"}}}`, "channel.without_namespace.publish_proxy_name"},
		{"stream proxy conflict", ns(`"subscribe_stream_proxy_enabled": true, "publish_proxy_enabled": true`), "subscribe_stream_proxy_enabled: excludes"},
		{"bidirectional alone", ns(`"subscribe_stream_proxy_bidirectional": true`), "needs subscribe_stream_proxy_enabled"},
		{"subscription type", ns(`"subscription_type": "x"`), "subscription_type: must be one of"},
		{"map mode", ns(`"subscription_type": "map"`), "map.mode: must be one of"},
		{"map key TTL", ns(`"subscription_type": "map", "map": {"mode": "recoverable"}`), "map.key_ttl: is needed"},
		{"persistent key TTL", ns(`"subscription_type": "map", "map": {"mode": "persistent", "key_ttl": "1s"}`), "map.key_ttl: must not be set"},
		{"persistent clients", ns(`"subscription_type": "map_clients", "map": {"mode": "persistent"}`), "persistent is not for map_clients"},
		{"ephemeral stream", ns(`"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1s", "stream_size": 1}`), "takes no stream_size"},
		{"client key and proxy", ns(`"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1s", "client_key": "user_id", "publish_proxy_enabled": true}`), "client_key: cannot be combined"},
		{"page sizes", ns(`"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1s", "min_page_size": 5, "max_page_size": 4}`), "page sizes"},
		{"shared poll secret", ns(`"subscription_type": "shared_poll"`), "shared_poll.hmac_secret_key: is needed"},
		{"proxy name", `{"proxies": [{"name": "default"}]}`, `"default" is reserved`},
		{"proxy twice", `{"proxies": [{"name": "pp"}, {"name": "pp"}]}`, "is defined twice"},
		{"RPC proxy", `{"rpc": {"namespaces": [{"name": "ns", "proxy_enabled": true, "proxy_name": "pp"}]}}`, `proxy "pp" is not defined`},
		{"reason too long", `{"rpc": {"proxy": {"http": {"status_to_code_transforms": [{"to_disconnect": {"reason": "` + strings.Repeat("x", 124) + `"}}]}}}}`, "must be printable ASCII"},
		{"consumer name", `{"consumers": [{"name": "a-b", "type": "kafka"}]}`, "consumers[a-b].name: must match"},
		{"consumer type", `{"consumers": [{"name": "ab", "type": "kafak"}]}`, `did you mean kafka?`},
		{"TLS key that can not be read", `{"http_server": {"tls": {"enabled": true, "cert_pem": "/no/such", "key_pem": "/no/such"}}}`, "http_server.tls.key_pem: neither PEM"},
		{"PEM of what is off is not read", `{"http_server": {"tls": {"cert_pem": "/no/such", "key_pem": "/no/such"}}, "client": {"subscription_token": {"rsa_public_key": "/no/such"}}}`, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(Options{File: writeFile(t, "c.json", tt.file)})
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
			} else if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// What is valid must not be refused.
func TestValid(t *testing.T) {
	mustLoad(t, `{
		"client": {"allowed_origins": ["https://*.example.com", "*"], "token": {"audience_regex": "^a$", "issuer": "i"},
			"subscribe_to_user_personal_channel": {"enabled": true, "personal_channel_namespace": "user", "single_connection": true}},
		"http_server": {"internal_port": 9000}, "health": {"enabled": true, "handler_prefix": "/connection/websocket"},
		"proxies": [{"name": "pp", "endpoint": "http://x"}],
		"shared_poll": {"hmac_secret_key": "x"},
		"channel": {"namespaces": [
			{"name": "user", "presence": true},
			{"name": "cache", "history_size": 1, "history_ttl": "720h", "force_recovery": true, "force_recovery_mode": "cache", "auto_cache_recover": true},
			{"name": "proxied", "subscribe_proxy_enabled": true, "subscribe_proxy_name": "pp"},
			{"name": "poll", "subscription_type": "shared_poll"},
			{"name": "map", "subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "10s"}}]}}`)
}

func TestHandlerPrefix(t *testing.T) {
	cfg, _ := mustLoad(t, `{"http_api": {"handler_prefix": "/v1/api//"}}`)
	if cfg.HTTPAPI.HandlerPrefix != "/v1/api" || cfg.Admin.HandlerPrefix != "/" {
		t.Errorf("%q %q; want \"/v1/api\" and \"/\"", cfg.HTTPAPI.HandlerPrefix, cfg.Admin.HandlerPrefix)
	}
}

func TestNotBuiltWarnings(t *testing.T) {
	tests := []struct {
		name, file, environ, want string
	}{
		{"switch", `{"shared_poll": {"concurrency_limit": 3}}`, "", "shared_poll.concurrency_limit: without effect: shared poll subscriptions"},
		{"several keys, one warning", `{"shared_poll": {"hmac_secret_key": "k", "concurrency_limit": 3}}`, "", "shared_poll.hmac_secret_key, shared_poll.concurrency_limit: "},
		{"option of a namespace", `{"channel": {"namespaces": [{"name": "ab", "map": {"stream_size": 5}}]}}`, "", "channel.namespaces[ab].map.stream_size: "},
		{"option without namespace", `{"channel": {"without_namespace": {"map": {"stream_size": 5}}}}`, "", "channel.without_namespace.map.stream_size: "},
		{"environment", `{}`, "CENTRIFUGO_SHARED_POLL_CONCURRENCY_LIMIT=3", "shared_poll.concurrency_limit: "},
		{"the default is not a request", `{"shared_poll": {"concurrency_limit": 0}}`, "", ""},
		{"built", `{"prometheus": {"enabled": true}, "http_api": {"key": "k"}, "channel": {"without_namespace": {"presence": true}}}`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings := mustLoad(t, tt.file, tt.environ)
			got := strings.Join(ofKind(warnings, NotBuilt), "\n")
			if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
				t.Errorf("warnings %q, want %q", got, tt.want)
			}
		})
	}
}

// A prefix that no key has would never warn.
func TestNotBuiltPrefixesExist(t *testing.T) {
	keys, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range notBuilt {
		want := strings.ReplaceAll(entry.prefix, "channel.*.", "channel.without_namespace.")
		found := false
		for _, k := range keys {
			found = found || strings.HasPrefix(k.Path, want)
		}
		if !found {
			t.Errorf("no key starts with %s; want one", entry.prefix)
		}
	}
}

func TestInsecureListensOnLoopback(t *testing.T) {
	tests := []struct{ name, file, want string }{
		{"secure", `{}`, ""},
		{"client", `{"client": {"insecure": true}}`, "127.0.0.1"},
		{"signatures", `{"client": {"insecure_skip_token_signature_verify": true}}`, "127.0.0.1"},
		{"API", `{"http_api": {"insecure": true}}`, "127.0.0.1"},
		{"address by name", `{"client": {"insecure": true}, "http_server": {"address": "0.0.0.0"}}`, "0.0.0.0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, warnings := mustLoad(t, tt.file)
			if cfg.HTTPServer.Address != tt.want {
				t.Errorf("address %q, want %q", cfg.HTTPServer.Address, tt.want)
			}
			if got := len(ofKind(warnings, Insecure)); (got > 0) != (tt.want != "") {
				t.Errorf("%d warnings; want %v", got, tt.want != "")
			}
		})
	}
	if _, warnings := mustLoad(t, `{"client": {"allowed_origins": ["*"]}}`); len(ofKind(warnings, Insecure)) != 1 {
		t.Error("no warning for any origin; want 1")
	}
}

func TestDev(t *testing.T) {
	file := writeFile(t, "config.json", `{"http_server": {"port": 9000}}`)
	cfg, warnings, err := Load(Options{Dev: true, File: file})
	if err != nil {
		t.Fatal(err)
	}
	o := cfg.Channel.WithoutNamespace
	if cfg.HTTPServer.Address != "127.0.0.1" || cfg.HTTPServer.Port != 8000 || !cfg.Client.Insecure || !cfg.HTTPAPI.Insecure ||
		!cfg.SSE.Enabled || !cfg.HTTPStream.Enabled || !o.Presence || !o.JoinLeave || !o.ForceRecovery || o.HistorySize == 0 || len(cfg.Client.AllowedOrigins) != 0 {
		t.Errorf("%+v; want 127.0.0.1:8000, insecure, no origins, and the options of development", cfg)
	}
	if len(ofKind(warnings, Insecure)) != 1 || len(warnings) != 1 {
		t.Errorf("%v; want 1 and length 1", warnings)
	}
	cfg, _, err = Load(Options{Dev: true, File: file, FileExplicit: true, Flags: map[string]string{"http_server.address": "0.0.0.0"}})
	if err != nil || cfg.HTTPServer.Port != 9000 || cfg.HTTPServer.Address != "0.0.0.0" {
		t.Errorf("%v %v; want Port 9000 and Address \"0.0.0.0\"", cfg.HTTPServer, err)
	}
}
