package config

import (
	"strings"
	"testing"
)

// What is not built and would lock users out, or let more of them in, is refused;
// what can be left out is warned of. Never both.
func TestNotBuiltIsRefused(t *testing.T) {
	ns := func(options string) string {
		return `{"proxies": [{"name": "pp"}], "channel": {"namespaces": [{"name": "news", ` + options + `}]}}`
	}
	tests := []struct {
		name, file, environ, want string // want empty: only warned of, or built
	}{
		{"key set", `{"client": {"token": {"jwks_public_endpoint": "https://x/jwks"}}}`, "", "client.token.jwks_public_endpoint: JWKS is not in this version"},
		{"key set by a variable", `{}`, "CENTRIFUGO_CLIENT_TOKEN_JWKS_PUBLIC_ENDPOINT=https://x/jwks", "client.token.jwks_public_endpoint: JWKS"},
		{"key set of subscriptions", `{"client": {"subscription_token": {"enabled": true, "jwks_public_endpoint": "https://x/jwks"}}}`, "", "client.subscription_token.jwks_public_endpoint: JWKS"},
		{"key set of subscriptions, off", `{"client": {"subscription_token": {"jwks_public_endpoint": "https://x/jwks"}}}`, "", ""},
		{"connect proxy", `{"client": {"proxy": {"connect": {"enabled": true, "endpoint": "http://x"}}}}`, "", "client.proxy.connect.enabled: proxies are not in this version"},
		{"refresh proxy", `{"client": {"proxy": {"refresh": {"enabled": true}}}}`, "", "client.proxy.refresh.enabled: proxies"},
		{"connect proxy, off", `{"client": {"proxy": {"connect": {"endpoint": "http://x"}}}}`, "", ""},
		{"subscribe proxy", ns(`"subscribe_proxy_enabled": true`), "", "channel.namespaces[news].subscribe_proxy_enabled: proxies"},
		{"publish proxy", ns(`"publish_proxy_enabled": true, "publish_proxy_name": "pp"`), "", "channel.namespaces[news].publish_proxy_enabled: proxies"},
		{"sub refresh proxy", ns(`"sub_refresh_proxy_enabled": true`), "", "channel.namespaces[news].sub_refresh_proxy_enabled: proxies"},
		{"stream proxy", ns(`"subscribe_stream_proxy_enabled": true`), "", "channel.namespaces[news].subscribe_stream_proxy_enabled: proxies"},
		{"proxy without namespace", `{"channel": {"without_namespace": {"subscribe_proxy_enabled": true}}}`, "", "channel.without_namespace.subscribe_proxy_enabled: proxies"},
		{"proxy of a namespace by a variable", ns(`"presence": true`), "CENTRIFUGO_CHANNEL_NAMESPACES_NEWS_SUBSCRIBE_PROXY_ENABLED=true", "channel.namespaces[news].subscribe_proxy_enabled: proxies"},
		{"named proxy that nothing uses", ns(`"subscribe_proxy_name": "pp"`), "", ""},
		{"RPC proxy", `{"rpc": {"without_namespace": {"proxy_enabled": true}}}`, "", "rpc.without_namespace.proxy_enabled: proxies"},
		{"RPC proxy of a namespace", `{"rpc": {"namespaces": [{"name": "math", "proxy_enabled": true}]}}`, "", "rpc.namespaces[math].proxy_enabled: proxies"},
		{"map", ns(`"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1m"}`), "", `channel.namespaces[news].subscription_type: map and shared poll subscriptions are not`},
		{"stream", ns(`"subscription_type": "stream"`), "", ""},
		{"ACME", `{"http_server": {"tls_autocert": {"enabled": true}}}`, "", "http_server.tls_autocert.enabled: ACME is not in this version, and the listener would speak without TLS"},
		{"unidirectional SSE", `{"uni_sse": {"enabled": true}}`, "", "uni_sse.enabled: the unidirectional Server-Sent Events transport is not"},
		{"unidirectional WebSocket", `{"uni_websocket": {"enabled": true}}`, "", "uni_websocket.enabled: "},
		{"unidirectional HTTP stream", `{"uni_http_stream": {"enabled": true}}`, "", "uni_http_stream.enabled: "},
		{"unidirectional gRPC", `{"uni_grpc": {"enabled": true}}`, "", "uni_grpc.enabled: "},
		{"fallback", `{"sse": {"enabled": true}, "http_stream": {"enabled": true}}`, "", ""},
		{"fallback alone", `{"websocket": {"disabled": true}, "sse": {"enabled": true}}`, "", "sse.enabled: the Server-Sent Events transport is not in this version, and no other transport is on"},
		{"WebTransport alone", `{"websocket": {"disabled": true}, "webtransport": {"enabled": true}}`, "", "webtransport.enabled: "},
		{"no transport", `{"websocket": {"disabled": true}}`, "", ""},
		{"admin", `{"admin": {"enabled": true, "insecure": true}}`, "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, warnings := mustLoad(t, tt.file, tt.environ)
			err := cfg.CheckBuilt()
			if (err == nil) != (tt.want == "") || err != nil && !strings.HasPrefix(err.Error(), tt.want) {
				t.Fatalf("error %v, want %q", err, tt.want)
			}
			refused, _, _ := strings.Cut(tt.want, ": ")
			for _, w := range ofKind(warnings, NotBuilt) {
				if refused != "" && strings.Contains(strings.SplitN(w, ": ", 2)[0], refused) {
					t.Errorf("refused, and warned of as without effect: %s", w)
				}
			}
		})
	}
}

// A rule that no key has would never refuse.
func TestRefusedKeysExist(t *testing.T) {
	keys, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, k := range keys {
		known[generalPath(k.Path)] = true
	}
	for path := range refusedKeys {
		if !known[path] {
			t.Errorf("no key %s", path)
		}
		if unbuiltFeature(strings.ReplaceAll(path, "channel.*.", "channel.without_namespace.")) == "" {
			t.Errorf("%s belongs to no feature that is missing", path)
		}
	}
}

// A key without effect moves no listener.
func TestAdminInsecureHasNoEffect(t *testing.T) {
	cfg, warnings := mustLoad(t, `{"admin": {"enabled": true, "insecure": true}}`)
	if cfg.HTTPServer.Address != "" || len(ofKind(warnings, Insecure)) != 0 || len(ofKind(warnings, NotBuilt)) != 1 {
		t.Errorf("address %q, warnings %v", cfg.HTTPServer.Address, warnings)
	}
	if modes := cfg.InsecureModes(); len(modes) != 0 {
		t.Errorf("%v", modes)
	}
}

func TestNamedFileMustExist(t *testing.T) {
	for _, name := range []string{"none.json", "none.yaml", "none/config.toml"} {
		cfg, warnings, err := Load(Options{File: name, FileExplicit: true})
		if cfg != nil || err == nil || err.Error() != name+": the configuration file does not exist" {
			t.Errorf("%s: %v %v", name, warnings, err)
		}
		if _, warnings, err = Load(Options{File: name, FileExplicit: true, Dev: true}); err == nil {
			t.Errorf("%s in development mode: %v", name, warnings)
		}
		if _, warnings, err = Load(Options{File: name}); err != nil || len(ofKind(warnings, MissingFile)) != 1 {
			t.Errorf("%s by default: %v %v", name, warnings, err)
		}
	}
}
