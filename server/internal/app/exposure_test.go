package app

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// devSettings holds the settings of development mode that these tests use.
const devSettings = `"client": {"insecure": true}, "http_api": {"insecure": true}, "health": {"enabled": true},
	"prometheus": {"enabled": true}, "init": {"enabled": true}`

func dev(a *App) { a.options.Dev = true }

// asked sends a request with a given Host.
func (i *instance) asked(method, path, host string, header ...string) int {
	i.t.Helper()
	r, err := http.NewRequestWithContext(i.t.Context(), method, "http://"+i.external()+path, strings.NewReader(`{"channel":"x","data":1}`))
	if err != nil {
		i.t.Fatal(err)
	}
	if host != "" {
		r.Host = host
	}
	for k := 0; k < len(header); k += 2 {
		r.Header.Set(header[k], header[k+1])
	}
	status, _, err := apptest.Do(http.DefaultClient, r)
	if err != nil {
		i.t.Fatal(err)
	}
	return status
}

// A web page of another site reaches no endpoint of development mode, under any host.
func TestDevelopmentModeIsForLocalPages(t *testing.T) {
	i := start(t, devSettings, dev)
	endpoints := []struct{ method, path string }{
		{"POST", "/api/publish"}, {"POST", "/api"}, {"GET", "/metrics"}, {"GET", "/health"},
	}
	for _, e := range endpoints {
		for _, foreign := range [][]string{
			{"Origin", "https://evil.example", "Content-Type", "text/plain"}, {"Origin", "null"},
			{"Sec-Fetch-Site", "cross-site"}, {"Origin", "http://localhost.evil.example"},
		} {
			if status := i.asked(e.method, e.path, "", foreign...); status != 403 {
				t.Errorf("%s, %v: status %d, want 403", e.path, foreign, status)
			}
		}
		for _, local := range [][]string{nil, {"Origin", "http://localhost:3000"}, {"Sec-Fetch-Site", "same-origin"}} {
			if status := i.asked(e.method, e.path, "", local...); status != 200 && e.path != "/api" || status == 403 {
				t.Errorf("%s, %v: status %d; want 200, or not 403 of the API", e.path, local, status)
			}
		}
	}
	for _, path := range []string{"/", "/connection/init", "/connection/websocket", "/metrics", "/health"} {
		if status := i.asked("GET", path, "evil.example:8000"); status != 403 {
			t.Errorf("%s of a foreign host: status %d, want 403", path, status)
		}
		if status := i.asked("GET", path, "localhost:8000"); status == 403 {
			t.Errorf("%s of localhost: status %d; want anything but 403", path, status)
		}
	}
	for origin, want := range map[string]int{
		"https://evil.example": 403, "null": 403, "http://127.0.0.1.evil.example": 403,
		"http://localhost:3000": 101, "http://127.0.0.1:8000": 101, "http://[::1]:5173": 101, "": 101,
	} {
		header := http.Header{}
		if origin != "" {
			header.Set("Origin", origin)
		}
		if got := handshakeStatus(t, i, apptest.Dialer{Header: header}); got != want {
			t.Errorf("WebSocket from %q: status %d, want %d", origin, got, want)
		}
	}
	i.awaitLogged("warn", "request refused: an insecure mode serves local pages and programs only", "evil.example")
}

// Configured origins are allowed in addition to local ones.
func TestDevelopmentModeWithOrigins(t *testing.T) {
	i := start(t, `"client": {"insecure": true, "allowed_origins": ["https://good.example"]}`, dev)
	for origin, want := range map[string]int{"https://good.example": 101, "http://localhost": 101, "https://evil.example": 403} {
		if got := handshakeStatus(t, i, apptest.Dialer{Header: http.Header{"Origin": {origin}}}); got != want {
			t.Errorf("%s: status %d, want %d", origin, got, want)
		}
	}
}

