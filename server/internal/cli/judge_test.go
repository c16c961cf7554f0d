package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"centrifugo/server/internal/config"
)

// A configuration starts if and only if checkconfig accepts it, and both give the same
// error. Types of engines are refused by the server's own check.
func TestOneJudgement(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"default", `{}`, ""},
		{"map", `{"channel": {"without_namespace": {"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1m"}}}}`, "channel.without_namespace.subscription_type: map and shared poll subscriptions are not in this version"},
		{"unsafe template", `{"client": {"token": {"jwks_public_endpoint": "https://x/{{t}}", "issuer_regex": "(?P<t>.*)"}}}`, "client.token.jwks_public_endpoint: {{t}}: the group must list literal texts"},
		{"key of another kind", `{"client": {"token": {"rsa_public_key": "-----BEGIN X-----\n-----END X-----\n"}}}`, "client.token.rsa_public_key: "},
		{"negative", `{"client": {"channel_limit": -1}}`, "client.channel_limit: must not be negative"},
		{"refused by the server", `{"node": {"name": "refuse me"}}`, "refused"},
		{"fallback not built", `{"sse": {"enabled": true}}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inDir(t, map[string]string{"config.json": tt.file, "none": ""})
			for _, args := range [][]string{{"checkconfig"}, {"checkconfig", "--strict"}, {}} {
				var stderr bytes.Buffer
				started := false
				code := Main(Env{Args: args, Stdout: new(bytes.Buffer), Stderr: &stderr,
					Check: func(c *config.Config) error {
						if c.Node.Name == "refuse me" {
							return errors.New("refused")
						}
						return nil
					},
					Run: func(context.Context, *config.Config, RunOptions) error { started = true; return nil }})
				if (code == 0) != (tt.want == "") || !strings.Contains(stderr.String(), tt.want) || started != (len(args) == 0 && tt.want == "") {
					t.Errorf("%v: code %d, started %v, %s; want the error %q, started without one", args, code, started, &stderr, tt.want)
				}
			}
		})
	}
}

// A file that is named must exist, for every command that reads it.
func TestNamedFileIsMissing(t *testing.T) {
	inDir(t, nil)
	for _, args := range [][]string{{}, {"--dev"}, {"checkconfig"}, {"checkconfig", "-s"}, {"gentoken"}, {"checktoken", "x"}} {
		r, cfg, _ := serve(nil, nil, append(args, "-c", "typo.json")...)
		if r.code != 1 || cfg != nil || !strings.Contains(r.stderr, "typo.json: the configuration file does not exist") {
			t.Errorf("%v: %+v; want code 1, no configuration, and the error that the file does not exist", args, r)
		}
	}
	// The default file may be missing, with a warning.
	if r, cfg, o := serve(nil, nil); r.code != 0 || cfg == nil || len(o.Warnings) != 1 {
		t.Errorf("%+v %v; want code 0 and length 1", r, o.Warnings)
	}
}

// A reload checks the configuration as the start does.
func TestReloadIsJudged(t *testing.T) {
	inDir(t, map[string]string{"config.json": `{}`})
	_, _, o := serve(nil, nil)
	for _, file := range []string{
		`{"channel": {"without_namespace": {"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1m"}}}}`,
		`{"http_server": {"tls_autocert": {"enabled": true, "cache_dir": "certificates"}}}`,
	} {
		if err := os.WriteFile("config.json", []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := o.Reload(); err == nil {
			t.Errorf("%s is taken over; want an error", file)
		}
	}
}
