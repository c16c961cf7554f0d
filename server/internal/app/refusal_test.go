package app

import (
	"fmt"
	"log"
	"net/http"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/app/apptest"
)

// forged is a token that an attacker has signed with the secret "wrong".
const forged = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiI0MiJ9.GkwXHdBKDy5uHAYbWvqLTrkPZhP3eBnBgOLIbTDIU4g"

const refusing = `"client": {"allow_anonymous_connect_without_token": true, "allowed_origins": ["http://good"], "token": {"hmac_secret_key": "secret"}},
	"websocket": {"message_size_limit": 1000}, "http_api": {"key": "key"},
	"channel": {"without_namespace": {"allow_subscribe_for_anonymous": true, "allow_subscribe_for_client": true},
		"namespaces": [{"name": "closed"}]}`

// commands sends messages over one connection and reads until it is answered or closed.
func (i *instance) commands(messages ...string) {
	i.t.Helper()
	c := i.dial(apptest.Dialer{})
	for _, message := range messages {
		if err := c.Text(message); err != nil {
			i.t.Fatal(err)
		}
		if _, err := c.Next(); err != nil {
			return
		}
	}
}

const hello = `{"id":1,"connect":{}}`

func TestRefusalsAreLogged(t *testing.T) {
	i := start(t, refusing)
	for _, test := range []struct {
		name           string
		do             func()
		level, message string
		fields         []string // JSON members of the entry
	}{
		{"an origin", func() { _, _ = apptest.Dialer{Header: http.Header{"Origin": {"http://evil"}}}.Dial(i.external()) },
			"warn", "connection refused", []string{`"origin":"http://evil"`, `"status":403`, `"reason":"origin is not allowed"`}},
		{"no upgrade", func() { i.request("GET", i.external(), apptest.Path, "") },
			"info", "connection refused", []string{`"status":426`, `"path":"/connection/websocket"`}},
		{"a version of the protocol", func() { _, _ = apptest.Dialer{Path: apptest.Path + "?cf_protocol_version=v9"}.Dial(i.external()) },
			"info", "connection refused", []string{`"status":400`, `"reason":"unknown cf_protocol_version"`}},
		{"no API key", func() { i.request("POST", i.external(), "/api/info", "{}") },
			"warn", "api call refused", []string{`"reason":"no key in the request"`, `"path":"/api/info"`, `"status":401`}},
		{"a wrong API key", func() { i.request("POST", i.external(), "/api/info", "{}", "X-API-Key", "WRONG-KEY") },
			"warn", "api call refused", []string{`"reason":"wrong key"`}},
		{"a wrong API key in the query", func() { i.request("POST", i.external(), "/api/info?api_key=WRONG-KEY", "{}") },
			"warn", "api call refused", []string{`"reason":"wrong key"`}},
		{"another kind of authorization", func() { i.request("POST", i.external(), "/api/info", "{}", "Authorization", "Bearer WRONG-KEY") },
			"warn", "api call refused", []string{`"reason":"authorization is not of the form 'apikey KEY'"`}},
		{"a bad body of a call", func() { i.request("POST", i.external(), "/api/publish", "{", "X-API-Key", "key") },
			"info", "api call refused", []string{`"status":400`, `"path":"/api/publish"`}},
		{"a forged token", func() { i.commands(`{"id":1,"connect":{"token":"` + forged + `"}}`) },
			"info", "command refused", []string{`"command":"connect"`, `"code":3500`, `signature`, `"transport":"websocket"`}},
		{"a token that is none", func() { i.commands(`{"id":1,"connect":{"token":"nonsense"}}`) },
			"info", "command refused", []string{`"command":"connect"`, `"code":3500`, `malformed`}},
		{"an unknown channel", func() { i.commands(hello, `{"id":2,"subscribe":{"channel":"nowhere:x"}}`) },
			"info", "command refused", []string{`"command":"subscribe"`, `"channel":"nowhere:x"`, `"code":102`, `"reason":"unknown channel"`, `"user":""`, `"client":"`}},
		{"a subscribe that is denied", func() { i.commands(hello, `{"id":2,"subscribe":{"channel":"closed:x"}}`) },
			"info", "command refused", []string{`"channel":"closed:x"`, `"code":103`}},
		{"a publish that is denied", func() { i.commands(hello, `{"id":2,"publish":{"channel":"x","data":1}}`) },
			"info", "command refused", []string{`"command":"publish"`, `"channel":"x"`, `"code":103`}},
		{"a history that is not available", func() { i.commands(hello, `{"id":2,"history":{"channel":"x"}}`) },
			"info", "command refused", []string{`"command":"history"`, `"channel":"x"`, `"code":108`}},
		{"a malformed command", func() { i.commands(hello, `{"id":2,"subscribe"`) },
			"info", "malformed command", []string{`"code":3501`, `"error":"`}},
		{"a command before connect", func() { i.commands(`{"id":2,"publish":{"channel":"x","data":1}}`) },
			"info", "command refused", []string{`"code":3501`, `connect must be the first command`}},
		{"a message that is too large", func() { i.commands(hello, `{"id":2,"publish":{"channel":"x","data":"`+strings.Repeat("x", 1000)+`"}}`) },
			"info", "connection closed", []string{`"code":1009`, `"client":"`, `"transport":"websocket"`}},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.do()
			await.Until(t, fmt.Sprintf("%s %q with %v", test.level, test.message, test.fields), func() bool {
				for _, entry := range i.lines() {
					if entryHas(entry, append(test.fields, `"level":"`+test.level+`"`, `"message":"`+test.message+`"`)) {
						return true
					}
				}
				return false
			})
		})
	}
	for _, secret := range []string{"WRONG-KEY", forged} {
		if strings.Contains(strings.Join(i.lines(), "\n"), secret) {
			t.Errorf("the log holds the secret %q; want it left out", secret)
		}
	}
}

