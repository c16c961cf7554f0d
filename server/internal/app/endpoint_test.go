package app

import (
	"context"
	"errors"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
)

func devNull(t *testing.T) *os.File {
	t.Helper()
	f, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

func TestHealthAndInit(t *testing.T) {
	i := start(t, everything)
	for _, path := range []string{"/health", "/connection/init"} {
		if status, body := i.request(http.MethodGet, i.external(), path, ""); status != 200 || body != "{}" {
			t.Errorf("%s: status %d, body %q; want 200 and \"{}\"", path, status, body)
		}
	}
	if status, _ := i.request(http.MethodPost, i.external(), "/connection/init", ""); status != http.StatusMethodNotAllowed {
		t.Errorf("POST to init: status %d; want %v", status, http.StatusMethodNotAllowed)
	}
}

func TestInitIsForPagesOfAllowedOrigins(t *testing.T) {
	i := start(t, `"init": {"enabled": true}, "client": {"allowed_origins": ["https://good.example"]}`)
	for origin, want := range map[string]string{"https://good.example": "https://good.example", "https://evil.example": ""} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.external()+"/connection/init", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", origin)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if got := response.Header.Get("Access-Control-Allow-Origin"); got != want || response.StatusCode != 200 {
			t.Errorf("%s: allowed origin %q, want %q; status %d", origin, got, want, response.StatusCode)
		}
	}
}

// A profile takes as long as requested, whatever the timeouts of the server.
func TestLongProfiles(t *testing.T) {
	i := start(t, `"debug": {"enabled": true}`, func(a *App) {
		a.timeouts.read, a.timeouts.write = 300*time.Millisecond, 500*time.Millisecond
	})
	for _, path := range []string{"profile", "trace", "mutex"} {
		started := time.Now()
		if status, body := i.request(http.MethodGet, i.external(), "/debug/pprof/"+path+"?seconds=1", ""); status != 200 || body == "" {
			t.Errorf("%s: status %d, %d bytes; want 200", path, status, len(body))
		}
		if took := time.Since(started); took < time.Second {
			t.Errorf("%s: cut off after %v; want at least %v", path, took, time.Second)
		}
	}
}

// The profiles work below any prefix.
func TestProfiles(t *testing.T) {
	i := start(t, `"debug": {"enabled": true, "handler_prefix": "/look/inside"}`)
	tests := map[string]string{
		"/look/inside/":                    "goroutine",
		"/look/inside/goroutine?debug=1":   "goroutine profile: total",
		"/look/inside/heap?debug=1&gc=1":   "heap profile",
		"/look/inside/block?debug=1":       "contention",
		"/look/inside/cmdline":             "app",
		"/look/inside/symbol":              "num_symbols",
		"/look/inside/nonsense/../heap":    "",
		"/look/inside/does-not-exist":      "Unknown profile",
		"/look/inside/goroutine?seconds=x": "",
	}
	for path, want := range tests {
		t.Run(strings.ReplaceAll(path, "/", "_"), func(t *testing.T) {
			if _, body := i.request(http.MethodGet, i.external(), path, ""); !strings.Contains(body, want) {
				t.Errorf("body %.200q, want %q in it", body, want)
			}
		})
	}
}

