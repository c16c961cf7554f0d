package cli

import (
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
)

func TestCheckConfig(t *testing.T) {
	valid := `{"client": {"allowed_origins": []}}`
	tests := []struct {
		name    string
		file    string
		environ []string
		args    []string
		code    int
		stderr  string // a part of it; empty means silence
	}{
		{"valid", valid, nil, nil, 0, ""},
		{"strict", valid, nil, []string{"-s"}, 0, ""},
		{"unknown key", `{"x1": 1}`, nil, nil, 1, "error: x1: unknown key\n"},
		{"unknown key, strict", `{"x1": 1}`, nil, []string{"--strict"}, 1, "error: x1: unknown key\n"},
		{"invalid value", `{"client": {"ping_interval": "1s"}}`, nil, nil, 1, "error: client.ping_interval: must be greater than client.pong_timeout\n"},
		{"malformed", `{`, nil, nil, 1, "error: configuration file config.json: JSON at byte"},
		{"unknown variable", valid, []string{"CENTRIFUGO_NOPE=1"}, nil, 0, "warning: CENTRIFUGO_NOPE: unknown environment variable"},
		{"unknown variable, strict", valid, []string{"CENTRIFUGO_NOPE=1"}, []string{"-s"}, 1, "error: CENTRIFUGO_NOPE: unknown environment variable"},
		{"missing file", "", nil, []string{"-c", "none.json"}, 1, "error: none.json: the configuration file does not exist\n"},
		{"quoted number", `{"http_server": {"port": "9000"}}`, nil, nil, 0, "warning: http_server.port: accepted, but the strict form is 9000\n"},
		{"quoted number, strict", `{"http_server": {"port": "9000"}}`, nil, []string{"-s"}, 1, "error: http_server.port: accepted, but the strict form is 9000\n"},
		{"level in upper case, strict", valid, []string{"CENTRIFUGO_LOG_LEVEL=INFO"}, []string{"-s"}, 1, "error: log.level: accepted, but the strict form is \"info\"\n"},
		{"internal port as text, strict", `{"http_server": {"internal_port": "9000"}}`, nil, []string{"-s"}, 0, ""},
		{"key of another kind", `{"client": {"subscription_token": {"enabled": true, "rsa_public_key": "-----BEGIN X-----\n-----END X-----\n"}}}`, nil, nil, 1,
			"error: client.subscription_token.rsa_public_key: "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inDir(t, map[string]string{"config.json": tt.file})
			r := command(tt.environ, append([]string{"checkconfig"}, tt.args...)...)
			if r.code != tt.code || r.stdout != "" || !strings.HasPrefix(r.stderr, tt.stderr) || (tt.stderr == "") != (r.stderr == "") {
				t.Errorf("%+v; want code %d, no output, prefix %q of stderr", r, tt.code, tt.stderr)
			}
		})
	}
}

func TestGenConfig(t *testing.T) {
	for _, name := range []string{"config.json", "config.yaml", "config.toml"} {
		t.Run(name, func(t *testing.T) {
			inDir(t, nil)
			if r := command(nil, "genconfig", "-c", name); r.code != 0 || r.stderr != "" || !strings.Contains(r.stdout, "client.allowed_origins") {
				t.Fatalf("%+v; want code 0, stderr nothing and \"client.allowed_origins\" in it", r)
			}
			info, err := os.Stat(name)
			if err != nil || info.Mode().Perm() != 0o600 {
				t.Fatalf("%v %v; want %v", info, err, 0o600)
			}
			cfg, err := config.LoadFileBare(name)
			if err != nil {
				t.Fatal(err)
			}
			for secret, size := range map[string]int{cfg.Client.Token.HMACSecretKey: 64, cfg.HTTPAPI.Key: 64} {
				if raw, err := base64.RawURLEncoding.DecodeString(secret); err != nil || len(raw) != size {
					t.Errorf("secret of %d bytes, want %d: %v", len(raw), size, err)
				}
			}
			if r := command(nil, "checkconfig", "-s", "-c", name); r.code != 0 || r.stdout != "" || r.stderr != "" {
				t.Errorf("the file is not valid, or warned about: %+v; want code 0, stdout nothing and stderr nothing", r)
			}
			before, _ := os.ReadFile(name)
			command(nil, "genconfig", "-c", name).expect(t, 1, "", "error: file "+name+" exists, it is not overwritten\n")
			if after, _ := os.ReadFile(name); string(before) != string(after) {
				t.Errorf("the file is now %q; want %q, as before", after, before)
			}
		})
	}
	inDir(t, nil)
	if r := command(nil, "genconfig"); r.code != 0 {
		t.Errorf("%+v; want code 0", r)
	}
	if _, err := os.Stat("config.json"); err != nil {
		t.Error(err)
	}
	if r := command(nil, "genconfig", "-c", "config.ini"); r.code != 1 || !strings.Contains(r.stderr, "extension") {
		t.Errorf("%+v; want code 1 and \"extension\" in it", r)
	}
}