func TestNoCredentialsAreLogged(t *testing.T) {
	i := start(t, `"client": {"token": {"hmac_secret_key": "secret"}}`)
	i.commands(hello)
	i.awaitLogged("info", "command refused", "no credentials")
}

func entryHas(line string, members []string) bool {
	for _, member := range members {
		if !strings.Contains(line, member) {
			return false
		}
	}
	return true
}

// TestRefusalsAreSampled: clients cannot fill the disk with refusals, and the log has the
// number of suppressed lines.
func TestRefusalsAreSampled(t *testing.T) {
	i := start(t, refusing)
	const refusals = 500
	c := i.connected(apptest.Dialer{})
	count := func() (lines, told int) {
		for _, entry := range i.entries() {
			if entry["code"] != float64(103) {
				continue
			}
			lines++
			if suppressed, ok := entry["suppressed"].(float64); ok {
				told += int(suppressed)
			}
		}
		return lines, told
	}
	// Each answer is read before the next command is sent: hundreds of them fill a socket
	// from which nothing is read.
	for n := range refusals {
		if reply := ask(t, c, fmt.Sprintf(`{"id":%d,"subscribe":{"channel":"closed:x"}}`, n+2)); !strings.Contains(reply, `"code":103`) {
			t.Fatalf("reply %d: %s; want %q in it", n, reply, `"code":103`)
		}
	}
	// The first line of the next second has the number of suppressed lines.
	await.Until(t, "the number of lines that were left out", func() bool {
		ask(t, c, `{"id":1000,"subscribe":{"channel":"closed:x"}}`)
		_, told := count()
		return told > 0
	})
	if lines, _ := count(); lines >= refusals {
		t.Errorf("%d refusals make %d lines; want fewer", refusals, lines)
	}
}

func TestAcceptErrorsAreLogged(t *testing.T) {
	i := start(t, anonymous)
	l := log.New(newServerLog(i.app.log), "", 0)
	for range 1000 {
		l.Print("http: Accept error: accept tcp 127.0.0.1:8000: accept4: too many open files; retrying in 5ms")
	}
	errors := 0
	for _, entry := range i.entries() {
		if entry["level"] == "error" && strings.Contains(fmt.Sprint(entry["error"]), "too many open files") {
			errors++
		}
	}
	if errors == 0 || errors > 100 {
		t.Errorf("1000 accept errors make %d lines; want one a second", errors)
	}
}
