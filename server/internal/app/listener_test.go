package app

import (
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// everything that this version can mount, beside the API and WebSocket.
const everything = `"health": {"enabled": true}, "prometheus": {"enabled": true}, "debug": {"enabled": true},
	"init": {"enabled": true}, "http_api": {"key": "k"}`

// The endpoints of each listener: server.md 6.6.
func TestEndpointsOfListeners(t *testing.T) {
	paths := []string{"/connection/websocket", "/connection/init", "/api", "/api/info", "/health", "/metrics", "/debug/pprof/"}
	outer := []string{"/connection/websocket", "/connection/init"}
	inner := []string{"/api", "/api/info", "/health", "/metrics", "/debug/pprof/"}
	tests := []struct {
		name, settings string
		listeners      [][]string
	}{
		{"one address, one listener", everything, [][]string{paths}},
		{"two addresses", everything + "," + split, [][]string{outer, inner}},
		{"API outside", strings.Replace(everything, `"key": "k"`, `"key": "k", "external": true`, 1) + "," + split,
			[][]string{{"/connection/websocket", "/connection/init", "/api", "/api/info"}, {"/health", "/metrics", "/debug/pprof/"}}},
		{"nothing inside", `"http_api": {"disabled": true},` + split, [][]string{{"/connection/websocket"}}},
		{"nothing outside", `"websocket": {"disabled": true}, "http_api": {"key": "k"},` + split, [][]string{{"/api", "/api/info"}}},
		{"nothing at all", `"websocket": {"disabled": true}, "http_api": {"disabled": true}`, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, test.settings)
			if len(i.address) != len(test.listeners) {
				t.Fatalf("listeners on %v, want %d", i.address, len(test.listeners))
			}
			for n, mounted := range test.listeners {
				for _, path := range paths {
					status, _ := i.request(http.MethodGet, i.address[n], path, "")
					want := false
					for _, p := range mounted {
						want = want || p == path
					}
					if got := status != http.StatusNotFound; got != want {
						t.Errorf("listener %d, %s: status %d, want it mounted: %v", n, path, status, want)
					}
				}
			}
		})
	}
}

func TestListenerAddresses(t *testing.T) {
	i := start(t, split+`, "http_api": {"key": "k"}`)
	for n, host := range []string{"127.0.0.1", "127.0.0.2"} {
		if got, _, err := net.SplitHostPort(i.address[n]); err != nil || got != host {
			t.Errorf("listener %d is on %s, want %s", n, i.address[n], host)
		}
	}
	i.awaitLogged("info", "serving", i.address[0])
	i.awaitLogged("info", "serving", i.address[1])
}

// A start that fails leaves no listener, no goroutine and no file behind.
func TestAddressInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = taken.Close() }()
	port := taken.Addr().(*net.TCPAddr).Port
	settings := fmt.Sprintf(`"http_server": {"internal_address": "127.0.0.2", "internal_port": %d}, "pid_file": %q`,
		port, t.TempDir()+"/pid")
	i, err := prepare(t, settings)
	if err != nil {
		t.Fatal(err)
	}
	err = i.app.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "opening listener") {
		t.Errorf("error %v, want one that says that the address is in use", err)
	}
}

// A PID file that cannot be written fails the start and closes open listeners.
func TestUnwritablePIDFile(t *testing.T) {
	i, err := prepare(t, `"pid_file": "/nonexistent/pid"`)
	if err != nil {
		t.Fatal(err)
	}
	servers, err := i.app.listen(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := i.app.serve(t.Context(), servers); err == nil || !strings.Contains(err.Error(), "pid_file") {
		t.Errorf("error %v, want one about pid_file", err)
	}
	again, err := net.Listen("tcp", servers[0].listener.Addr().String())
	if err != nil {
		t.Fatalf("the listener was left open: %v", err)
	}
	_ = again.Close()
}

// Prefixes that overlap are an error, not a panic of the mux.
func TestOverlappingPrefixes(t *testing.T) {
	i, err := prepare(t, `"debug": {"enabled": true}, "health": {"enabled": true, "handler_prefix": "/debug/pprof/profile"}`)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.app.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "/debug/pprof/profile") {
		t.Errorf("error %v, want one that names the prefix", err)
	}
}

func TestNewRefusesBadSettings(t *testing.T) {
	tests := map[string]func(*config.Config){
		"log file": func(c *config.Config) { c.Log.File = "/nonexistent/log" },
		"origins":  func(c *config.Config) { c.Client.AllowedOrigins = []string{"["} },
		"pings":    func(c *config.Config) { c.Client.PongTimeout = c.Client.PingInterval },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			cfg, _, err := config.Load(config.Options{Environ: environ})
			if err != nil {
				t.Fatal(err)
			}
			spoil(cfg)
			if a, err := New(cfg, Options{Stderr: devNull(t)}); err == nil {
				t.Errorf("no error, but %v; want an error", a)
			}
		})
	}
}

// The endpoints have the prefixes of the configuration, and the playground of
// development mode does not shadow them.
func TestPrefixesAndPlayground(t *testing.T) {
	i := start(t, anonymous+`, "websocket": {"handler_prefix": "/ws/"}, "http_api": {"handler_prefix": "/x/", "key": "k"},
		"health": {"enabled": true, "handler_prefix": "/up/"}`, func(a *App) { a.options.Dev = true })
	i.connected(apptest.Dialer{Path: "/ws"})
	for path, want := range map[string]int{"/up": 200, "/x": 401, "/x/publish": 401, "/": 200} {
		method := http.MethodGet
		if strings.HasPrefix(path, "/x") {
			method = http.MethodPost
		}
		if status, _ := i.request(method, i.external(), path, "{}"); status != want {
			t.Errorf("%s: status %d, want %d", path, status, want)
		}
	}
	if _, page := i.request(http.MethodGet, i.external(), "/", ""); !strings.Contains(page, "<html") {
		t.Errorf("the playground is %.100q; want \"<html\" in it", page)
	}
}
