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
		{"key set", `{"client": {"token": {"jwks_public_endpoint": "https://x/jwks"}}}`, "", ""},
		{"map", ns(`"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1m"}`), "", `channel.namespaces[news].subscription_type: map and shared poll subscriptions are not`},
		{"stream", ns(`"subscription_type": "stream"`), "", ""},
		{"ACME", `{"http_server": {"tls_autocert": {"enabled": true, "host_whitelist": ["rt.example.com"]}}}`, "", ""},
		{"fallback", `{"sse": {"enabled": true}, "http_stream": {"enabled": true}}`, "", ""},
		{"fallback alone", `{"websocket": {"disabled": true}, "sse": {"enabled": true}}`, "", ""},
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
					t.Errorf("refused, and warned of as without effect: %s; want one of both", w)
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
			t.Errorf("no key %s; want one", path)
		}
		if unbuiltFeature(strings.ReplaceAll(path, "channel.*.", "channel.without_namespace.")) == "" {
			t.Errorf("%s belongs to no feature that is missing; want one", path)
		}
	}
}

// The insecure mode of an endpoint counts while the endpoint is on.
func TestAdminInsecure(t *testing.T) {
	for _, tt := range []struct {
		file, address, modes string
	}{
		{`{"admin": {"enabled": true, "insecure": true}}`, "127.0.0.1", "admin.insecure"},
		{`{"admin": {"insecure": true}}`, "", ""},
	} {
		cfg, warnings := mustLoad(t, tt.file)
		modes := strings.Join(cfg.InsecureModes(), " ")
		if cfg.HTTPServer.Address != tt.address || modes != tt.modes || len(ofKind(warnings, Insecure)) != len(cfg.InsecureModes()) {
			t.Errorf("%s: address %q, modes %q, warnings %v; want %q, %q", tt.file, cfg.HTTPServer.Address, modes, warnings, tt.address, tt.modes)
		}
	}
}

func TestNamedFileMustExist(t *testing.T) {
	for _, name := range []string{"none.json", "none.yaml", "none/config.toml"} {
		cfg, warnings, err := Load(Options{File: name, FileExplicit: true})
		if cfg != nil || err == nil || err.Error() != name+": the configuration file does not exist" {
			t.Errorf("%s: %v %v; want no configuration, and the error that the file does not exist", name, warnings, err)
		}
		if _, warnings, err = Load(Options{File: name, FileExplicit: true, Dev: true}); err == nil {
			t.Errorf("%s in development mode: %v; want an error", name, warnings)
		}
		if _, warnings, err = Load(Options{File: name}); err != nil || len(ofKind(warnings, MissingFile)) != 1 {
			t.Errorf("%s by default: %v %v; want 1", name, warnings, err)
		}
	}
}
