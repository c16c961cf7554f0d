package app

import (
	"log/slog"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
)

// The keys that SIGHUP changes and those that it does not: server.md 6.8.
const before = `"client": {"allow_anonymous_connect_without_token": true, "allowed_origins": ["http://old"],
		"token": {"hmac_secret_key": "old"}},
	"channel": {"namespaces": [{"name": "ns1", "allow_subscribe_for_anonymous": true, "allow_subscribe_for_client": true}]},
	"http_api": {"key": "old"}`

func (i *instance) hangUp() { i.hangup <- syscall.SIGHUP }

// subscribing asks for a channel on a new connection and returns the reply.
func (i *instance) subscribing(channel string) string {
	i.t.Helper()
	return ask(i.t, i.connected(apptest.Dialer{}), `{"id":2,"subscribe":{"channel":"`+channel+`"}}`)
}

func TestReload(t *testing.T) {
	i := start(t, before)
	connected := i.connected(apptest.Dialer{})
	if reply := i.subscribing("ns2:x"); !strings.Contains(reply, `"code":102`) {
		t.Fatalf("before: %s; want %q in it", reply, `"code":102`)
	}
	i.configure(strings.NewReplacer(`"ns1"`, `"ns2"`, `"old"`, `"new"`, `http://old`, `http://new`,
		`"allow_anonymous_connect_without_token": true`, `"allow_anonymous_connect_without_token": false`).Replace(before))
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", "")

	// The options of channels and the reloadable keys of client.*.
	if reply := ask(t, connected, `{"id":2,"subscribe":{"channel":"ns2:x"}}`); reply != `{"id":2,"subscribe":{}}` {
		t.Errorf("a new namespace, on an old connection: %s; want %q", reply, `{"id":2,"subscribe":{}}`)
	}
	if reply := ask(t, connected, `{"id":3,"subscribe":{"channel":"ns1:x"}}`); !strings.Contains(reply, `"code":102`) {
		t.Errorf("a namespace that is gone: %s; want %q in it", reply, `"code":102`)
	}
	c := i.dial(apptest.Dialer{})
	if err := c.Text(`{"id":1,"connect":{}}`); err != nil {
		t.Fatal(err)
	}
	if code, err := c.WaitClosed(); code != 3501 {
		t.Errorf("an anonymous connection after the reload: %d, %v; want 3501", code, err)
	}
	// The server API shares the channels.
	if _, body := i.request(http.MethodPost, i.external(), "/api/publish", `{"channel":"ns1:x","data":1}`, "X-API-Key", "new"); !strings.Contains(body, "102") {
		t.Errorf("API, a namespace that is gone: %s; want \"102\" in it", body)
	}
	// An old key is refused and new origins are allowed at once.
	if status, _ := i.request(http.MethodPost, i.external(), "/api/info", `{}`, "X-API-Key", "old"); status != 401 {
		t.Errorf("the API's old key: status %d; want 401", status)
	}
	for origin, want := range map[string]int{"http://old": 403, "http://new": 101} {
		if got := handshakeStatus(t, i, apptest.Dialer{Header: http.Header{"Origin": {origin}}}); got != want {
			t.Errorf("origin %s: status %d, want %d", origin, got, want)
		}
	}
}

// The log names the keys that were applied and those that need a restart.
func TestReloadListsKeys(t *testing.T) {
	a := newAuthority(t)
	tests := []struct {
		name, settings, taken, restart string
	}{
		{"nothing", before, ``, ``},
		{"key of the API", strings.Replace(before, `"key": "old"`, `"key": "new"`, 1), `http_api.key`, ``},
		{"no key any more", strings.Replace(before, `"key": "old"`, ``, 1), `http_api.key`, ``},
		{"origins", strings.Replace(before, `http://old`, `http://new`, 1), `client.allowed_origins`, ``},
		{"tokens", strings.Replace(before, `"hmac_secret_key": "old"`, `"hmac_secret_key": "new"`, 1), `client.token.hmac_secret_key`, ``},
		{"namespaces", strings.Replace(before, `"ns1"`, `"ns2"`, 1), `channel.namespaces`, ``},
		{"options without a namespace", strings.Replace(before, `"channel": {`, `"channel": {"without_namespace": {"presence": true}, `, 1), `channel.without_namespace.presence`, ``},
		{"level of the log", before + `, "log": {"level": "debug"}`, `log.level`, ``},
		{"port", before + `, "http_server": {"internal_port": 9009}`, ``, `http_server.internal_port`},
		{"file of the log", before + `, "log": {"file": "/tmp/x"}`, ``, `log.file`},
		{"pings", strings.Replace(before, `"client": {`, `"client": {"ping_interval": "20s", `, 1), ``, `client.ping_interval`},
		{"length of channels", strings.Replace(before, `"channel": {`, `"channel": {"max_length": 100, `, 1), ``, `channel.max_length`},
		{"TLS", before + `, "http_server": {` + a.section("tls", "") + `}`, ``, `http_server.tls.enabled","http_server.tls.cert_pem","http_server.tls.key_pem`},
		{"several", strings.Replace(before, `"old"`, `"new"`, -1) + `, "health": {"enabled": true}`,
			`client.token.hmac_secret_key","http_api.key`, `health.enabled`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			i := start(t, before)
			i.configure(test.settings)
			i.hangUp()
			list := func(keys string) string {
				if keys == "" {
					return "[]"
				}
				return `["` + keys + `"]`
			}
			await.Until(t, "the log of the keys", func() bool {
				return i.logged("info", "configuration reloaded", `"needs_restart":`+list(test.restart)) &&
					i.logged("info", "configuration reloaded", `"taken_over":`+list(test.taken))
			})
			if warned := i.logged("warn", "configuration: changed keys need a restart, their old values stay in use", ""); warned {
				if test.restart == "" {
					t.Error("a restart is asked for; want none")
				}
			} else if test.restart != "" {
				i.awaitLogged("warn", "configuration: changed keys need a restart, their old values stay in use", test.restart)
			}
		})
	}
}