// The insecure API is guarded without development mode too; with a key it is not.
func TestInsecureAPIIsForLocalPages(t *testing.T) {
	foreign := []string{"Origin", "https://evil.example", "Content-Type", "text/plain"}
	insecure := start(t, `"http_api": {"insecure": true}, "health": {"enabled": true}`)
	if status := insecure.asked("POST", "/api/info", "", foreign...); status != 403 {
		t.Errorf("a foreign page: status %d; want 403", status)
	}
	if status := insecure.asked("POST", "/api/info", ""); status != 200 {
		t.Errorf("a program: status %d; want 200", status)
	}
	if status := insecure.asked("GET", "/health", "lb.example"); status != 200 {
		t.Errorf("the health check needs no guard: status %d; want 200", status)
	}
	secure := start(t, `"http_api": {"key": "k"}`)
	if status := secure.asked("POST", "/api/info", "centrifugo.example", append(foreign, "X-API-Key", "k")...); status != 200 {
		t.Errorf("with a key: status %d; want 200", status)
	}
}

// The log has the bound address of each listener with insecure endpoints.
func TestExposureIsWhatWasBound(t *testing.T) {
	const reached, closed = "INSECURE endpoints can be reached by other machines",
		"INSECURE endpoints on a loopback address: only this machine, or this container, reaches them"
	tests := []struct {
		name, settings string
		want           []string // for each listener, empty for nothing
		modes          []string
	}{
		{"secure", anonymous, []string{""}, []string{""}},
		{"clients on loopback", `"client": {"insecure": true}`, []string{closed}, []string{"client.insecure"}},
		{"API on loopback", `"http_api": {"insecure": true}`, []string{closed}, []string{"http_api.insecure"}},
		{"both", `"client": {"insecure": true}, "http_api": {"insecure": true}`, []string{closed}, []string{"client.insecure, http_api.insecure"}},
		{"internal listener open", `"http_server": {"internal_address": "0.0.0.0"}, "http_api": {"insecure": true}`,
			[]string{"", reached}, []string{"", "http_api.insecure"}},
		{"internal listener open, API outside", `"http_server": {"internal_address": "0.0.0.0"}, "http_api": {"insecure": true, "external": true}, "health": {"enabled": true}`,
			[]string{closed, ""}, []string{"http_api.insecure", ""}},
		{"clients only", `"http_server": {"internal_address": "127.0.0.2"}, "client": {"insecure": true}`, []string{closed, ""}, []string{"client.insecure", ""}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, test.settings)
			for n, want := range test.want {
				i.awaitLogged("info", "serving", i.address[n])
				if want != "" {
					await.Until(t, want, func() bool { return i.logged("warn", want, i.address[n]) && i.logged("warn", want, test.modes[n]) })
				}
			}
			if err := i.stop(); err != nil {
				t.Fatal(err)
			}
			for _, entry := range i.entries() {
				message, _ := entry["message"].(string)
				if !strings.HasPrefix(message, "INSECURE") {
					continue
				}
				n := 0
				for n < len(i.address)-1 && i.address[n] != entry["address"] {
					n++
				}
				if message != test.want[n] || entry["modes"] != test.modes[n] {
					t.Errorf("listener %s: %v; want message %v and %v", i.address[n], entry, test.want[n], test.modes[n])
				}
			}
		})
	}
}

// The guard of a listener follows from its address.
func TestLocalOfAddress(t *testing.T) {
	a := &App{config: config.Default()}
	for host, open := range map[string]bool{
		"127.0.0.1": false, "::1": false, "localhost": false, "127.0.0.9": false,
		"": true, "0.0.0.0": true, "::": true, "192.168.1.5": true, "dev.example": true,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://service.example/api", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := a.local(net.JoinHostPort(host, "8000")).Refusal(r) == ""; got != open {
			t.Errorf("address %q: a program is served by any name: %v, want %v", host, got, open)
		}
	}
}
