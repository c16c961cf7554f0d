package cli

import (
	"os"
	"strings"
	"testing"
)

func TestMigrate(t *testing.T) {
	const v3 = `{"token_hmac_secret_key": "s", "protected": true, "sockjs": true, "api_key": "k"}`
	tests := []struct {
		name, file string
		args       []string
		code       int
		stdout     string
		stderr     string
		written    bool
	}{
		{name: "to standard output", file: `{"global_presence_ttl": "1m", "api_key": "k"}`, stdout: "http_api:\n  # was api_key\n  key: k\n", stderr: "moved: api_key -> http_api.key\n"},
		{name: "to a file", file: `{"global_presence_ttl": "1m", "api_key": "k"}`, args: []string{"-o", "new.yaml"}, stderr: "moved: api_key", written: true},
		{name: "a decision", file: v3, args: []string{"-o", "new.yaml"}, code: 1, stderr: "decision: sockjs: "},
		{name: "a decision that is taken", file: v3, args: []string{"-o", "new.yaml", "--accept", "sockjs"}, stderr: "lost: sockjs: ", written: true},
		{name: "an output that exists", file: v3, args: []string{"-o", "config.json", "--accept=sockjs"}, code: 1, stderr: "it is not overwritten"},
		{name: "an output of no format", file: v3, args: []string{"-o", "new.ini"}, code: 1, stderr: `extension ".ini"`},
		{name: "old flags", args: []string{"--from", "v3", "--token_hmac_secret_key=s", "--admin", "--port", "9000", "-a", "::1"},
			stdout: "port: 9000", stderr: "moved: --admin -> admin.enabled\n"},
		{name: "quiet", file: `{"global_presence_ttl": "1m", "api_key": "k"}`, args: []string{"--quiet"}, stdout: "key: k"},
		{name: "a version that does not exist", args: []string{"--from", "v9"}, code: 1, stderr: `version "v9" is none of`},
		{name: "no value", args: []string{"--from"}, code: 1, stderr: "--from: needs a value"},
		{name: "a word", args: []string{"old.json"}, code: 1, stderr: `unexpected argument "old.json"`},
		{name: "a file that is missing", args: []string{"-c", "none.json"}, code: 1, stderr: "none.json"},
		{name: "help", args: []string{"--help"}, stdout: "--accept KEY"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			files := map[string]string{}
			if test.file != "" {
				files["config.json"] = test.file
			}
			inDir(t, files)
			r := command(nil, append([]string{"migrate"}, test.args...)...)
			if r.code != test.code || !strings.Contains(r.stdout, test.stdout) || !strings.Contains(r.stderr, test.stderr) {
				t.Errorf("code %d, stdout %q, stderr %q; want %d, %q in it, %q in it", r.code, r.stdout, r.stderr, test.code, test.stdout, test.stderr)
			}
			if _, err := os.Stat("new.yaml"); (err == nil) != test.written {
				t.Errorf("new.yaml: %v; want it written: %t", err, test.written)
			}
			if test.written {
				command(nil, "checkconfig", "-c", "new.yaml", "--strict").expectCode(t, 0)
			}
		})
	}
}

func (r result) expectCode(t *testing.T, code int) {
	t.Helper()
	if r.code != code {
		t.Errorf("code %d, stderr %q; want %d", r.code, r.stderr, code)
	}
}

// The server names the command where it finds an old configuration, in a file and in flags.
func TestOldConfigurationNamesMigrate(t *testing.T) {
	inDir(t, map[string]string{"old.json": `{"token_hmac_secret_key": "s", "api_key": "k", "namespaces": [{"name": "chat", "publish": true}]}`})
	for _, args := range [][]string{{"-c", "old.json"}, {"checkconfig", "-c", "old.json"}} {
		r, cfg, _ := serve(nil, nil, args...)
		if r.code != 1 || cfg != nil || !strings.Contains(r.stderr, "centrifugo migrate -c old.json turns it into the form of v6: it has api_key") {
			t.Errorf("%v: code %d, %q; want 1 and the command", args, r.code, r.stderr)
		}
		if lines := strings.Count(r.stderr, "\n"); strings.Contains(r.stderr, "unknown key") && lines > 6 {
			t.Errorf("%v: %d lines, %q; want no list of unknown keys", args, lines, r.stderr)
		}
	}
	for flag, want := range map[string]string{
		"--token_hmac_secret_key=s": "now it is the key client.token.hmac_secret_key; centrifugo migrate",
		"--admin":                   "now it is the key admin.enabled",
		"--sockjs":                  "nothing replaces it",
	} {
		if r, cfg, _ := serve(nil, nil, flag); r.code != 1 || cfg != nil || !strings.Contains(r.stderr, want) {
			t.Errorf("%s: code %d, %q; want 1, %q in it", flag, r.code, r.stderr, want)
		}
	}
	if r, _, _ := serve(nil, nil, "--nonsense"); r.code != 1 || strings.Contains(r.stderr, "v5") {
		t.Errorf("--nonsense: code %d, %q; want 1 and no word of former versions", r.code, r.stderr)
	}
}
