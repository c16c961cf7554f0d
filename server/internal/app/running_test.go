package app

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// instance is a server that runs inside the test.
type instance struct {
	t       testing.TB
	app     *App
	file    string // of its configuration
	log     string // file
	address []string
	hangup  chan os.Signal
	cancel  context.CancelFunc
	done    chan error
	stopped bool
}

// environ makes a server listen on free ports.
var environ = []string{"CENTRIFUGO_HTTP_SERVER_ADDRESS=127.0.0.1", "CENTRIFUGO_HTTP_SERVER_PORT=0", "CENTRIFUGO_GRPC_API_PORT=0", "CENTRIFUGO_UNI_GRPC_PORT=0", "CENTRIFUGO_GRPC_PORT=0"}

// split gives the internal listener its own address.
const split = `"http_server": {"internal_address": "127.0.0.2"}`

// prepare creates a server with settings, which are members of a JSON object.
func prepare(t testing.TB, settings string) (*instance, error) {
	t.Helper()
	dir := t.TempDir()
	i := &instance{
		t: t, file: filepath.Join(dir, "config.json"), log: filepath.Join(dir, "stderr"),
		hangup: make(chan os.Signal), done: make(chan error, 1),
	}
	i.configure(settings)
	load := func() (*config.Config, []config.Warning, error) {
		return config.Load(config.Options{File: i.file, Environ: environ})
	}
	cfg, warnings, err := load()
	if err != nil {
		t.Fatalf("configuration: %v", err)
	}
	stderr, err := os.OpenFile(i.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = stderr.Close() })
	i.app, err = New(cfg, Options{Version: "0.0.0", Warnings: warnings, Reload: load, Hangup: i.hangup, Stderr: stderr})
	return i, err
}

// start runs a server until the test ends. adjust may change it before.
func start(t testing.TB, settings string, adjust ...func(*App)) *instance {
	t.Helper()
	i, err := prepare(t, settings)
	if err != nil {
		t.Fatalf("starting: %v", err)
	}
	for _, f := range adjust {
		f(i.app)
	}
	ctx, cancel := context.WithCancel(context.Background())
	i.cancel = cancel
	servers, err := i.app.listen(ctx)
	if err != nil {
		cancel()
		t.Fatalf("listening: %v", err)
	}
	for _, s := range servers {
		i.address = append(i.address, s.listener.Addr().String())
	}
	go func() { i.done <- i.app.serve(ctx, servers) }()
	t.Cleanup(func() {
		if err := i.stop(); err != nil {
			t.Errorf("stopping: %v", err)
		}
	})
	return i
}

// stop stops the server and returns its error. A second call does nothing.
func (i *instance) stop() error {
	if i.stopped {
		return nil
	}
	i.stopped = true
	i.cancel()
	return <-i.done
}

// configure writes the configuration file.
func (i *instance) configure(settings string) {
	i.t.Helper()
	if err := os.WriteFile(i.file, []byte("{"+settings+"}"), 0o600); err != nil {
		i.t.Fatal(err)
	}
}

// entries are the lines of the log so far, all of which must be JSON.
func (i *instance) entries() []map[string]any {
	i.t.Helper()
	return readLog(i.t, i.log)
}

// lines are those of the log so far, as they were written.
func (i *instance) lines() []string {
	i.t.Helper()
	text, err := os.ReadFile(i.log)
	if err != nil {
		i.t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func readLog(t testing.TB, file string) (entries []map[string]any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(text) {
		entry := map[string]any{}
		if err := json.Unmarshal(line, &entry); err != nil {
			t.Fatalf("a line of the log is not JSON: %q", line)
		}
		entries = append(entries, entry)
	}
	return entries
}

// logged reports whether an entry has this level and message, and text
// somewhere in its other members.
func (i *instance) logged(level, message, text string) bool {
	for _, entry := range i.entries() {
		rest := maps.Clone(entry)
		delete(rest, "message")
		encoded, _ := json.Marshal(rest)
		if entry["level"] == level && entry["message"] == message && strings.Contains(string(encoded), text) {
			return true
		}
	}
	return false
}

// awaitLogged waits until logged reports true.
func (i *instance) awaitLogged(level, message, text string) {
	i.t.Helper()
	if !await.Reached(func() bool { return i.logged(level, message, text) }) {
		i.t.Fatalf("no entry %q at level %s with %q in the log; want one: %s", message, level, text, strings.Join(i.lines(), "\n"))
	}
}

// external and internal are the addresses of the listeners.
func (i *instance) external() string { return i.address[0] }
func (i *instance) internal() string { return i.address[len(i.address)-1] }

// request asks a listener, and returns the status and the body.
func (i *instance) request(method, address, path, body string, header ...string) (int, string) {
	i.t.Helper()
	h := http.Header{}
	for k := 0; k < len(header); k += 2 {
		h.Set(header[k], header[k+1])
	}
	status, text, err := apptest.Request(method, "http://"+address+path, body, h)
	if err != nil {
		i.t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, text
}

// dial opens a WebSocket connection that lasts until the test ends.
func (i *instance) dial(d apptest.Dialer) *apptest.Conn {
	i.t.Helper()
	c, err := d.Dial(i.external())
	if err != nil {
		i.t.Fatalf("dialling: %v", err)
	}
	i.t.Cleanup(func() { _ = c.Close() })
	return c
}

// connected returns a client that has connected.
func (i *instance) connected(d apptest.Dialer) *apptest.Conn {
	i.t.Helper()
	c := i.dial(d)
	if reply := ask(i.t, c, `{"id":1,"connect":{}}`); !strings.Contains(reply, `"connect":{`) {
		i.t.Fatalf("connecting: %s; want a connect result", reply)
	}
	return c
}

// ask sends a message and returns the next one that comes.
func ask(t testing.TB, c *apptest.Conn, message string) string {
	t.Helper()
	if err := c.Text(message); err != nil {
		t.Fatalf("sending %s: %v", message, err)
	}
	reply, err := c.Next()
	if err != nil {
		t.Fatalf("answer to %s: %v", message, err)
	}
	return reply
}

// anonymous settings admit every client, without permissions.
const anonymous = `"client": {"allow_anonymous_connect_without_token": true}`