// What genconfig writes admits pages under development and a first publication.
func TestGeneratedConfigurationIsUsable(t *testing.T) {
	inDir(t, nil)
	if r := command(nil, "genconfig"); r.code != 0 {
		t.Fatalf("%+v; want code 0", r)
	}
	cfg, err := config.LoadFileBare("config.json")
	if err != nil {
		t.Fatal(err)
	}
	origins, err := middleware.NewOrigins(cfg.Client.AllowedOrigins)
	if err != nil {
		t.Fatal(err)
	}
	for origin, want := range map[string]bool{
		"http://localhost": true, "http://localhost:3000": true, "http://127.0.0.1:8080": true,
		"https://example.com": false, "http://localhost.example.com": false, "http://example.com:3000": false,
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Header.Set("Origin", origin)
		if origins.Allowed(r) != want {
			t.Errorf("origin %s: allowed = %v; want %v", origin, !want, want)
		}
	}
	if ns := cfg.Channel.Namespaces; len(ns) != 1 || ns[0].Name != "news" || !ns[0].AllowSubscribeForClient || ns[0].AllowPublishForClient {
		t.Errorf("%+v; want one, news, that allows subscribing and not publishing", ns)
	}
}

// The help says which flags have no effect.
func TestFlagsWithoutEffectAreMarked(t *testing.T) {
	marks := map[string]bool{}
	for line := range strings.Lines(command(nil, "--help").stdout) {
		if _, flag, ok := strings.Cut(line, "--"); ok {
			name, _, _ := strings.Cut(flag, " ")
			marks[strings.TrimSpace(name)] = strings.Contains(line, "without effect in this version")
		}
	}
	for name, want := range map[string]bool{
		"admin.external": false, "map_broker.type": true,
		"http_server.port": false, "swagger.enabled": false, "sse.enabled": false, "uni_grpc.port": false, "grpc_api.enabled": false, "health.enabled": false, "http_api.insecure": false, "engine.type": false, "dev": false,
	} {
		if got, ok := marks[name]; !ok || got != want {
			t.Errorf("--%s: marked %v, listed %v; want %v, true", name, got, ok, want)
		}
	}
}

func TestDefaultConfig(t *testing.T) {
	for _, name := range []string{"full.json", "full.yaml", "full.toml"} {
		inDir(t, map[string]string{"base.yaml": "http_server: {port: 9000}\nchannel: {namespaces: [{name: ab, presence: true}]}"})
		command(nil, "defaultconfig", "-c", name, "-b", "base.yaml").expect(t, 0, "", "")
		written, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := config.LoadFile(name)
		if err != nil || cfg.HTTPServer.Port != 9000 || !cfg.Channel.Namespaces[0].Presence || cfg.Client.ChannelLimit != 128 {
			t.Errorf("%s: the configuration is %+v, %v; want port 9000, presence and 128 channels", name, cfg, err)
		}
		dry := command(nil, "defaultconfig", "-c", name, "-b", "base.yaml", "-d")
		dry.expect(t, 0, string(written), "")
		command(nil, "defaultconfig", "-c", name).expect(t, 1, "", "error: file "+name+" exists, it is not overwritten\n")
		command(nil, "checkconfig", "-c", name, "-s").expect(t, 0, "", "")
	}
	if r := command(nil, "defaultconfig", "-d", "-b", "none.json"); r.code != 1 {
		t.Errorf("%+v; want code 1", r)
	}
}

func TestDefaultEnv(t *testing.T) {
	inDir(t, map[string]string{"base.json": `{"http_server": {"port": 9000, "address": ""}, "client": {"allowed_origins": ["a", "b"]}}`})
	r := command(nil, "defaultenv")
	if r.code != 0 || !strings.Contains(r.stdout, "CENTRIFUGO_HTTP_SERVER_PORT=\"8000\"\n") || !strings.Contains(r.stdout, "CENTRIFUGO_CHANNEL_PRIVATE_PREFIX=\"$\"\n") {
		t.Errorf("code %d; want 0, %q in it and %q in it",
			r.code, "CENTRIFUGO_HTTP_SERVER_PORT=\"8000\"\n", "CENTRIFUGO_CHANNEL_PRIVATE_PREFIX=\"$\"\n")
	}
	r = command(nil, "defaultenv", "-b", "base.json")
	if !strings.Contains(r.stdout, "CENTRIFUGO_HTTP_SERVER_PORT=\"9000\"\n") || !strings.Contains(r.stdout, "CENTRIFUGO_CLIENT_CHANNEL_LIMIT=\"128\"\n") {
		t.Errorf("code %d; want %q in it and %q in it",
			r.code, "CENTRIFUGO_HTTP_SERVER_PORT=\"9000\"\n", "CENTRIFUGO_CLIENT_CHANNEL_LIMIT=\"128\"\n")
	}
	command(nil, "defaultenv", "-b", "base.json", "--base-non-zero-only").expect(t, 0,
		"CENTRIFUGO_HTTP_SERVER_PORT=\"9000\"\nCENTRIFUGO_CLIENT_ALLOWED_ORIGINS=\"a b\"\n", "")
	command(nil, "defaultenv", "--base-non-zero-only").expect(t, 1, "", "error: --base-non-zero-only needs --base\n")
}
