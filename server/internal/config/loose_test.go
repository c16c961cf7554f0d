package config

import (
	"strings"
	"testing"
	"time"
	"unicode/utf16"
)

// Forms that Centrifugo v6 takes are accepted, and the warning shows the strict one.
func TestLooseForms(t *testing.T) {
	const ns = "channel: {namespaces: [{name: %s}]}"
	name := func(c *Config) any { return c.Channel.Namespaces[0].Name }
	tests := []struct {
		name, file, content string
		got                 func(c *Config) any
		value               any
		warning             string
	}{
		{"quoted number", "c.json", `{"http_server": {"port": "9000"}}`, func(c *Config) any { return c.HTTPServer.Port }, 9000, "http_server.port: accepted, but the strict form is 9000"},
		{"quoted number, TOML", "c.toml", "[http_server]\nport = '9000'\n", func(c *Config) any { return c.HTTPServer.Port }, 9000, "the strict form is 9000"},
		{"quoted 64-bit number", "c.json", `{"client": {"token": {"hmac_previous_secret_key_valid_until": "1795646406"}}}`,
			func(c *Config) any { return c.Client.Token.HMACPreviousSecretKeyValidUntil }, int64(1795646406), "the strict form is 1795646406"},
		{"empty text for a number", "c.json", `{"http_server": {"port": ""}}`, func(c *Config) any { return c.HTTPServer.Port }, 8000, "the strict form is 0"},
		{"whole number with a point", "c.json", `{"http_server": {"port": 9000.0}}`, func(c *Config) any { return c.HTTPServer.Port }, 9000, "the strict form is 9000"},
		{"whole number with an exponent", "c.json", `{"client": {"queue_max_size": 1e6}}`, func(c *Config) any { return c.Client.QueueMaxSize }, 1000000, "the strict form is 1000000"},
		{"whole number with a point, TOML", "c.toml", "[http_server]\nport = 9000.0\n", func(c *Config) any { return c.HTTPServer.Port }, 9000, "the strict form is 9000"},
		{"hexadecimal number", "c.yaml", "http_server: {port: 0x10}", func(c *Config) any { return c.HTTPServer.Port }, 16, "the strict form is 16"},
		{"octal number", "c.yaml", "http_server: {port: 010}", func(c *Config) any { return c.HTTPServer.Port }, 8, "the strict form is 8"},
		{"quoted boolean", "c.json", `{"health": {"enabled": "true"}}`, func(c *Config) any { return c.Health.Enabled }, true, "health.enabled: accepted, but the strict form is true"},
		{"quoted boolean, another case", "c.yaml", `health: {enabled: "TRUE"}`, func(c *Config) any { return c.Health.Enabled }, true, "the strict form is true"},
		{"quoted false", "c.yaml", `prometheus: {enabled: "f"}`, func(c *Config) any { return c.Prometheus.Enabled }, false, "the strict form is false"},
		{"number for a boolean", "c.json", `{"health": {"enabled": 1}}`, func(c *Config) any { return c.Health.Enabled }, true, "the strict form is true"},
		{"empty text for a boolean", "c.json", `{"health": {"enabled": ""}}`, func(c *Config) any { return c.Health.Enabled }, false, "the strict form is false"},
		{"empty text for a duration", "c.json", `{"client": {"ping_interval": ""}}`, func(c *Config) any { return c.Client.PingInterval }, 25 * time.Second, `the strict form is "0s"`},
		{"text for a list", "c.json", `{"client": {"allowed_origins": "*"}}`, func(c *Config) any { return strings.Join(c.Client.AllowedOrigins, "|") }, "*", `client.allowed_origins: accepted, but the strict form is ["*"]`},
		{"several words for a list", "c.yaml", `client: {allowed_origins: "https://a.b https://c.d"}`,
			func(c *Config) any { return strings.Join(c.Client.AllowedOrigins, "|") }, "https://a.b|https://c.d", `["https://a.b","https://c.d"]`},
		{"commas for a list", "c.toml", "[client]\nallowed_origins = 'https://a.b, https://c.d'\n",
			func(c *Config) any { return strings.Join(c.Client.AllowedOrigins, "|") }, "https://a.b|https://c.d", `["https://a.b","https://c.d"]`},
		{"JSON text for a list", "c.yaml", `client: {allowed_origins: '["https://a.b"]'}`,
			func(c *Config) any { return strings.Join(c.Client.AllowedOrigins, "|") }, "https://a.b", `["https://a.b"]`},
		{"number in a list", "c.json", `{"http_server": {"tls_autocert": {"host_whitelist": [1]}}}`,
			func(c *Config) any { return strings.Join(c.HTTPServer.TLSAutocert.HostWhitelist, "|") }, "1", "array of strings in quotes"},
		{"object for a list of objects", "c.json", `{"channel": {"namespaces": {"name": "news"}}}`, name, "news", "channel.namespaces: accepted, but the strict form is an array of objects"},
		{"number in a map", "c.json", `{"rpc": {"proxy": {"http": {"static_headers": {"a": 1}}}}}`,
			func(c *Config) any { return c.RPC.Proxy.HTTP.StaticHeaders["a"] }, "1", "the strict form is strings in quotes"},
		{"YAML number as a name", "c.yaml", strings.ReplaceAll(ns, "%s", "2024"), name, "2024", `channel.namespaces[2024].name: accepted, but the strict form is "2024"`},
		{"YAML octal as a name", "c.yaml", strings.ReplaceAll(ns, "%s", "0123"), name, "0123", `"0123"`},
		{"YAML fraction as a name", "c.yaml", strings.ReplaceAll(ns, "%s", "1.50"), name, "1.50", `"1.50"`},
		{"YAML date as a name", "c.yaml", strings.ReplaceAll(ns, "%s", "2024-01-01"), name, "2024-01-01", ""},
		{"JSON number as a name", "c.json", `{"channel": {"namespaces": [{"name": 10}]}}`, name, "10", `"10"`},
		{"TOML number as a name", "c.toml", "[[channel.namespaces]]\nname = 10\n", name, "10", `"10"`},
		{"number for a secret", "c.yaml", "http_api: {key: 0123}", func(c *Config) any { return c.HTTPAPI.Key }, "0123", "http_api.key: accepted, but the strict form is the same in quotes"},
		{"log level in upper case", "c.json", `{"log": {"level": "INFO"}}`, func(c *Config) any { return c.Log.Level }, "info", `log.level: accepted, but the strict form is "info"`},
		{"log level warning", "c.json", `{"log": {"level": "warning"}}`, func(c *Config) any { return c.Log.Level }, "warn", `the strict form is "warn"`},
		{"log level Warning", "c.json", `{"log": {"level": "Warning"}}`, func(c *Config) any { return c.Log.Level }, "warn", `the strict form is "warn"`},
		{"byte order mark", "c.json", "\ufeff" + `{"http_server": {"port": 9000}}`, func(c *Config) any { return c.HTTPServer.Port }, 9000, "a file without a byte order mark"},
		{"byte order mark, YAML", "c.yaml", "\ufeffhttp_server: {port: 9000}", func(c *Config) any { return c.HTTPServer.Port }, 9000, "a file without a byte order mark"},
		{"byte order mark, TOML", "c.toml", "\ufeff[http_server]\nport = 9000\n", func(c *Config) any { return c.HTTPServer.Port }, 9000, "a file without a byte order mark"},
		{"UTF-16, little endian", "c.json", inUTF16(`{"http_server": {"port": 9000}}`, false), func(c *Config) any { return c.HTTPServer.Port }, 9000, "in UTF-8 without a byte order mark"},
		{"UTF-16, big endian", "c.toml", inUTF16("[http_server]\nport = 9000\n", true), func(c *Config) any { return c.HTTPServer.Port }, 9000, "in UTF-8 without a byte order mark"},
		{"several documents", "c.yaml", "http_server: {port: 9000}\n---\nhttp_server: {port: 9001}\n", func(c *Config) any { return c.HTTPServer.Port }, 9000, "one document; what follows the first is not read"},
		{"several documents, the next malformed", "c.yaml", "---\nhttp_server: {port: 9000}\n---\n[\n", func(c *Config) any { return c.HTTPServer.Port }, 9000, "one document"},
		{"an empty document follows", "c.yaml", "---\nhttp_server: {port: 9000}\n---\n", func(c *Config) any { return c.HTTPServer.Port }, 9000, ""},
		{"anchors at the top", "c.yaml", "x-options: &o {presence: true}\nchannel: {namespaces: [{name: news, <<: *o}]}\n",
			func(c *Config) any { return c.Channel.Namespaces[0].Presence }, true, "x-options: accepted, but the strict form is to put each anchor where it is first used"},
		{"anchors in a list at the top", "c.yaml", ".all: [&a {presence: true}, &b {join_leave: true}]\nchannel: {namespaces: [{name: news, <<: [*a, *b]}]}\n",
			func(c *Config) any {
				return c.Channel.Namespaces[0].Presence && c.Channel.Namespaces[0].JoinLeave
			}, true, "strict form is to put each anchor"},
		{"an anchored number", "c.yaml", "http_server: {port: &p 9000}\ngrpc_api: {port: *p}\n", func(c *Config) any { return c.GRPCAPI.Port }, 9000, ""},
		{"a merge does not override", "c.yaml", "channel: {without_namespace: &o {presence: true}, namespaces: [{name: news, presence: false, <<: *o}]}\n",
			func(c *Config) any { return c.Channel.Namespaces[0].Presence }, false, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, warnings, err := Load(Options{File: writeFile(t, tt.file, tt.content)})
			if err != nil {
				t.Fatal(err)
			}
			if got := tt.got(cfg); got != tt.value {
				t.Errorf("value %v, want %v", got, tt.value)
			}
			got := strings.Join(ofKind(warnings, "loose_form"), "\n")
			if (tt.warning == "") != (got == "") || !strings.Contains(got, tt.warning) {
				t.Errorf("warning %q, want %q", got, tt.warning)
			}
		})
	}
}

