package app

import (
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"

	"centrifugo/server/internal/app/apptest"
)

// What SIGHUP changes, and what it does not: server-interface 6.8.
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
		t.Fatalf("before: %s", reply)
	}
	i.configure(strings.NewReplacer(`"ns1"`, `"ns2"`, `"old"`, `"new"`, `http://old`, `http://new`,
		`"allow_anonymous_connect_without_token": true`, `"allow_anonymous_connect_without_token": false`).Replace(before))
	i.hangUp()
	eventually(t, "the log of the reload", func() bool { return i.logged("info", "configuration reloaded", "") })

	// The options of channels and what is read of client.* at run time.
	if reply := ask(t, connected, `{"id":2,"subscribe":{"channel":"ns2:x"}}`); reply != `{"id":2,"subscribe":{}}` {
		t.Errorf("a new namespace, on an old connection: %s", reply)
	}
	if reply := ask(t, connected, `{"id":3,"subscribe":{"channel":"ns1:x"}}`); !strings.Contains(reply, `"code":102`) {
		t.Errorf("a namespace that is gone: %s", reply)
	}
	c := i.dial(apptest.Dialer{})
	if err := c.Text(`{"id":1,"connect":{}}`); err != nil {
		t.Fatal(err)
	}
	if code, err := c.WaitClosed(); code != 3501 {
		t.Errorf("an anonymous connection after the reload: %d, %v", code, err)
	}
	// The server API shares the channels.
	if _, body := i.request(http.MethodPost, i.external(), "/api/publish", `{"channel":"ns1:x","data":1}`, "X-API-Key", "old"); !strings.Contains(body, "102") {
		t.Errorf("API, a namespace that is gone: %s", body)
	}
	// Neither keys of the API nor origins change.
	if status, _ := i.request(http.MethodPost, i.external(), "/api/info", `{}`, "X-API-Key", "new"); status != 401 {
		t.Errorf("the API's new key: status %d", status)
	}
	for origin, want := range map[string]int{"http://old": 101, "http://new": 403} {
		if got := handshakeStatus(t, i, apptest.Dialer{Header: http.Header{"Origin": {origin}}}); got != want {
			t.Errorf("origin %s: status %d, want %d", origin, got, want)
		}
	}
}

// A configuration that cannot be used changes nothing, not even its good parts.
func TestReloadIsAllOrNothing(t *testing.T) {
	renamed := strings.Replace(before, `"ns1"`, `"ns2"`, 1)
	tests := map[string]string{
		"not JSON":              renamed + "}}}",
		"unknown key":           renamed + `, "chanel": {}`,
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
			eventually(t, "the log of the error", func() bool {
				return i.logged("error", "configuration not reloaded, the old one stays in force", "")
			})
			if reply := i.subscribing("ns1:x"); reply != `{"id":2,"subscribe":{}}` {
				t.Errorf("the old namespace: %s", reply)
			}
			if reply := i.subscribing("ns2:x"); !strings.Contains(reply, `"code":102`) {
				t.Errorf("the new namespace: %s", reply)
			}
			text, err := os.ReadFile(i.log)
			if err != nil || strings.Contains(string(text), `"old"`) {
				t.Errorf("the log tells a secret: %s, %v", text, err)
			}
		})
	}
}

// An embedder's server may have nothing to reload from.
func TestHangupWithoutReload(t *testing.T) {
	i := start(t, before, func(a *App) { a.options.Reload = nil })
	i.hangUp()
	i.hangUp() // so the first one has been dealt with
	if reply := i.subscribing("ns1:x"); reply != `{"id":2,"subscribe":{}}` {
		t.Errorf("after the signal: %s", reply)
	}
}