// Keys that need a restart are logged at every reload, applied keys once.
func TestReloadTwice(t *testing.T) {
	i := start(t, before)
	changed := strings.Replace(before, `"key": "old"`, `"key": "new"`, 1) + `, "health": {"enabled": true}`
	i.configure(changed)
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", `"taken_over":["http_api.key"]`)
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", `"needs_restart":["health.enabled"],"taken_over":[]`)
	if status, _ := i.request(http.MethodPost, i.external(), "/api/info", `{}`, "X-API-Key", "new"); status != 200 {
		t.Errorf("the new key: status %d; want 200", status)
	}
}

// Without a key the API refuses all calls; a reload that removes the key does not open it.
func TestReloadWithoutKey(t *testing.T) {
	i := start(t, before)
	i.configure(strings.Replace(before, `"key": "old"`, ``, 1))
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", "")
	for _, key := range []string{"old", "", "new"} {
		if status, _ := i.request(http.MethodPost, i.external(), "/api/info", `{}`, "X-API-Key", key); status != 401 {
			t.Errorf("key %q: status %d; want 401", key, status)
		}
	}
}

// The level applies to the lines of the server and of the node.
func TestReloadLogLevel(t *testing.T) {
	i := start(t, anonymous)
	if code := i.refusedWith("rubbish"); code != 3501 {
		t.Errorf("closed with %d; want 3501", code)
	}
	i.configure(anonymous + `, "log": {"level": "debug"}`)
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", "log.level")
	if i.logged("debug", "connection ended", "") || i.logged("debug", "malformed command", "") {
		t.Error("a line of a lower level was logged before the reload; want none")
	}
	if code := i.refusedWith("rubbish"); code != 3501 {
		t.Errorf("closed with %d; want 3501", code)
	}
	await.Until(t, "a line of the node", func() bool {
		return i.logged("debug", "connection ended", "") || i.logged("debug", "malformed command", "")
	})
	if !i.app.log.Enabled(t.Context(), slog.LevelDebug) {
		t.Error("the server's own lines have the old level; want level debug")
	}
}

// A configuration with an error changes nothing, not even its valid keys.
func TestReloadIsAllOrNothing(t *testing.T) {
	renamed := strings.Replace(before, `"ns1"`, `"ns2"`, 1)
	tests := map[string]string{
		"not JSON":              renamed + "}}}",
		"unknown key":           renamed + `, "chanel": {}`,
		"bad origin":            strings.Replace(renamed, `http://old`, `http://[`, 1),
		"keyless API":           strings.Replace(renamed, `"key": "old"`, `"insecure": true`, 1),
		"certificate is gone":   renamed + `, "http_server": {"tls": {"enabled": true, "cert_pem": "/nonexistent/a", "key_pem": "/nonexistent/b"}}`,
		"bad value":             renamed + `, "log": {"level": "loud"}`,
		"bad namespace":         strings.Replace(renamed, `"allow_subscribe_for_client": true`, `"history_size": -1`, 1),
		"bad key":               strings.Replace(renamed, `"hmac_secret_key": "old"`, `"rsa_public_key": "nonsense"`, 1),
		"insecure all at once":  strings.Replace(renamed, `"client": {`, `"client": {"insecure": true, `, 1),
		"unverified signatures": strings.Replace(renamed, `"client": {`, `"client": {"insecure_skip_token_signature_verify": true, `, 1),
	}
	for name, settings := range tests {
		t.Run(name, func(t *testing.T) {
			i := start(t, before)
			i.configure(settings)
			i.hangUp()
			i.awaitLogged("error", "configuration not reloaded, the old one stays in use", "")
			if status, _ := i.request(http.MethodPost, i.external(), "/api/info", `{}`, "X-API-Key", "old"); status != 200 {
				t.Errorf("the old key: status %d; want 200", status)
			}
			if reply := i.subscribing("ns1:x"); reply != `{"id":2,"subscribe":{}}` {
				t.Errorf("the old namespace: %s; want %q", reply, `{"id":2,"subscribe":{}}`)
			}
			if reply := i.subscribing("ns2:x"); !strings.Contains(reply, `"code":102`) {
				t.Errorf("the new namespace: %s; want %q in it", reply, `"code":102`)
			}
			text, err := os.ReadFile(i.log)
			if err != nil || strings.Contains(string(text), `"old"`) {
				t.Errorf("the log tells a secret: %s, %v; want no %q in it", text, err, `"old"`)
			}
		})
	}
}

// The server of an embedder may have no configuration to reload.
func TestHangupWithoutReload(t *testing.T) {
	i := start(t, before, func(a *App) { a.options.Reload = nil })
	i.hangUp()
	i.hangUp() // returns after the first one was handled
	if reply := i.subscribing("ns1:x"); reply != `{"id":2,"subscribe":{}}` {
		t.Errorf("after the signal: %s; want %q", reply, `{"id":2,"subscribe":{}}`)
	}
}