func inUTF16(text string, big bool) string {
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
		if low, high := byte(unit), byte(unit>>8); big {
			b.Write([]byte{high, low})
		} else {
			b.Write([]byte{low, high})
		}
	}
	return b.String()
}

// What no version takes, or would take for something else, stays an error.
func TestFormsRefused(t *testing.T) {
	tests := []struct{ name, file, content, want string }{
		{"quoted word for a boolean", "c.yaml", `health: {enabled: "yes"}`, "health.enabled: want true or false"},
		{"another number for a boolean", "c.json", `{"health": {"enabled": 2}}`, "health.enabled: want true or false"},
		{"boolean for text", "c.json", `{"http_api": {"key": true}}`, "http_api.key: want a string"},
		{"boolean for a number", "c.json", `{"http_server": {"port": true}}`, "http_server.port: want a whole number"},
		{"quoted fraction", "c.json", `{"http_server": {"port": "1.5"}}`, "http_server.port: want a whole number"},
		{"exponent out of range", "c.json", `{"http_server": {"port": 1e300}}`, "http_server.port: number out of range"},
		{"not a number", "c.yaml", "http_server: {port: .inf}", "http_server.port: want a whole number"},
		{"quoted number for a duration", "c.json", `{"client": {"ping_interval": "30"}}`, "client.ping_interval: want a duration"},
		{"key twice, YAML", "c.yaml", "log: {}\nlog: {}\n", `key "log" given twice`},
		{"key twice in an anchor", "c.yaml", "log: &a {level: info, level: warn}\n", `key "level" given twice`},
		{"unknown section with an anchor that nothing uses", "c.yaml", "nonsense: &a {presence: true}\n", "nonsense: unknown key"},
		{"section with a typo and an anchor", "c.yaml", "chanel: &a {without_namespace: &b {presence: true}}\nchannel: {without_namespace: *b}\n", "chanel: unknown key, did you mean channel?"},
		{"anchors below the top", "c.yaml", "client: {x: &o 5, channel_limit: *o}\n", "client.x: unknown key"},
		{"unknown alias", "c.yaml", "client: *o\n", "unknown anchor"},
		{"alias of itself", "c.yaml", "client: &o {token: *o}\n", "contains itself"},
		{"merge of a number", "c.yaml", "client: {<<: 5}\n", "<< wants"},
		{"half a UTF-16 unit", "c.json", "\xff\xfe{", "UTF-16"},
		{"list as a key", "c.yaml", "[a]: 1\n", "key"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, err := Load(Options{File: writeFile(t, tt.file, tt.content)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

// A few lines of aliases of aliases must not become gigabytes.
func TestAliasesAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := range 12 {
		from, to := string(rune('0'+i%10))+strings.Repeat("i", i/10), string(rune('0'+(i+1)%10))+strings.Repeat("i", (i+1)/10)
		b.WriteString("a" + to + ": &a" + to + " [" + strings.Repeat("*a"+from+", ", 10) + "]\n")
	}
	if _, _, err := Load(Options{File: writeFile(t, "c.yaml", b.String())}); err == nil || !strings.Contains(err.Error(), "aliases") {
		t.Errorf("error %v; want an error and \"aliases\" in it", err)
	}
}

// Upstream keeps http_server.internal_port as text.
func TestInternalPort(t *testing.T) {
	for content, want := range map[string]int{
		`{"http_server": {"internal_port": ""}}`: 0, `{"http_server": {"internal_port": "9000"}}`: 9000,
		`{"http_server": {"internal_port": 9000}}`: 9000, `{"http_server": {"internal_port": "0"}}`: 0,
	} {
		if cfg, warnings := mustLoad(t, content); cfg.HTTPServer.InternalPort != want || len(warnings) != 0 {
			t.Errorf("%s: %d %v; want %v and none", content, cfg.HTTPServer.InternalPort, warnings, want)
		}
	}
	for _, content := range []string{`{"http_server": {"internal_port": "http"}}`, `{"http_server": {"internal_port": "65536"}}`, `{"http_server": {"internal_port": "-1"}}`} {
		if _, _, err := Load(Options{File: writeFile(t, "c.json", content)}); err == nil || !strings.Contains(err.Error(), "http_server.internal_port") {
			t.Errorf("%s: %v; want an error and \"http_server.internal_port\" in it", content, err)
		}
	}
	if cfg, _, err := Load(Options{Flags: map[string]string{"http_server.internal_port": ""}}); err != nil || cfg.HTTPServer.InternalPort != 0 {
		t.Errorf("%v; want cfg.HTTPServer.InternalPort 0", err)
	}
}

// A file that holds every key, with its default, is accepted as it stands, however
// it writes what is not set: a default configuration of v6 does so.
func TestEveryDefaultIsAccepted(t *testing.T) {
	keys, err := Reference()
	if err != nil {
		t.Fatal(err)
	}
	for _, null := range []bool{false, true} {
		tree := map[string]any{}
		for _, k := range keys {
			if strings.Contains(k.Path, "[]") || k.Type == "object" {
				continue
			}
			var value any
			switch k.Type {
			case "bool":
				value = false
			case "int":
				value = number(k.Default)
				if k.Path == "http_server.internal_port" {
					value = ""
				}
			case "duration":
				value = "0s"
				if k.Default != "" {
					value = k.Default
				}
			case "array of strings":
				value = append([]any{}, words(k.Default)...)
			case "array of objects":
				value = []any{}
			case "map of strings":
				value = map[string]any{}
			default:
				value = k.Default
			}
			if null && (k.Type == "array of strings" || k.Type == "array of objects" || k.Type == "map of strings") {
				value = nil
			}
			section, parts := tree, strings.Split(k.Path, ".")
			for _, part := range parts[:len(parts)-1] {
				inner, _ := section[part].(map[string]any)
				if inner == nil {
					inner = map[string]any{}
					section[part] = inner
				}
				section = inner
			}
			section[parts[len(parts)-1]] = value
		}
		for _, format := range []Format{JSON, YAML} {
			raw, err := RenderTree(tree, format)
			if err != nil {
				t.Fatal(err)
			}
			if _, warnings, err := Load(Options{File: writeFile(t, "c."+string(format), string(raw))}); err != nil || len(warnings) != 0 {
				t.Errorf("%s: %v %v; want none", format, warnings, err)
			}
		}
	}
}

func number(text string) any {
	n := 0
	for _, c := range text {
		n = n*10 + int(c-'0')
	}
	return n
}

func words(text string) []any {
	var list []any
	for _, w := range strings.Fields(text) {
		list = append(list, w)
	}
	return list
}

// Keys of the commercial edition do not stop a server that lacks them.
func TestCommercialKeys(t *testing.T) {
	tests := []struct{ name, file, environ, want string }{
		{"section", `{"push_notifications": {"enabled": true, "queue": {"type": "redis"}}}`, "", "push_notifications: without effect: a key of the commercial edition"},
		{"another section", `{"clickhouse_analytics": {"enabled": true}}`, "", "clickhouse_analytics: without effect"},
		{"users", `{"user_status": {"enabled": true}}`, "", "user_status: without effect"},
		{"rate limits", `{"client": {"rate_limit": {"client_command": {"enabled": true}}}}`, "", "client.rate_limit: without effect"},
		{"expression of a namespace", `{"channel": {"namespaces": [{"name": "news", "subscribe_cel": "true"}]}}`, "", "channel.namespaces[news].subscribe_cel: without effect"},
		{"expression without namespace", `{"channel": {"without_namespace": {"publish_cel": "true"}}}`, "", "channel.without_namespace.publish_cel: without effect"},
		{"patterns", `{"channel": {"patterns": true}}`, "", "channel.patterns: without effect"},
		{"proxy of the state", `{"channel": {"proxy": {"state": {"endpoint": "http://x"}}}}`, "", "channel.proxy.state: without effect"},
		{"variable", `{}`, "CENTRIFUGO_PUSH_NOTIFICATIONS_ENABLED=true", "CENTRIFUGO_PUSH_NOTIFICATIONS_ENABLED: without effect: a key of the commercial edition"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, warnings := mustLoad(t, tt.file, tt.environ)
			if got := strings.Join(ofKind(warnings, NotBuilt), "\n"); len(warnings) != 1 || !strings.Contains(got, tt.want) {
				t.Errorf("warnings %v, want %q", warnings, tt.want)
			}
		})
	}
	for _, file := range []string{`{"push_notification": {}}`, `{"client": {"clickhouse_analytics": {}}}`, `{"channel": {"subscribe_cel": ""}}`} {
		if _, _, err := Load(Options{File: writeFile(t, "c.json", file)}); err == nil {
			t.Errorf("%s is accepted; want an error", file)
		}
	}
}
