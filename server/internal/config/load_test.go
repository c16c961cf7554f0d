package config

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// writeFile writes a file into a new directory and returns its path.
func writeFile(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// mustLoad loads a JSON file with an environment.
func mustLoad(t *testing.T, file string, environ ...string) (*Config, []Warning) {
	t.Helper()
	o := Options{Environ: environ}
	if file != "" {
		o.File = writeFile(t, "config.json", file)
	}
	cfg, warnings, err := Load(o)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	return cfg, warnings
}

func ofKind(warnings []Warning, kind WarningKind) []string {
	var out []string
	for _, w := range warnings {
		if w.Kind == kind {
			out = append(out, w.String())
		}
	}
	return out
}

func TestPrecedence(t *testing.T) {
	const file = `{"http_server": {"port": 1}, "CLIENT": {"Channel_Limit": 7}}`
	tests := []struct {
		name    string
		file    string
		dotEnv  string
		environ []string
		flags   map[string]string
		want    int
	}{
		{"default", ``, "", nil, nil, 8000},
		{"file over default", file, "", nil, nil, 1},
		{"environment over file", file, "", []string{"CENTRIFUGO_HTTP_SERVER_PORT=2"}, nil, 2},
		{"empty variable is unset", file, "", []string{"CENTRIFUGO_HTTP_SERVER_PORT="}, nil, 1},
		{"flag over environment", file, "", []string{"CENTRIFUGO_HTTP_SERVER_PORT=2"}, map[string]string{"http_server.port": "3"}, 3},
		{"zero by environment", file, "", []string{"CENTRIFUGO_HTTP_SERVER_PORT=0"}, nil, 0},
		{"zero by flag", file, "", nil, map[string]string{"http_server.port": "0"}, 0},
		{"dotenv over file", file, "CENTRIFUGO_HTTP_SERVER_PORT=4", nil, nil, 4},
		{"environment over dotenv", file, "CENTRIFUGO_HTTP_SERVER_PORT=4", []string{"CENTRIFUGO_HTTP_SERVER_PORT=2"}, nil, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Environ: tt.environ, Flags: tt.flags}
			if tt.file != "" {
				o.File = writeFile(t, "config.json", tt.file)
			}
			if tt.dotEnv != "" {
				o.DotEnv = writeFile(t, ".env", tt.dotEnv)
			}
			cfg, _, err := Load(o)
			if err != nil {
				t.Fatal(err)
			}
			if cfg.HTTPServer.Port != tt.want {
				t.Errorf("port %d, want %d", cfg.HTTPServer.Port, tt.want)
			}
			if tt.file != "" && cfg.Client.ChannelLimit != 7 {
				t.Errorf("channel_limit = %d; want 7, whatever the case of its letters", cfg.Client.ChannelLimit)
			}
		})
	}
}

func TestFormatsAgree(t *testing.T) {
	files := map[string]string{
		"c.json": `{"client": {"ping_interval": "30s", "allowed_origins": ["https://a.b", "*"], "insecure": false},
			"channel": {"namespaces": [{"name": "news", "history_size": 10, "history_ttl": "5m"}, {"name": "chat", "presence": true}]},
			"http_api": {"key": "k"}, "http_server": {"port": 9000}}`,
		"c.yaml": `
client:
  ping_interval: 30s
  allowed_origins: ["https://a.b", "*"]
  insecure: false
channel:
  namespaces:
    - {name: news, history_size: 10, history_ttl: 5m}
    - name: chat
      presence: true
http_api: {key: k}
http_server: {port: 9000}
`,
		"c.toml": `
[client]
ping_interval = "30s"
allowed_origins = ["https://a.b", "*"]
insecure = false
[[channel.namespaces]]
name = "news"
history_size = 10
history_ttl = "5m"
[[channel.namespaces]]
name = "chat"
presence = true
[http_api]
key = "k"
[http_server]
port = 9000
`,
	}
	var first *Config
	for _, name := range []string{"c.json", "c.yaml", "c.toml"} {
		cfg, warnings, err := Load(Options{File: writeFile(t, name, files[name])})
		if err != nil || len(warnings) != 0 {
			t.Fatalf("%s: %v %v; want none", name, warnings, err)
		}
		if first == nil {
			first = cfg
		}
		if !reflect.DeepEqual(first, cfg) {
			t.Errorf("%s gives %+v; want %+v, as c.json", name, cfg, first)
		}
	}
	if first.Client.PingInterval != 30*time.Second || len(first.Channel.Namespaces) != 2 ||
		first.Channel.Namespaces[0].HistoryTTL != 5*time.Minute || !first.Channel.Namespaces[1].Presence ||
		first.Channel.Namespaces[0].SubscribeProxyName != "default" || first.HTTPServer.Port != 9000 {
		t.Errorf("wrong values: %+v; want those of the file", first.Channel.Namespaces)
	}
}

