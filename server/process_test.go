package server

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
)

// process is the server as a process of its own.
type process struct {
	t       testing.TB
	cmd     *exec.Cmd
	dir     string // its working directory, with config.json
	address string
	ended   chan struct{} // closed when it has exited
}

// open is a configuration with all endpoints, in which every client may do everything
// that the bare namespace and the full one allow.
const open = `{
	"client": {"allow_anonymous_connect_without_token": true, "stale_close_delay": "1s", "ping_interval": "2s", "pong_timeout": "1s"},
	"channel": {"without_namespace": {` + rights + `}, "namespaces": [{"name": "full", "presence": true, "join_leave": true,
		"force_push_join_leave": true, "history_size": 10, "history_ttl": "60s", "allow_positioning": true, "allow_recovery": true,
		"allowed_delta_types": ["fossil"], "allow_tags_filter": true, ` + rights + `}]},
	"http_api": {"key": "k"}, "health": {"enabled": true}, "prometheus": {"enabled": true}, "debug": {"enabled": true},
	"websocket": {"compression": true, "compression_min_size": 64}
}`

const rights = `"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true, "allow_publish_for_client": true,
	"allow_publish_for_anonymous": true, "allow_presence_for_client": true, "allow_presence_for_anonymous": true,
	"allow_history_for_client": true, "allow_history_for_anonymous": true`

// loopback are the arguments that make a server listen on a free loopback port.
var loopback = []string{"-a", "127.0.0.1", "-p", "0"}

// launch starts the binary in a directory of its own.
func launch(t testing.TB, configuration string, args ...string) *process {
	t.Helper()
	return launchCommand(t, configuration, exec.Command(binary, args...))
}

func launchCommand(t testing.TB, configuration string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), ended: make(chan struct{})}
	if err := os.WriteFile(p.path("config.json"), []byte(configuration), 0o600); err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(p.path("stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stderr.Close() }() // the child has its own
	p.cmd = cmd
	p.cmd.Dir, p.cmd.Stderr, p.cmd.Env = p.dir, stderr, []string{}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // the exit code says more
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it may be gone
		<-p.ended
		if t.Failed() {
			t.Logf("the server's output ends with: %s", tail(p.output()))
		}
	})
	return p
}

// serve starts a server and waits until it serves.
func serve(t testing.TB, configuration string, args ...string) *process {
	t.Helper()
	p := launch(t, configuration, append(loopback, args...)...)
	p.awaitAddress(p.path("stderr"))
	return p
}

// awaitAddress reads the address of the listener from the log.
func (p *process) awaitAddress(log string) {
	p.t.Helper()
	if !await.Reached(func() bool {
		select {
		case <-p.ended:
			p.t.Fatalf("the server ended: %s", p.output())
		default:
		}
		for _, entry := range logEntries(log) {
			if entry["message"] == "serving" {
				p.address, _ = entry["address"].(string)
			}
		}
		return p.address != ""
	}) {
		p.t.Fatalf("the server does not serve: %s", p.output())
	}
}

// logEntries returns the entries of a log, without lines that are incomplete or not JSON.
func logEntries(file string) (entries []map[string]any) {
	text, _ := os.ReadFile(file) // it may not be there yet
	for line := range bytes.Lines(text) {
		entry := map[string]any{}
		if json.Unmarshal(line, &entry) == nil {
			entries = append(entries, entry)
		}
	}
	return entries
}

func (p *process) path(name string) string { return filepath.Join(p.dir, name) }

// output returns what the process has written to standard error.
func (p *process) output() string {
	text, err := os.ReadFile(p.path("stderr"))
	if err != nil {
		p.t.Fatal(err)
	}
	return string(text)
}

func tail(text string) string { return text[max(0, len(text)-4000):] }

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("sending %v: %v", s, err)
	}
}

// exitCode waits for the end.
func (p *process) exitCode() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(apptest.Timeout):
		p.t.Fatal("the server does not end")
		return 0
	}
}

// terminate ends the server in an orderly way and looks for panics in its log.
func (p *process) terminate() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(); code != 0 {
		p.t.Errorf("exit code %d; want 0", code)
	}
	p.noPanic()
}