func TestAPIOverTheSamePort(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "http_api": {"key": "k"}`)
	c := i.connected(apptest.Dialer{})
	if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"news"}}`); !strings.Contains(reply, `"subscribe":{}`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"subscribe":{}`)
	}
	if status, _ := i.request(http.MethodPost, i.external(), "/api/publish", `{"channel":"news","data":1}`); status != 401 {
		t.Errorf("without a key: status %d; want 401", status)
	}
	status, body := i.request(http.MethodPost, i.external(), "/api/publish", `{"channel":"news","data":{"a":1}}`, "X-API-Key", "k")
	if status != 200 || strings.TrimSpace(body) != `{"result":{}}` {
		t.Errorf("publishing: status %d, %s; want 200 and %q", status, body, `{"result":{}}`)
	}
	if push, err := c.Next(); err != nil || push != `{"push":{"channel":"news","pub":{"data":{"a":1}}}}` {
		t.Errorf("the subscriber got %s, %v; want %q", push, err, `{"push":{"channel":"news","pub":{"data":{"a":1}}}}`)
	}
}

func TestOriginOfWebSockets(t *testing.T) {
	tests := []struct {
		name, allowed, origin string
		want                  int
	}{
		{"no list, no origin", ``, "", 101},
		{"no list, an origin", ``, "http://a.example", 403},
		{"in the list", `"http://*.example"`, "http://a.example", 101},
		{"in the list, in capitals", `"http://*.example"`, "HTTP://A.example", 101},
		{"not in the list", `"http://*.example"`, "http://a.example.evil", 403},
		{"everything", `"*"`, "http://evil", 101},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, `"client": {"allowed_origins": [`+test.allowed+`]}`)
			header := http.Header{}
			if test.origin != "" {
				header.Set("Origin", test.origin)
			}
			if status := handshakeStatus(t, i, apptest.Dialer{Header: header}); status != test.want {
				t.Errorf("status %d, want %d", status, test.want)
			}
			warned := i.logged("warn", "client.allowed_origins admits every origin", "")
			if warned != (test.allowed == `"*"`) {
				t.Errorf("warned: %v; want %v", warned, test.allowed == `"*"`)
			}
		})
	}
}

// handshakeStatus is 101 for a handshake that succeeds.
func handshakeStatus(t *testing.T, i *instance, d apptest.Dialer) int {
	t.Helper()
	c, err := d.Dial(i.external())
	var refused *apptest.Refused
	switch {
	case errors.As(err, &refused):
		return refused.Status
	case err != nil:
		t.Fatalf("dialling: %v", err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return http.StatusSwitchingProtocols
}

func TestConnectionLimit(t *testing.T) {
	i := start(t, `"client": {"allow_anonymous_connect_without_token": true, "connection_limit": 2}, "prometheus": {"enabled": true}`)
	first := i.connected(apptest.Dialer{})
	i.connected(apptest.Dialer{})
	if status := handshakeStatus(t, i, apptest.Dialer{}); status != http.StatusServiceUnavailable {
		t.Errorf("above the limit: status %d; want %v", status, http.StatusServiceUnavailable)
	}
	i.awaitMetrics(map[string]float64{"node_client_connection_limit": 1})
	_ = first.Close()
	await.Until(t, "capacity for another connection", func() bool { return handshakeStatus(t, i, apptest.Dialer{}) == 101 })
}

func TestConnectionRateLimit(t *testing.T) {
	i := start(t, `"client": {"allow_anonymous_connect_without_token": true, "connection_rate_limit": 3}`)
	refused := 0
	for range 12 {
		if handshakeStatus(t, i, apptest.Dialer{}) == http.StatusServiceUnavailable {
			refused++
		}
	}
	if refused == 0 || refused > 9 {
		t.Errorf("%d of 12 at once were refused by a rate of 3; want more than 0 and at most 9", refused)
	}
	await.Until(t, "the bucket filled again", func() bool { return handshakeStatus(t, i, apptest.Dialer{}) == 101 })
}

// With a maximum that is always exceeded the lowest rate is admitted.
func TestConnectionMaxDelay(t *testing.T) {
	i := start(t, `"client": {"allow_anonymous_connect_without_token": true, "connection_max_delay": "1ns"}, "prometheus": {"enabled": true}`)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	go func() { // takes what may be admitted
		for ctx.Err() == nil {
			i.app.gate.Admit()
			runtime.Gosched()
		}
	}()
	await.Until(t, "a refused connection", func() bool {
		return handshakeStatus(t, i, apptest.Dialer{}) == http.StatusServiceUnavailable
	})
	stop()
	i.awaitLogged("warn", "connection refused", "client.connection_max_delay is reached")
	await.Until(t, "an admitted connection", func() bool { return handshakeStatus(t, i, apptest.Dialer{}) == 101 })
	metrics := i.metrics()
	for _, name := range []string{"centrifugo_node_client_connection_limit", "centrifugo_node_connection_admission_rate", "centrifugo_node_scheduling_delay_seconds"} {
		if got := metrics[name]; got <= 0 {
			t.Errorf("%s = %v; want more than 0", name, got)
		}
	}
}

func TestUserConnectionLimit(t *testing.T) {
	i := start(t, `"client": {"user_connection_limit": 1, "user_id_http_header": "X-User"}`)
	header := http.Header{"X-User": {"42"}}
	i.connected(apptest.Dialer{Header: header})
	c := i.dial(apptest.Dialer{Header: header})
	if err := c.Text(`{"id":1,"connect":{}}`); err != nil {
		t.Fatal(err)
	}
	if code, err := c.WaitClosed(); code != 3504 {
		t.Errorf("closed with %d, %v; want 3504", code, err)
	}
}

// The user id is taken from the header only if that is configured.
func TestUserHeader(t *testing.T) {
	header := http.Header{"X-User": {"42"}}
	i := start(t, `"client": {"user_id_http_header": "X-User"}, "http_api": {"key": "k"},
		"channel": {"without_namespace": {"presence": true, "allow_subscribe_for_client": true}}`)
	c := i.connected(apptest.Dialer{Header: header})
	ask(t, c, `{"id":2,"subscribe":{"channel":"news"}}`)
	_, body := i.request(http.MethodPost, i.external(), "/api/presence", `{"channel":"news"}`, "X-API-Key", "k")
	if !strings.Contains(body, `"user":"42"`) {
		t.Errorf("presence: %s; want %q in it", body, `"user":"42"`)
	}
	off := start(t, ``)
	c = off.dial(apptest.Dialer{Header: header})
	if err := c.Text(`{"id":1,"connect":{}}`); err != nil {
		t.Fatal(err)
	}
	// No credentials at all: server.md 3.6 and 3.8.
	if code, err := c.WaitClosed(); code != 3501 {
		t.Errorf("closed with %d, %v; want 3501", code, err)
	}
}