func TestFileProblems(t *testing.T) {
	tests := []struct{ name, file, content, want string }{
		{"unknown key, near sibling", "c.json", `{"client": {"chanel_limit": 1}}`, "client.chanel_limit: unknown key, did you mean client.channel_limit?"},
		{"unknown section", "c.json", `{"clinet": {}}`, "clinet: unknown key, did you mean client?"},
		{"flat key of a former version", "c.json", `{"token_hmac_secret_key": "x"}`, "did you mean client.token.hmac_secret_key?"},
		{"flat key with a new head", "c.json", `{"log_level": "info"}`, "did you mean log.level?"},
		{"key in the wrong place", "c.json", `{"port": 1}`, "port: unknown key, did you mean http_server.port?"},
		{"nothing near", "c.json", `{"zzzzzzzzz": 1}`, "zzzzzzzzz: unknown key"},
		{"unknown key in a list", "c.json", `{"channel": {"namespaces": [{"name": "news", "presense": true}]}}`, "channel.namespaces[news].presense: unknown key, did you mean channel.namespaces[news].presence?"},
		{"twice in another case", "c.json", `{"log": {"level": "info", "LEVEL": "warn"}}`, "log.level: given twice"},
		{"twice in JSON", "c.json", `{"log": {}, "log": {}}`, `key "log" given twice`},
		{"all problems at once", "c.json", `{"a1": 1, "b1": 2}`, "a1: unknown key\nb1: unknown key"},
		{"empty file", "c.json", ``, "unexpected EOF"},
		{"malformed JSON", "c.json", `{"log": }`, "JSON at byte"},
		{"trailing garbage", "c.json", `{} x`, "JSON at byte"},
		{"not an object", "c.json", `[]`, "the top level must be an object"},
		{"malformed YAML", "c.yaml", "a: [", "yaml"},
		{"malformed TOML", "c.toml", "a = ", "toml"},
		{"unknown extension", "c.ini", "", "extension"},
		{"fraction for int", "c.json", `{"http_server": {"port": 1.5}}`, "http_server.port: want a whole number"},
		{"too large", "c.json", `{"http_server": {"port": 99999999999999999999}}`, "http_server.port: number out of range"},
		{"string for bool", "c.yaml", `client: {insecure: "yes"}`, "client.insecure: want true or false"},
		{"duration without unit", "c.json", `{"client": {"ping_interval": "30"}}`, "client.ping_interval: want a duration"},
		{"scalar for section", "c.json", `{"engine": "redis"}`, "engine: want an object"},
		{"negative", "c.json", `{"client": {"channel_limit": -1}}`, "client.channel_limit: must not be negative"},
		{"write delay", "c.json", `{"client": {"write_delay": "1001ms"}}`, "client.write_delay: must be at most 1s and less than client.pong_timeout"},
		{"write delay and pong", "c.json", `{"client": {"write_delay": "100ms", "pong_timeout": "100ms"}}`, "client.write_delay: must be at most 1s"},
		{"messages in a frame", "c.json", `{"client": {"max_messages_in_frame": 65536}}`, "client.max_messages_in_frame: must be from -1 to 65535"},
		{"a negative sample of publications", "c.json", `{"prometheus": {"publication_latency_sample": -1}}`, "prometheus.publication_latency_sample: must not be negative"},
		{"too many namespaces in metrics", "c.json", `{"prometheus": {"channel_namespaces": 1001}}`, "prometheus.channel_namespaces: must be from 0 to 1000"},
		{"fewer than any number of messages in a frame", "c.json", `{"client": {"max_messages_in_frame": -2}}`, "client.max_messages_in_frame: must be from -1 to 65535"},
		{"negative duration", "c.json", `{"client": {"stale_close_delay": "-1s"}}`, "client.stale_close_delay: must not be negative"},
		{"negative code", "c.json", `{"client": {"connect_code_to_unidirectional_disconnect": {"transforms": [{"code": -1}]}}}`, "transforms[0].code: number out of range"},
		{"deep", "c.json", `{"log": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "nested deeper"},
		{"control characters in a key", "c.json", `{"a\nb": 1}`, `a\nb: unknown key`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg, _, err := Load(Options{File: writeFile(t, tt.file, tt.content)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
			if cfg != nil {
				t.Error("a configuration came with an error; want none")
			}
		})
	}
}

func TestProblemsAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString(`{"x": 1`)
	for i := range 20000 {
		b.WriteString(`, "key` + strings.Repeat("y", i%7) + string(rune('a'+i%26)) + time.Duration(i).String() + `": 1`)
	}
	b.WriteString("}")
	_, _, err := Load(Options{File: writeFile(t, "c.json", b.String())})
	if n := strings.Count(err.Error(), "\n"); n > maxProblems {
		t.Errorf("%d lines; want at most %v", n, maxProblems)
	}
}

func TestMissingFile(t *testing.T) {
	cfg, warnings, err := Load(Options{File: filepath.Join(t.TempDir(), "none.json")})
	if err != nil || cfg.HTTPServer.Port != 8000 || len(ofKind(warnings, MissingFile)) != 1 {
		t.Errorf("%v %v; want cfg.HTTPServer.Port 8000 and 1", warnings, err)
	}
}

func TestFileTooLarge(t *testing.T) {
	_, _, err := Load(Options{File: writeFile(t, "c.json", strings.Repeat(" ", maxFile+1))})
	if err == nil || !strings.Contains(err.Error(), "exceeds") {
		t.Errorf("%v; want an error and \"exceeds\" in it", err)
	}
}

func TestZeroInFileIsDefault(t *testing.T) {
	cfg, warnings := mustLoad(t, `{"client": {"channel_limit": 0, "ping_interval": "0s", "connection_limit": 0},
		"channel": {"private_prefix": ""}, "engine": {"redis": {"address": []}}}`)
	if cfg.Client.ChannelLimit != 128 || cfg.Client.PingInterval != 25*time.Second || cfg.Channel.PrivatePrefix != "$" || len(cfg.Engine.Redis.Address) != 1 {
		t.Errorf("zero was taken: %+v; want ChannelLimit 128, PingInterval %v, cfg.Channel.PrivatePrefix \"$\" and len(cfg.Engine.Redis.Address) 1",
			cfg.Client, 25*time.Second)
	}
	if got := ofKind(warnings, ZeroIgnored); len(got) != 4 || !strings.HasPrefix(got[0], "channel.private_prefix: ") {
		t.Errorf("warnings %q; want length 4 and prefix \"channel.private_prefix: \"", got)
	}
}

func TestNullIsNotGiven(t *testing.T) {
	cfg, warnings := mustLoad(t, `{"client": {"channel_limit": null}, "log": null}`)
	if cfg.Client.ChannelLimit != 128 || len(warnings) != 0 {
		t.Errorf("%v; want cfg.Client.ChannelLimit 128 and none", warnings)
	}
}

func TestDurationNanoseconds(t *testing.T) {
	cfg, _ := mustLoad(t, `{"client": {"ping_interval": 30000000000}}`)
	if cfg.Client.PingInterval != 30*time.Second {
		t.Errorf("%v; want %v", cfg.Client.PingInterval, 30*time.Second)
	}
}

func TestFlagProblems(t *testing.T) {
	_, _, err := Load(Options{Flags: map[string]string{"http_server.port": "x", "nope": "1"}})
	if err == nil || err.Error() != "--http_server.port: want a whole number\n--nope: unknown key" {
		t.Errorf("%v; want an error and %q", err, "--http_server.port: want a whole number\n--nope: unknown key")
	}
}

func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "s3cr3t-value"
	_, _, err := Load(Options{
		File: writeFile(t, "c.json", `{"http_server": {"port": "`+secret+`", "tls": {"enabled": true, "key_pem": "`+secret+`"}}, "client": {"insecure": "`+secret+`"}}`),
		Environ: []string{"CENTRIFUGO_CLIENT_CHANNEL_LIMIT=" + secret, "CENTRIFUGO_PROXIES=[" + secret, "CENTRIFUGO_CLIENT_INSECURE=" + secret,
			"CENTRIFUGO_CLIENT_PING_INTERVAL=" + secret},
		DotEnv: writeFile(t, ".env", "CENTRIFUGO_X=\""+secret+"\n-"),
	})
	if err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("%v; want an error and no %q in it", err, secret)
	}
}