func (p *process) noPanic() {
	p.t.Helper()
	if text := p.output(); strings.Contains(text, "panic") || strings.Contains(text, "goroutine ") {
		at := max(0, strings.Index(text, "panic")-200)
		p.t.Errorf("a panic in the log: %.4000s; want none", text[at:])
	}
}

func (p *process) url(path string) string { return "http://" + p.address + path }

// call makes a call of the server API.
func (p *process) call(method, body string) string {
	p.t.Helper()
	status, answer, err := apptest.Request(http.MethodPost, p.url("/api/"+method), body, http.Header{"X-Api-Key": {"k"}})
	if err != nil || status != http.StatusOK {
		p.t.Fatalf("%s %.200s: status %d, %v; want 200", method, body, status, err)
	}
	return strings.TrimSpace(answer)
}

// dial opens a connection that lasts as long as the test.
func (p *process) dial(t testing.TB, d apptest.Dialer) *apptest.Conn {
	t.Helper()
	c, err := d.Dial(p.address)
	if err != nil {
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// connect opens a connection and connects.
func (p *process) connect(t testing.TB) *apptest.Conn {
	t.Helper()
	c := p.dial(t, apptest.Dialer{})
	if reply := ask(t, c, `{"id":1,"connect":{}}`); !strings.HasPrefix(reply, `{"id":1,"connect":{`) {
		t.Fatalf("connecting: %s; want prefix %q", reply, `{"id":1,"connect":{`)
	}
	return c
}

// ask sends a message and returns the next one that is not a ping.
func ask(t testing.TB, c *apptest.Conn, message string) string {
	t.Helper()
	if err := c.Text(message); err != nil {
		t.Fatalf("sending %.200s: %v", message, err)
	}
	reply, err := next(c)
	if err != nil {
		t.Fatalf("answer to %.200s: %v", message, err)
	}
	return reply
}

// next answers the server's pings.
func next(c *apptest.Conn) (string, error) {
	for {
		message, err := c.Message()
		if err != nil || message != "{}" {
			return message, err
		}
		if err := c.Text("{}"); err != nil {
			return "", err
		}
	}
}

// roundTrip proves that the server still serves: one client subscribes, another
// one publishes, as does the API.
func (p *process) roundTrip(t testing.TB) {
	t.Helper()
	subscriber, publisher := p.connect(t), p.connect(t)
	if reply := ask(t, subscriber, `{"id":2,"subscribe":{"channel":"still"}}`); reply != `{"id":2,"subscribe":{}}` {
		t.Fatalf("subscribing: %s; want %q", reply, `{"id":2,"subscribe":{}}`)
	}
	if reply := ask(t, publisher, `{"id":2,"publish":{"channel":"still","data":1}}`); reply != `{"id":2,"publish":{}}` {
		t.Fatalf("publishing: %s; want %q", reply, `{"id":2,"publish":{}}`)
	}
	if answer := p.call("publish", `{"channel":"still","data":2}`); answer != `{"result":{}}` {
		t.Fatalf("publishing by the API: %s; want %q", answer, `{"result":{}}`)
	}
	var got strings.Builder
	for strings.Count(got.String(), `"pub"`) < 2 {
		push, err := next(subscriber)
		if err != nil {
			t.Fatalf("publications: %s, then %v", &got, err)
		}
		got.WriteString(push)
	}
	_ = subscriber.Close()
	_ = publisher.Close()
}

// figures are measurements that must not grow.
type figures struct {
	goroutines, descriptors, heap, clients, subscriptions, channels, users float64
	resident                                                               float64
}

// figures reads them after a garbage collection.
func (p *process) figures() figures {
	p.t.Helper()
	for range 2 { // the second one frees the content of pools
		if status, _, err := apptest.Request(http.MethodGet, p.url("/debug/pprof/heap?gc=1"), "", nil); err != nil || status != 200 {
			p.t.Fatalf("collecting garbage: %d, %v; want 200", status, err)
		}
	}
	m, err := apptest.ReadMetrics(p.url("/metrics"))
	if err != nil {
		p.t.Fatal(err)
	}
	var goroutines float64 // not from the metrics: to collect those takes goroutines
	if _, err := fmt.Sscanf(p.goroutines(), "goroutine profile: total %g", &goroutines); err != nil {
		p.t.Fatalf("counting goroutines: %v", err)
	}
	return figures{
		goroutines: goroutines, descriptors: m["process_open_fds"], heap: m["go_memstats_heap_inuse_bytes"],
		clients:       m[`centrifugo_client_connections_inflight{accept_protocol="",client_name="unregistered",client_version="unregistered",transport=""}`],
		subscriptions: m["centrifugo_node_num_subscriptions"],
		channels:      m["centrifugo_node_num_channels"], users: m["centrifugo_node_num_users"],
		resident: m["process_resident_memory_bytes"],
	}
}

// goroutines are told with their number in the first line.
func (p *process) goroutines() string {
	p.t.Helper()
	_, text, err := apptest.Request(http.MethodGet, p.url("/debug/pprof/goroutine?debug=1"), "", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return text
}

// heapSlack is what the heap may have grown by: pools and maps that were grown.
const heapSlack = 4 << 20

// back waits until the figures are back at those of before.
func (p *process) back(t *testing.T, before figures) {
	t.Helper()
	var now figures
	if !await.Reached(func() bool {
		now = p.figures()
		return now.goroutines <= before.goroutines+1 && now.descriptors <= before.descriptors &&
			now.heap <= before.heap+heapSlack && now.clients == before.clients && now.users == before.users &&
			now.subscriptions == before.subscriptions && now.channels == before.channels
	}) {
		t.Errorf("something is left.\nbefore: %+v\nnow:    %+v\n%s", before, now, p.goroutines())
	}
	t.Logf("RSS before %.1f MB, after %.1f MB; heap %.1f and %.1f MB", before.resident/1e6, now.resident/1e6, before.heap/1e6, now.heap/1e6)
}

// memoryBack is within what an idle server must have given back what a burst took,
// residentSlack is what it may keep of it.
const (
	memoryBack    = time.Minute
	residentSlack = 32 << 20
)

// shrinks waits until the server, left alone, has given its memory back to the
// system. Nothing may have collected its garbage meanwhile, as figures does.
func (p *process) shrinks(t *testing.T, before figures) {
	t.Helper()
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	peak, started := 0.0, time.Now()
	for {
		m, err := apptest.ReadMetrics(p.url("/metrics"))
		if err != nil {
			t.Fatal(err)
		}
		now := m["process_resident_memory_bytes"]
		peak = max(peak, now)
		switch {
		case now <= before.resident+residentSlack:
			t.Logf("RSS %.1f MB before, %.1f MB at the end of the burst, %.1f MB %.0f s later", before.resident/1e6, peak/1e6, now/1e6, time.Since(started).Seconds())
			return
		case time.Since(started) > memoryBack:
			t.Errorf("RSS is %.1f MB a minute after the burst; want about the %.1f MB before it", now/1e6, before.resident/1e6)
			return
		}
		<-ticker.C
	}
}

// warm serves everything once, so that everything that is created once exists.
func (p *process) warm() figures {
	p.t.Helper()
	p.roundTrip(p.t)
	if !await.Reached(func() bool { return p.figures().clients == 0 }) {
		p.t.Fatalf("%v connections are left of the round trip; want none", p.figures().clients)
	}
	return p.figures()
}

// outcome returns the result of sending message: the reply, or "closed" and the code, or
// "ended".
func outcome(c *apptest.Conn, message string) string {
	if err := c.Text(message); err != nil {
		return "ended"
	}
	reply, err := next(c)
	return describe(reply, err)
}

func describe(reply string, err error) string {
	switch closed := (*apptest.Closed)(nil); {
	case err == nil:
		return reply
	case asClosed(err, &closed):
		return fmt.Sprint("closed ", closed.Code)
	case os.IsTimeout(err):
		return "nothing"
	}
	return "ended"
}
