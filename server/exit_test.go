package server

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
)

func asClosed(err error, closed **apptest.Closed) bool { return errors.As(err, closed) }

func TestSignalsEndTheServer(t *testing.T) {
	t.Parallel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(signal.String(), func(t *testing.T) {
			t.Parallel()
			p := serve(t, open, "--pid_file", "pid")
			text, err := os.ReadFile(p.path("pid"))
			if err != nil || strings.TrimSpace(string(text)) != strconv.Itoa(p.cmd.Process.Pid) {
				t.Errorf("PID file: %q, %v; want %d", text, err, p.cmd.Process.Pid)
			}
			clients := make([]*apptest.Conn, 20)
			for i := range clients {
				clients[i] = p.connect(t)
			}
			silent := p.dial(t, apptest.Dialer{})
			v1 := p.dial(t, apptest.Dialer{})
			if reply := ask(t, v1, `{"id":1}`); !strings.HasPrefix(reply, `{"id":1,"result":{`) {
				t.Fatalf("connecting by V1: %s; want prefix %q", reply, `{"id":1,"result":{`)
			}
			p.signal(signal)
			for _, c := range append(clients, silent) {
				if code, err := c.WaitClosed(); code != 3001 {
					t.Errorf("a client was told %d, %v; want 3001", code, err)
				}
			}
			_, err = v1.Message()
			if closed := (*apptest.Closed)(nil); !asClosed(err, &closed) || closed.Code != 3001 ||
				closed.Reason != `{"reason":"shutdown","reconnect":true}` { // protocol.md 5.8
				t.Errorf("the V1 client got %v; want 3001 with a shutdown to reconnect after", err)
			}
			if code := p.exitCode(); code != 0 {
				t.Errorf("exit code %d; want 0", code)
			}
			if _, err := os.Stat(p.path("pid")); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the PID file is still there: %v; want %v", err, os.ErrNotExist)
			}
			p.noPanic()
		})
	}
}

// Exit code 1, and a log that says why, if the shutdown takes too long.
func TestShutdownDeadline(t *testing.T) {
	t.Parallel()
	p := serve(t, strings.Replace(open, `"http_api"`, `"shutdown": {"timeout": "300ms"}, "http_api"`, 1), "--pid_file", "pid")
	c, err := (apptest.Dialer{}).Connect(p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	request := "POST /api/info HTTP/1.1\r\nHost: x\r\nX-API-Key: k\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	if _, err := c.Write([]byte(request)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Read(make([]byte, 1)); err != nil { // of 100 Continue: the body is being waited for
		t.Fatal(err)
	}
	p.signal(syscall.SIGTERM)
	if code := p.exitCode(); code != 1 {
		t.Errorf("exit code %d; want 1", code)
	}
	if !strings.Contains(p.output(), `"level":"fatal"`) || !strings.Contains(p.output(), "300ms") {
		t.Errorf("output: %s; want %q in it and \"300ms\" in it", p.output(), `"level":"fatal"`)
	}
	if _, err := os.Stat(p.path("pid")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the PID file is still there: %v; want %v", err, os.ErrNotExist)
	}
}

// A server that cannot start exits with code 1 and an error message.
func TestRefusedStarts(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() }) // when the parallel ones have ended
	tests := map[string]struct {
		configuration string
		args          []string
		want          string
	}{
		"malformed file":   {`{"client":`, nil, "config.json"},
		"unknown key":      {`{"clinet": {}}`, nil, "clinet"},
		"unknown flag":     {`{}`, []string{"--http_server.prot", "1"}, "http_server.prot"},
		"unknown command":  {`{}`, []string{"srve"}, "srve"},
		"address in use":   {`{}`, []string{"-p", fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)}, "opening listener"},
		"PID file":         {`{"pid_file": "/nonexistent/pid"}`, nil, "pid_file"},
		"log file":         {`{"log": {"file": "/nonexistent/log"}}`, nil, "/nonexistent/log"},
		"ping below pong":  {`{"client": {"ping_interval": "1s", "pong_timeout": "2s"}}`, nil, "ping_interval"},
		"key without cert": {`{"http_server": {"tls": {"enabled": true, "key_pem": "x"}}}`, nil, "tls"},
		"unknown engine":   {`{"engine": {"type": "bicycle"}}`, nil, "bicycle"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, test.configuration, append(loopback, test.args...)...)
			if code := p.exitCode(); code != 1 {
				t.Errorf("exit code %d; want 1", code)
			}
			if !strings.Contains(p.output(), test.want) {
				t.Errorf("output %s; want %q in it", p.output(), test.want)
			}
			p.noPanic()
		})
	}
}

