package cli

import (
	"bytes"
	"context"
	"errors"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/pflag"
	"go.uber.org/goleak"

	"centrifugo/server/internal/config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// result is the outcome of a command.
type result struct {
	code           int
	stdout, stderr string
}

// command runs a command in the working directory.
func command(environ []string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := Main(Env{Args: args, Stdout: &stdout, Stderr: &stderr, Environ: environ, Version: "1.2.3"})
	return result{code, stdout.String(), stderr.String()}
}

// inDir changes to a new directory with files.
func inDir(t *testing.T, files map[string]string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, content := range files {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (r result) expect(t *testing.T, code int, stdout, stderr string) {
	t.Helper()
	if r.code != code || r.stdout != stdout || r.stderr != stderr {
		t.Errorf("code %d, stdout %q, stderr %q; want %d, %q, %q", r.code, r.stdout, r.stderr, code, stdout, stderr)
	}
}

func TestVersion(t *testing.T) {
	command(nil, "version").expect(t, 0, "Centrifugo v1.2.3 (Go version: "+runtime.Version()+")\n", "")
}

func TestVersionJSON(t *testing.T) {
	system := `"go":"` + runtime.Version() + `","os":"` + runtime.GOOS + `","arch":"` + runtime.GOARCH + "\"}\n"
	command(nil, "version", "--json").expect(t, 0, `{"version":"1.2.3",`+system, "")
	var stdout bytes.Buffer
	Main(Env{Args: []string{"version", "--json"}, Stdout: &stdout, Version: "1.2.3", Commit: "abc", Date: "2026-01-02T03:04:05Z"})
	if want := `{"version":"1.2.3","commit":"abc","date":"2026-01-02T03:04:05Z",` + system; stdout.String() != want {
		t.Errorf("got %q, want %q", stdout.String(), want)
	}
}

// The flag --version prints the same as the command version.
func TestVersionFlag(t *testing.T) {
	inDir(t, map[string]string{"config.json": "{"})
	for _, args := range [][]string{{"--version"}, {"-v"}, {"--version", "--health.enabled"}, {"-c", "none.json", "--version"}} {
		command(nil, args...).expect(t, 0, "Centrifugo v1.2.3 (Go version: "+runtime.Version()+")\n", "")
	}
	if r := command(nil, "checkconfig", "--version"); r.code != 1 {
		t.Errorf("%+v; want code 1", r)
	}
}

func TestUsage(t *testing.T) {
	inDir(t, nil)
	for _, tt := range []struct {
		args   []string
		code   int
		stdout string
		stderr string
	}{
		{[]string{"help"}, 0, "Usage:", ""},
		{[]string{"--help"}, 0, "--http_server.port int", ""},
		{[]string{"gentoken", "--help"}, 0, "--user", ""},
		{[]string{"completion", "bash"}, 0, "bash completion", ""},
		{[]string{"completion", "zsh"}, 0, "compdef", ""},
		{[]string{"nonsense"}, 1, "", "error: unknown command"},
		{[]string{"--nonsense"}, 1, "", "error: unknown flag"},
		{[]string{"version", "x"}, 1, "", "error: "},
		{[]string{"--http_server.port=x"}, 1, "", "error: invalid argument"},
	} {
		r := command(nil, tt.args...)
		if r.code != tt.code || !strings.Contains(r.stdout, tt.stdout) || !strings.HasPrefix(r.stderr, tt.stderr) || (tt.stderr == "") != (r.stderr == "") {
			t.Errorf("%v: %+v; want code %d, %q in stdout, prefix %q of stderr", tt.args, r, tt.code, tt.stdout, tt.stderr)
		}
	}
}

// The flags of the server are those of server.md 6.4 and --dev, no others.
func TestServerFlags(t *testing.T) {
	want := strings.Fields(`config http_server.address http_server.port http_server.internal_address http_server.internal_port
		pid_file log.level log.file engine.type broker.enabled broker.type presence_manager.enabled presence_manager.type map_broker.type
		debug.enabled admin.enabled admin.external admin.insecure prometheus.enabled swagger.enabled health.enabled uni_websocket.enabled
		uni_sse.enabled uni_http_stream.enabled sse.enabled http_stream.enabled init.enabled client.insecure http_api.insecure
		http_api.external grpc_api.enabled grpc_api.port uni_grpc.enabled uni_grpc.port dev`)
	root := Env{}.rootCommand()
	var got []string
	root.Flags().VisitAll(func(f *pflag.Flag) { got = append(got, f.Name) })
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("flags %v, want %v", got, want)
	}
	for short, long := range map[string]string{"c": "config", "a": "http_server.address", "p": "http_server.port"} {
		if f := root.Flags().ShorthandLookup(short); f == nil || f.Name != long {
			t.Errorf("-%s is %+v; want --%s", short, f, long)
		}
	}
	types := config.Types()
	for _, f := range serverFlags {
		if types[f.key].Type == "" {
			t.Errorf("%s is no key of the configuration; want one", f.key)
		}
	}
}

// serve runs the server command with a Run that records what it is given.
func serve(environ []string, runErr error, args ...string) (result, *config.Config, RunOptions) {
	var stdout, stderr bytes.Buffer
	var cfg *config.Config
	var options RunOptions
	code := Main(Env{Args: args, Stdout: &stdout, Stderr: &stderr, Environ: environ, Version: "1.2.3",
		Run: func(_ context.Context, c *config.Config, o RunOptions) error {
			cfg, options = c, o
			return runErr
		}})
	return result{code, stdout.String(), stderr.String()}, cfg, options
}

func TestServe(t *testing.T) {
	inDir(t, map[string]string{
		"config.json": `{"http_server": {"port": 9000}, "log": {"level": "warn"}, "shared_poll": {"concurrency_limit": 3}}`,
		"other.yaml":  "http_server: {port: 9001}",
		".env":        "CENTRIFUGO_NODE_NAME=from-dotenv",
	})
	r, cfg, o := serve([]string{"CENTRIFUGO_LOG_LEVEL=error"}, nil, "--health.enabled", "--grpc_api.port", "10001")
	r.expect(t, 0, "", "")
	if cfg.HTTPServer.Port != 9000 || cfg.Log.Level != "error" || !cfg.Health.Enabled || cfg.Node.Name != "from-dotenv" || cfg.GRPCAPI.Port != 10001 {
		t.Errorf("%+v; want port 9000, level error, health, name from-dotenv, gRPC port 10001", cfg)
	}
	if o.Dev || o.Version != "1.2.3" || len(o.Warnings) != 1 || o.Hangup == nil {
		t.Errorf("%+v; want version 1.2.3, one warning, a hangup channel, no development mode", o)
	}
	if _, cfg, _ = serve(nil, nil, "-c", "other.yaml"); cfg.HTTPServer.Port != 9001 {
		t.Errorf("-c was not read: got %v; want 9001", cfg.HTTPServer.Port)
	}
	// A flag that is not given does not override the file, one that is given does, even at its default.
	if _, cfg, _ = serve(nil, nil, "-p", "8000", "-a", "::1"); cfg.HTTPServer.Port != 8000 || cfg.HTTPServer.Address != "::1" || cfg.Log.Level != "warn" {
		t.Errorf("%+v; want Port 8000, Address \"::1\" and cfg.Log.Level \"warn\"", cfg.HTTPServer)
	}
	for text, want := range map[string]int{"": 0, "9002": 9002} {
		if _, cfg, _ = serve(nil, nil, "--http_server.internal_port="+text); cfg == nil || cfg.HTTPServer.InternalPort != want {
			t.Errorf("internal port %q: %v; want HTTPServer.InternalPort %v", text, cfg, want)
		}
	}
	r, _, _ = serve(nil, errors.New("boom"))
	r.expect(t, 1, "", "error: boom\n")
}

func TestServeRefuses(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"unknown key", `{"clent": {}}`, "clent: unknown key, did you mean client?"},
		{"map", `{"channel": {"without_namespace": {"subscription_type": "map", "map": {"mode": "ephemeral", "key_ttl": "1m"}}}}`, "channel.without_namespace.subscription_type: map and shared poll subscriptions are not in this version"},
		{"unsafe template", `{"client": {"token": {"jwks_public_endpoint": "https://x/{{t}}", "issuer_regex": "(?P<t>.*)"}}}`, "client.token.jwks_public_endpoint: {{t}}: the group must list literal texts"},
		{"key of another kind", `{"client": {"token": {"rsa_public_key": "-----BEGIN X-----\n-----END X-----\n"}}}`, "client.token.rsa_public_key: "},
	} {
		inDir(t, map[string]string{"config.json": tt.file})
		r, cfg, _ := serve(nil, nil)
		if r.code != 1 || cfg != nil || !strings.Contains(r.stderr, tt.want) {
			t.Errorf("%s: %+v; want code 1, no configuration, %q in stderr", tt.name, r, tt.want)
		}
	}
}

