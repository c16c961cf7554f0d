package config

import (
	"reflect"
	"strings"
	"testing"
)

func TestEnvironTypes(t *testing.T) {
	cfg, warnings := mustLoad(t, "",
		"CENTRIFUGO_CLIENT_TOKEN_HMAC_SECRET_KEY=a b",
		"CENTRIFUGO_CLIENT_ALLOWED_ORIGINS=https://a.b  https://c.d",
		"CENTRIFUGO_CLIENT_CONNECT_INCLUDE_SERVER_TIME=T",
		"CENTRIFUGO_CLIENT_PING_INTERVAL=1m30s",
		`CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS={"X-Key": "${CENTRIFUGO_VAR_K}!"}`,
		`CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATUS_TO_CODE_TRANSFORMS=[{"status_code": 404, "to_error": {"code": 404}}]`,
		"CENTRIFUGO_VAR_K=v",
		"CENTRIFUGO_SUBSCRIPTION=", "OTHER=1",
	)
	if got := ofKind(warnings, UnknownEnv); len(got) != 0 {
		t.Errorf("warnings %q; want none", got)
	}
	c := cfg.Client
	http := c.Proxy.Connect.HTTP
	if c.Token.HMACSecretKey != "a b" || !reflect.DeepEqual(c.AllowedOrigins, []string{"https://a.b", "https://c.d"}) ||
		!c.ConnectIncludeServerTime || c.PingInterval.String() != "1m30s" {
		t.Errorf("%+v; want secret \"a b\", two origins, server time and 1m30s", c)
	}
	if http.StaticHeaders["X-Key"] != "v!" || len(http.StatusToCodeTransforms) != 1 || http.StatusToCodeTransforms[0].ToError.Code != 404 {
		t.Errorf("%+v; want \"v!\", len(StatusToCodeTransforms) 1 and StatusToCodeTransforms[0].ToError.Code 404", http)
	}
}

func TestEnvironProblems(t *testing.T) {
	tests := []struct{ pair, want string }{
		{"CENTRIFUGO_CLIENT_INSECURE=yes", "CENTRIFUGO_CLIENT_INSECURE: want true or false"},
		{"CENTRIFUGO_CLIENT_PING_INTERVAL=30", "CENTRIFUGO_CLIENT_PING_INTERVAL: want a duration"},
		{"CENTRIFUGO_HTTP_SERVER_PORT=0x10", "CENTRIFUGO_HTTP_SERVER_PORT: want a whole number"},
		{"CENTRIFUGO_PROXIES=[{]", "CENTRIFUGO_PROXIES: JSON at byte"},
		{`CENTRIFUGO_PROXIES=[{"nme": "a"}]`, "proxies[0].nme: unknown key"},
		{`CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS=[1]`, "CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS: want an object"},
		{`CENTRIFUGO_CLIENT_PROXY_CONNECT_HTTP_STATIC_HEADERS={"a": "${CENTRIFUGO_VAR_NONE}"}`, "CENTRIFUGO_VAR_NONE"},
	}
	for _, tt := range tests {
		if _, _, err := Load(Options{Environ: []string{tt.pair}}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.pair, err, tt.want)
		}
	}
}

func TestUnknownEnviron(t *testing.T) {
	tests := []struct{ name, pair, want string }{
		{"typo", "CENTRIFUGO_CLIENT_CHANEL_LIMIT=1", "CENTRIFUGO_CLIENT_CHANEL_LIMIT: unknown environment variable, did you mean CENTRIFUGO_CLIENT_CHANNEL_LIMIT?"},
		{"injected by Kubernetes", "CENTRIFUGO_PORT_8000_TCP_ADDR=10.0.0.1", ""},
		{"injected for another service", "CENTRIFUGO_MY_SERVICE_HOST=10.0.0.1", ""},
		{"variable for maps", "CENTRIFUGO_VAR_X=1", ""},
		{"foreign", "CENTRIFUGAL=1", ""},
		{"option of a namespace that does not exist", "CENTRIFUGO_CHANNEL_NAMESPACES_NONE_PRESENCE=true", "CENTRIFUGO_CHANNEL_NAMESPACES_NONE_PRESENCE: unknown environment variable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings := mustLoad(t, "", tt.pair)
			got := strings.Join(ofKind(warnings, UnknownEnv), "")
			if tt.want == "" && got != "" || !strings.HasPrefix(got, tt.want) {
				t.Errorf("warning %q, want %q", got, tt.want)
			}
		})
	}
}

