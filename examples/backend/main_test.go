package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"centrifugo/examples/internal/wsclient"
	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
)

// programs are the server and the backend in Go, built once.
var programs string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "backend")
	if err == nil {
		defer func() { _ = os.RemoveAll(dir) }()
		programs = dir
		err = errors.Join(build("../..", "centrifugo", "./cmd/centrifugo"), build(".", "backend", "."))
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		return 1
	}
	return m.Run()
}

func build(dir, name, pkg string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(programs, name), pkg)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	return cmd.Run()
}

// process is a program that runs beside the test.
type process struct {
	mu      sync.Mutex
	printed bytes.Buffer
}

// Write takes what the program prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.Write(b)
}

func (p *process) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.printed.String()
}

// start runs a program until the end of the test.
func start(t *testing.T, argv ...string) *process {
	t.Helper()
	p := new(process)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = p, p
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // also what an interpreter's launcher has started
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s:\n%s", filepath.Base(argv[0]), p)
		}
	})
	return p
}

// awaitLine waits until the program has printed a line with a text.
func (p *process) awaitLine(t *testing.T, text string) {
	t.Helper()
	await.Until(t, "a line with "+text, func() bool { return strings.Contains(p.String(), text) })
}

// configuration writes the block config.json of docs/proxy.md, or that with another name of
// another page, with other ports, and returns the file.
func configuration(t *testing.T, page, block string, backend int) string {
	t.Helper()
	source, err := os.ReadFile("../../docs/" + page)
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(source), "```json file="+block+"\n")
	text, _, _ = strings.Cut(text, "```")
	if !ok {
		t.Fatalf("docs/%s has no block json file=%s", page, block)
	}
	text = strings.ReplaceAll(text, "localhost:3000", "127.0.0.1:"+strconv.Itoa(backend))
	name := filepath.Join(t.TempDir(), "config.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// serve runs a backend and a server that asks it, and returns the address of the server.
func serve(t *testing.T, lifetime string, program ...string) (url string, backend *process) {
	t.Helper()
	url, _, backend = serveWith(t, "proxy.md", "config.json", lifetime, program...)
	return url, backend
}

// serveWith runs a backend and a server with a configuration of the documentation, and returns
// the addresses of the server and of the backend.
func serveWith(t *testing.T, page, block, lifetime string, program ...string) (url, backendURL string, backend *process) {
	t.Helper()
	if _, err := exec.LookPath(program[0]); err != nil {
		t.Fatalf("%s is not installed; examples/backend/setup.sh installs it: %v", program[0], err)
	}
	t.Setenv("CENTRIFUGO_CLIENT_PRESENCE_UPDATE_INTERVAL", "1s") // that often subscriptions expire
	backendPort, port := testprocess.FreePort(t), testprocess.FreePort(t)
	backend = start(t, append(program, strconv.Itoa(backendPort), lifetime)...)
	backend.awaitLine(t, "listening")
	start(t, filepath.Join(programs, "centrifugo"), "-c", configuration(t, page, block, backendPort), "-a", "127.0.0.1", "-p", strconv.Itoa(port), "--health.enabled")
	url = "http://127.0.0.1:" + strconv.Itoa(port)
	await.Until(t, "the server", func() bool {
		response, err := http.Get(url + "/health")
		if err != nil {
			return false
		}
		_ = response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
	return url, "http://127.0.0.1:" + strconv.Itoa(backendPort), backend
}

func session(name string) http.Header {
	return http.Header{"Cookie": {"theme=dark; session=session-of-" + name}, "Origin": {"https://example.com"}}
}

// want fails unless an answer has each of some texts.
func want(t *testing.T, got string, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(got, text) {
			t.Errorf("got %s; want %s in it", got, text)
		}
	}
}

// TestBackends: the backends in all languages answer all events alike.
func TestBackends(t *testing.T) {
	for _, program := range [][]string{{filepath.Join(programs, "backend")}, {"node", "backend.mjs"}, {"python3", "backend.py"}} {
		t.Run(filepath.Base(program[len(program)-1]), func(t *testing.T) {
			t.Run("events", func(t *testing.T) { testEvents(t, program) })
			t.Run("expiry", func(t *testing.T) { testExpiry(t, program) })
			t.Run("tokens", func(t *testing.T) { testTokens(t, program) })
			t.Run("strangers", func(t *testing.T) { testStrangers(t, program) })
		})
	}
}

func testEvents(t *testing.T, program []string) {
	url, _ := serve(t, "300", program...)
	stranger := wsclient.Dial(t, url+"/connection/websocket", session("eve"))
	stranger.Send(`{"id":1,"connect":{}}`)
	if code := stranger.Closed(); code != 4501 {
		t.Errorf("a client without a session was disconnected with %d; want 4501", code)
	}
	ann := wsclient.Dial(t, url+"/connection/websocket", session("ann"))
	want(t, ann.Do(`{"id":1,"connect":{}}`), `"connect":{`)
	want(t, ann.Do(`{"id":2,"subscribe":{"channel":"team:blue"}}`), `"code":403`, "not a member")
	want(t, ann.Do(`{"id":3,"subscribe":{"channel":"team:red"}}`), `"subscribe":{`)
	want(t, ann.Do(`{"id":4,"publish":{"channel":"team:red","data":{"text":"  "}}}`), `"code":400`, "1 to 200")
	want(t, ann.Do(`{"id":5,"publish":{"channel":"team:red","data":"text"}}`), `"code":400`)
	want(t, ann.Do(`{"id":6,"publish":{"channel":"team:red","data":{"text":" hello ","admin":true}}}`), `"publish":{}`)
	var got map[string]any
	if err := json.Unmarshal([]byte(ann.Publications(1)[0]), &got); err != nil || len(got) != 2 || got["text"] != "hello" || got["from"] != "ann" {
		t.Errorf("published: %v, %v; want text hello from ann", got, err)
	}
	if got := ann.Do(`{"id":7,"rpc":{"method":"teams"}}`); !regexp.MustCompile(`"data":\["team:red"\]`).MatchString(got) {
		t.Errorf("teams = %s; want team:red", got)
	}
	want(t, ann.Do(`{"id":8,"rpc":{"method":"nothing"}}`), `"code":404`)
	want(t, ann.Do(`{"id":9,"rpc":{"method":"leave","data":7}}`), `"data":{}`)
}

// testExpiry: what expires goes on for as long as the backend says so.
func testExpiry(t *testing.T, program []string) {
	url, backend := serve(t, "2", program...)
	bob := wsclient.Dial(t, url+"/connection/websocket", session("bob"))
	want(t, bob.Do(`{"id":1,"connect":{}}`), `"connect":{`)
	want(t, bob.Do(`{"id":2,"subscribe":{"channel":"team:red"}}`), `"subscribe":{`)
	want(t, bob.Do(`{"id":3,"subscribe":{"channel":"team:blue"}}`), `"subscribe":{`)
	backend.awaitLine(t, "\nrefresh bob ")
	backend.awaitLine(t, "\nsub_refresh bob team:red ")
	want(t, bob.Do(`{"id":4,"rpc":{"method":"leave","data":"team:red"}}`), `"data":{}`)
	if code := bob.Unsubscribed("team:red"); code != 2501 {
		t.Errorf("the subscription ended with %d; want 2501", code)
	}
	want(t, bob.Do(`{"id":5,"publish":{"channel":"team:blue","data":{"text":"x"}}}`), `"publish":{}`)
	want(t, bob.Do(`{"id":6,"rpc":{"method":"logout"}}`), `"data":{}`)
	if code := bob.Closed(); code != 3005 {
		t.Errorf("the connection ended with %d; want 3005", code)
	}
}

// testTokens: a user of a session gets tokens with which the server admits it.
func testTokens(t *testing.T, program []string) {
	url, backend, _ := serveWith(t, "tokens.md", "backend.json", "300", program...)
	token := func(query string, header http.Header, status int) string {
		t.Helper()
		got, body := get(t, backend+"/token"+query, header)
		var answer struct{ Token string }
		if got != status || status == http.StatusOK && (json.Unmarshal(body, &answer) != nil || answer.Token == "") {
			t.Fatalf("token%s: %d %s; want status %d, with a token if that is 200", query, got, body, status)
		}
		return answer.Token
	}
	token("", session("eve"), http.StatusUnauthorized)
	token("", nil, http.StatusUnauthorized)
	token("?channel=team:blue", session("ann"), http.StatusForbidden)
	token("?channel=", session("ann"), http.StatusForbidden)

	ann := wsclient.Dial(t, url+"/connection/websocket", session("ann"))
	want(t, ann.Do(`{"id":1,"connect":{"token":"`+token("", session("ann"), http.StatusOK)+`"}}`), `"connect":{`, `"expires":true`)
	want(t, ann.Do(`{"id":2,"subscribe":{"channel":"team:red"}}`), `"code":103`)
	want(t, ann.Do(`{"id":3,"subscribe":{"channel":"team:red","token":"`+token("?channel=team:red", session("ann"), http.StatusOK)+`"}}`), `"subscribe":{`, `"expires":true`)
	want(t, ann.Do(`{"id":4,"presence":{"channel":"team:red"}}`), `"user":"ann"`, `"conn_info":{"name":`, `"Ann"}`)
	want(t, ann.Do(`{"id":5,"refresh":{"token":"`+token("", session("ann"), http.StatusOK)+`"}}`), `"refresh":{`)
	want(t, ann.Do(`{"id":6,"sub_refresh":{"channel":"team:red","token":"`+token("?channel=team:red", session("ann"), http.StatusOK)+`"}}`), `"sub_refresh":{`)
}

// get returns the status and the body of an answer.
func get(t *testing.T, url string, header http.Header) (status int, body []byte) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err = io.ReadAll(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, body
}

// testStrangers: what does not come from the server, or is nonsense, is refused, and the backend goes on.
func testStrangers(t *testing.T, program []string) {
	port := testprocess.FreePort(t)
	start(t, append(program, strconv.Itoa(port))...).awaitLine(t, "listening")
	for _, tt := range []struct {
		name, path, key, body string
		status                int
	}{
		{"no key", "connect", "", `{}`, 401},
		{"another key", "connect", "backend-secreT", `{}`, 401},
		{"another path", "state", "backend-secret", `{}`, 404},
		{"not JSON", "rpc", "backend-secret", `{"user":`, 400},
		{"no object", "rpc", "backend-secret", `[1]`, 400},
		{"user of a wrong type", "subscribe", "backend-secret", `{"user":{},"channel":"team:red"}`, 400},
		{"a question", "refresh", "backend-secret", `{"user":"eve"}`, 200},
	} {
		t.Run(tt.name, func(t *testing.T) {
			url := "http://127.0.0.1:" + strconv.Itoa(port) + "/centrifugo/" + tt.path
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("X-Backend-Key", tt.key)
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != tt.status {
				t.Errorf("status %d; want %d", response.StatusCode, tt.status)
			}
		})
	}
}