// An insecure mode listens on loopback unless an address was chosen.
func TestAddressOfInsecureModes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		configuration string
		args          []string
		host          string
	}{
		"secure":               {`{}`, nil, "all"},
		"client.insecure":      {`{"client": {"insecure": true}}`, nil, "127.0.0.1"},
		"http_api.insecure":    {`{"http_api": {"insecure": true}}`, nil, "127.0.0.1"},
		"unverified tokens":    {`{"client": {"insecure_skip_token_signature_verify": true}}`, nil, "127.0.0.1"},
		"insecure, by address": {`{"client": {"insecure": true}}`, []string{"-a", "127.0.0.3"}, "127.0.0.3"},
		"development mode":     {`{}`, []string{"--dev"}, "127.0.0.1"},
		"development, address": {`{}`, []string{"--dev", "-a", "127.0.0.3"}, "127.0.0.3"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := launch(t, test.configuration, append([]string{"-p", "0"}, test.args...)...)
			p.awaitAddress(p.path("stderr"))
			host, _, err := net.SplitHostPort(p.address)
			if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
				host = "all"
			}
			if err != nil || host != test.host {
				t.Errorf("listens on %s, want %s", p.address, test.host)
			}
			if warned := strings.Contains(p.output(), "INSECURE"); warned != (test.host != "all") {
				t.Errorf("warned: %v; want %v", warned, test.host != "all")
			}
			p.terminate()
		})
	}
}

// Development mode needs no configuration: every client may do everything, and the
// playground is served.
func TestDevelopmentMode(t *testing.T) {
	t.Parallel()
	p := launch(t, `{"client": "not even looked at"}`, "--dev", "-p", "0")
	p.awaitAddress(p.path("stderr"))
	if !strings.Contains(p.output(), "DEVELOPMENT MODE: INSECURE") {
		t.Errorf("no banner: %s; want \"DEVELOPMENT MODE: INSECURE\" in it", p.output())
	}
	c := p.dial(t, apptest.Dialer{Header: http.Header{"Origin": {"http://localhost:3000"}}})
	ask(t, c, `{"id":1,"connect":{}}`)
	if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"news"}}`); !strings.Contains(reply, `"recoverable":true`) {
		t.Errorf("subscribing: %s; want %q in it", reply, `"recoverable":true`)
	}
	for path, want := range map[string]string{"/": "<html", "/health": "{}", "/metrics": "centrifugo_node_num_clients 1"} {
		if _, body, err := apptest.Request(http.MethodGet, p.url(path), "", nil); err != nil || !strings.Contains(body, want) {
			t.Errorf("%s: %.100q, %v; want %q in it", path, body, err, want)
		}
	}
	_, body, err := apptest.Request(http.MethodPost, p.url("/api/publish"), `{"channel":"news","data":1}`, nil)
	if err != nil || !strings.Contains(body, `"offset":1`) {
		t.Errorf("publishing without a key: %s, %v; want %q in it", body, err, `"offset":1`)
	}
	_ = c.Close() // or the server would wait for its answer to 3001
	p.terminate()
}

// With a log file, the log is written there as JSON and not to standard error.
func TestLogFile(t *testing.T) {
	t.Parallel()
	p := launch(t, open, append(loopback, "--log.file", "log", "--log.level", "debug")...)
	p.awaitAddress(p.path("log"))
	p.roundTrip(t)
	p.terminate()
	text, err := os.ReadFile(p.path("log"))
	if err != nil {
		t.Fatal(err)
	}
	if lines := strings.Count(string(text), "\n"); lines != len(logEntries(p.path("log"))) || lines < 3 {
		t.Errorf("not every line is JSON: %s; want all, and 3 at least", text)
	}
	for _, want := range []string{`"message":"shutting down"`, `"message":"stopped"`} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the log has no %s; want it in: %s", want, text)
		}
	}
	if p.output() != "" {
		t.Errorf("standard error: %s; want nothing", p.output())
	}
}

// SIGHUP reaches the server, which continues even if the configuration is invalid.
func TestHangup(t *testing.T) {
	t.Parallel()
	p := serve(t, open)
	c := p.connect(t)
	if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"later:x"}}`); !strings.Contains(reply, `"code":102`) {
		t.Errorf("before: %s; want %q in it", reply, `"code":102`)
	}
	for _, step := range []struct{ configuration, message string }{
		{`{"channel": `, "configuration not reloaded"},
		{strings.Replace(open, `"full"`, `"later"`, 1), `"configuration reloaded"`},
	} {
		if err := os.WriteFile(p.path("config.json"), []byte(step.configuration), 0o600); err != nil {
			t.Fatal(err)
		}
		p.signal(syscall.SIGHUP)
		if !await.Reached(func() bool { return strings.Contains(p.output(), step.message) }) {
			t.Fatalf("the log has no %s; want it in: %s", step.message, p.output())
		}
	}
	if reply := ask(t, c, `{"id":3,"subscribe":{"channel":"later:x"}}`); !strings.Contains(reply, `"subscribe":{`) {
		t.Errorf("after: %s; want %q in it", reply, `"subscribe":{`)
	}
	_ = c.Close() // or the server would wait for its answer to 3001
	p.terminate()
}