func TestReload(t *testing.T) {
	inDir(t, map[string]string{"config.json": `{"channel": {"namespaces": [{"name": "aa"}]}}`})
	_, _, o := serve(nil, nil)
	for _, tt := range []struct {
		file string
		ok   bool
	}{
		{`{"channel": {"namespaces": [{"name": "aa"}, {"name": "bb"}]}}`, true},
		{`{"channel": {"namespaces": [{"name": "a"}]}}`, false},
		{`{"client": {"token": {"ecdsa_public_key": "-----BEGIN X-----\n-----END X-----\n"}}}`, false},
		{``, false},
		{`{`, false},
	} {
		if err := os.WriteFile("config.json", []byte(tt.file), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, _, err := o.Reload()
		if (err == nil) != tt.ok || tt.ok && len(cfg.Channel.Namespaces) != 2 {
			t.Errorf("%s: %v; want accepted %v, with 2 namespaces", tt.file, err, tt.ok)
		}
	}
}

// A file that existed at the start must exist, and not be empty, at a reload.
func TestReloadNeedsTheFile(t *testing.T) {
	for _, name := range []string{"config.json", "named.json", "named.yaml", "named.toml"} {
		t.Run(name, func(t *testing.T) {
			content := "http_server: {port: 9001}"
			if strings.HasSuffix(name, ".json") {
				content = `{"http_server": {"port": 9001}}`
			} else if strings.HasSuffix(name, ".toml") {
				content = "http_server.port = 9001"
			}
			inDir(t, map[string]string{name: content})
			args := []string{"-c", name}
			if name == "config.json" {
				args = nil
			}
			_, _, o := serve(nil, nil, args...)
			write := func(text string) {
				if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			reload := func(what string, ok bool) {
				if cfg, _, err := o.Reload(); (err == nil) != ok || ok && cfg.HTTPServer.Port != 9001 {
					t.Errorf("%s: %v %v; want success %v, and port 9001 then", what, cfg, err, ok)
				}
			}
			reload("as it was", true)
			write("")
			reload("emptied", false)
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			reload("gone", false)
			if err := os.Mkdir(name, 0o700); err != nil {
				t.Fatal(err)
			}
			reload("a directory", false)
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
			write(content)
			reload("there again", true)
		})
	}
}

// A server that started without a file reloads without one.
func TestReloadWithoutAFile(t *testing.T) {
	inDir(t, nil)
	for _, args := range [][]string{nil, {"--dev"}} {
		if _, _, o := serve(nil, nil, args...); o.Reload == nil {
			t.Fatal("Reload is nil; want a function")
		} else if _, _, err := o.Reload(); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestContextEndsServer(t *testing.T) {
	inDir(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	code := Main(Env{Context: ctx, Stdout: new(bytes.Buffer), Stderr: new(bytes.Buffer),
		Run: func(ctx context.Context, _ *config.Config, _ RunOptions) error {
			cancel()
			<-ctx.Done()
			return nil
		}})
	if code != 0 {
		t.Errorf("code %d; want 0", code)
	}
}

func TestDev(t *testing.T) {
	inDir(t, map[string]string{"config.json": `{"http_server": {"port": 9000}}`})
	r, cfg, o := serve(nil, nil, "--dev")
	if r.code != 0 || !o.Dev || cfg.HTTPServer.Address != "127.0.0.1" || cfg.HTTPServer.Port != 8000 || !cfg.Client.Insecure {
		t.Errorf("%+v %+v; want code 0, insecure at 127.0.0.1:8000", r, cfg.HTTPServer)
	}
	if !strings.Contains(r.stderr, "INSECURE") || !strings.Contains(r.stderr, "127.0.0.1:8000") || r.stdout != "" {
		t.Errorf("banner %q; want \"INSECURE\" in it, \"127.0.0.1:8000\" in it and r.stdout nothing", r.stderr)
	}
	if _, cfg, _ = serve(nil, nil, "--dev", "-a", "0.0.0.0", "-p", "9002"); cfg.HTTPServer.Address != "0.0.0.0" || cfg.HTTPServer.Port != 9002 {
		t.Errorf("%+v; want Address \"0.0.0.0\" and Port 9002", cfg.HTTPServer)
	}
	if _, cfg, _ = serve(nil, nil, "--client.insecure"); cfg.HTTPServer.Address != "127.0.0.1" || cfg.HTTPServer.Port != 9000 {
		t.Errorf("%+v; want Address \"127.0.0.1\" and Port 9000", cfg.HTTPServer)
	}
}

// failing is an output that can not be written to.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestBrokenOutput(t *testing.T) {
	inDir(t, nil)
	for _, args := range [][]string{{"version"}, {"defaultenv"}, {"configdoc", "-m"}, {"defaultconfig", "-d"}} {
		var stderr bytes.Buffer
		if code := Main(Env{Args: args, Stdout: failing{}, Stderr: &stderr}); code != 1 || !regexp.MustCompile("broken pipe").MatchString(stderr.String()) {
			t.Errorf("%v: %d %s; want code 1 and \"broken pipe\"", args, code, &stderr)
		}
	}
}
