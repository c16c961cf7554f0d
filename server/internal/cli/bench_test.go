package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"centrifugo/server/internal/loadtest"
)

// runBench runs the command and returns what Main would make an exit status of.
func runBench(args ...string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	env := Env{Context: context.Background(), Stdout: &out, Stderr: &errs}
	cmd := env.benchCommand()
	cmd.SetArgs(args)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetOut(&out)
	err = cmd.Execute()
	return out.String(), errs.String(), err
}

func TestBenchHelp(t *testing.T) {
	stdout, _, err := runBench("--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range loadtest.Scenarios() {
		if !strings.Contains(stdout, "\n  "+s.Name+" ") || !strings.Contains(stdout, s.About) {
			t.Errorf("%s is not explained; want %q in it and %q in it", s.Name, "\n  "+s.Name+" ", s.About)
		}
	}
	for _, flag := range []string{"transport", "http2-streams", "address", "api", "api-key", "api-key-file", "token", "token-file", "clients", "channels-per-client", "rate", "publishers", "duration", "warmup", "payload", "payload-file", "protobuf", "deflate", "channel", "backend", "backend-time", "backend-parallel", "source-addresses", "workers", "pid", "json", "html", "quiet"} {
		if !strings.Contains(stdout, "--"+flag+" ") {
			t.Errorf("--%s is not explained; want %q in it", flag, "--"+flag+" ")
		}
	}
	if strings.Contains(stdout, benchWorkerFlag) {
		t.Errorf("the flag of workers is not hidden: got %v; want no %q in it", stdout, benchWorkerFlag)
	}
}

func TestBenchErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(file, []byte("not JSON"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"which scenario":        {},
		"unknown scenario":      {"nonsense"},
		"accepts at most 1 arg": {"idle", "fanout"},
		"unknown flag":          {"idle", "--nonsense"},
		"clients: 0":            {"idle", "--clients", "0"},
		"no such file":          {"idle", "--token-file", file + "y"},
		"is given too":          {"idle", "--api-key", "a", "--api-key-file", file},
		"line 1 is not JSON":    {"fanout", "--payload-file", file},
		"connection refused":    {"idle", "--address", "127.0.0.1:1", "--clients", "1", "--duration", "10ms", "--quiet"},
	} {
		_, stderr, err := runBench(args...)
		if err == nil || !strings.Contains(err.Error(), want) || stderr != "" {
			t.Errorf("%v: %v, stderr %q; want %s", args, err, stderr, want)
		}
	}
}

// TestBenchFails: a server that refuses everybody fails the run, but not its
// output, and no secret is in there.
func TestBenchFails(t *testing.T) {
	refuse := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusTeapot)
		_, _ = io.WriteString(w, "short and stout")
	}))
	defer refuse.Close()
	dir := t.TempDir()
	secret, page := filepath.Join(dir, "secret"), filepath.Join(dir, "report.html")
	if err := os.WriteFile(secret, []byte("top secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, err := runBench("fanout", "--address", refuse.Listener.Addr().String(), "--clients", "2", "--duration", "10ms", "--token-file", secret, "--api-key-file", secret, "--json", "--html", page)
	const want = "bench: 2 of 2 clients are not connected; 2 x connect: handshake: answered with 418 I'm a teapot"
	if err == nil || err.Error() != want {
		t.Errorf("%v; want %s", err, want)
	}
	var report loadtest.Report
	if err := json.Unmarshal([]byte(stdout), &report); err != nil || report.OK || report.Clients != 2 || report.Scenario != loadtest.Fanout {
		t.Errorf("%v: %s; want a failed report of fanout with 2 clients", err, stdout)
	}
	html, err := os.ReadFile(page)
	if err != nil || !bytes.Contains(html, []byte("teapot")) {
		t.Errorf("report: %v; want \"teapot\" in it", err)
	}
	for _, text := range []string{stdout, stderr, string(html)} {
		if strings.Contains(text, "top secret") {
			t.Errorf("a secret is in the output: got %v; want no \"top secret\" in it", text)
		}
	}
}

func TestBenchReadsFiles(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"token": "abc\n", "key": " def ", "payloads": "{}\n[1]\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var o loadtest.Options
	files := benchSecrets{tokenFile: filepath.Join(dir, "token"), keyFile: filepath.Join(dir, "key"), payloadFile: filepath.Join(dir, "payloads")}
	if err := files.read(&o); err != nil || o.Token != "abc" || o.APIKey != "def" || len(o.Payloads) != 2 {
		t.Errorf("%+v, %v; want Token \"abc\", APIKey \"def\" and len(Payloads) 2", o, err)
	}
}