// Kubernetes injects CENTRIFUGO_GRPC_API_PORT for a service named centrifugo-grpc-api.
func TestInjectedPort(t *testing.T) {
	cfg, warnings := mustLoad(t, "", "CENTRIFUGO_GRPC_API_PORT=tcp://10.0.0.1:10000")
	if cfg.GRPCAPI.Port != 10000 || len(ofKind(warnings, InjectedEnv)) != 1 {
		t.Errorf("%d %v; want 10000 and 1", cfg.GRPCAPI.Port, warnings)
	}
}

func TestNamedLists(t *testing.T) {
	const file = `{"channel": {"namespaces": [{"name": "news", "presence": true}, {"name": "my-ns.x"}]}}`
	type ns struct {
		name              string
		presence, publish bool
	}
	tests := []struct {
		name    string
		environ []string
		want    []ns
	}{
		{"file alone", nil, []ns{{"news", true, false}, {"my-ns.x", false, false}}},
		{"JSON replaces", []string{`CENTRIFUGO_CHANNEL_NAMESPACES=[{"name": "aa"}]`}, []ns{{"aa", false, false}}},
		{"names are added", []string{"CENTRIFUGO_CHANNEL_NAMESPACES=aa bb", "CENTRIFUGO_CHANNEL_NAMESPACES_BB_PRESENCE=1"},
			[]ns{{"news", true, false}, {"my-ns.x", false, false}, {"aa", false, false}, {"bb", true, false}}},
		{"a name that is there is not added again", []string{"CENTRIFUGO_CHANNEL_NAMESPACES=news"}, []ns{{"news", true, false}, {"my-ns.x", false, false}}},
		{"options override items of the file", []string{"CENTRIFUGO_CHANNEL_NAMESPACES_NEWS_PRESENCE=false", "CENTRIFUGO_CHANNEL_NAMESPACES_MY_NS_X_ALLOW_PUBLISH_FOR_CLIENT=true"},
			[]ns{{"news", false, false}, {"my-ns.x", false, true}}},
		{"options override items of JSON", []string{`CENTRIFUGO_CHANNEL_NAMESPACES= [{"name": "aa"}]`, "CENTRIFUGO_CHANNEL_NAMESPACES_AA_PRESENCE=true", "CENTRIFUGO_CHANNEL_NAMESPACES_AA_NAME=zz"},
			[]ns{{"aa", true, false}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _ := mustLoad(t, file, tt.environ...)
			var got []ns
			for _, n := range cfg.Channel.Namespaces {
				got = append(got, ns{n.Name, n.Presence, n.AllowPublishForClient})
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestOtherNamedLists(t *testing.T) {
	cfg, warnings := mustLoad(t, "",
		"CENTRIFUGO_RPC_NAMESPACES=aa", "CENTRIFUGO_RPC_NAMESPACES_AA_PROXY_ENABLED=true",
		"CENTRIFUGO_PROXIES=pp", "CENTRIFUGO_PROXIES_PP_ENDPOINT=http://x",
		"CENTRIFUGO_CONSUMERS=cc", "CENTRIFUGO_CONSUMERS_CC_TYPE=kafka", "CENTRIFUGO_CONSUMERS_CC_KAFKA_BROKERS=a b")
	if got := ofKind(warnings, UnknownEnv); len(got) != 0 {
		t.Errorf("warnings %q; want none", got)
	}
	if !cfg.RPC.Namespaces[0].ProxyEnabled || cfg.Proxies[0].Endpoint != "http://x" || len(cfg.Consumers[0].Kafka.Brokers) != 2 ||
		cfg.Consumers[0].Kafka.MaxPollRecords != 100 || cfg.Proxies[0].Timeout.String() != "1s" {
		t.Errorf("%+v; want 2 brokers and 100 records at most, the RPC proxy at http://x with 1s", cfg.Consumers)
	}
}

func TestStringMaps(t *testing.T) {
	tests := []struct{ name, json, key string }{
		{"object keys become lower case", `{"X-Key": "v"}`, "x-key"},
		{"list keeps case", `[{"key": "X-Key", "value": "v"}]`, "X-Key"},
	}
	for _, tt := range tests {
		cfg, _ := mustLoad(t, `{"rpc": {"proxy": {"http": {"static_headers": `+tt.json+`}}}}`)
		if got := cfg.RPC.Proxy.HTTP.StaticHeaders; got[tt.key] != "v" || len(got) != 1 {
			t.Errorf("%s: %v; want [tt.key] \"v\" and length 1", tt.name, got)
		}
	}
}
