package app

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"centrifugo/server/internal/app/apptest"
)

// allStreams switches on the transports over HTTP.
const allStreams = `"client": {"insecure": true, "allowed_origins": ["https://page.example"]}, "sse": {"enabled": true}, ` +
	`"http_stream": {"enabled": true}, "uni_sse": {"enabled": true}, "uni_http_stream": {"enabled": true}`

// eventStream is a response whose body is a stream of messages.
type eventStream struct {
	t        testing.TB
	response *http.Response
	lines    *bufio.Scanner
}

// openStream sends a request and returns its response, which lasts until the test ends.
func (i *instance) openStream(method, path, body string) *eventStream {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), apptest.Timeout)
	request, err := http.NewRequestWithContext(ctx, method, "http://"+i.external()+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	request.Header.Set("Origin", "https://page.example")
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		cancel()
		_ = response.Body.Close()
	})
	return &eventStream{t: i.t, response: response, lines: bufio.NewScanner(response.Body)}
}

// next returns the next message; empty at the end.
func (s *eventStream) next() string {
	s.t.Helper()
	for s.lines.Scan() {
		if line := strings.TrimPrefix(s.lines.Text(), "data: "); line != "" {
			return line
		}
	}
	return ""
}

// TestHTTPStreams connects by each transport over HTTP, publishes, and stops the server.
func TestHTTPStreams(t *testing.T) {
	connect, uni := `{"id":1,"connect":{}}`, `{"subs":{"x":{}}}`
	for name, test := range map[string]struct {
		method, path, body string
		bidirectional      bool
	}{
		"http_stream":       {"POST", "/connection/http_stream", connect, true},
		"sse":               {"GET", "/connection/sse?cf_connect=" + url.QueryEscape(connect), "", true},
		"sse by POST":       {"POST", "/connection/sse", connect, true},
		"uni_http_stream":   {"POST", "/connection/uni_http_stream", uni, false},
		"uni_sse":           {"GET", "/connection/uni_sse?cf_connect=" + url.QueryEscape(uni), "", false},
		"uni_sse, by POST":  {"POST", "/connection/uni_sse", uni, false},
		"commands together": {"POST", "/connection/http_stream", connect + "\n" + `{"id":2,"subscribe":{"channel":"x"}}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, allStreams+`, "http_api": {"key": "k"}`)
			s := i.openStream(test.method, test.path, test.body)
			if got := s.response.Header.Get("Access-Control-Allow-Origin"); s.response.StatusCode != 200 || got != "https://page.example" {
				t.Fatalf("status %d, origin %q; want 200 for the page", s.response.StatusCode, got)
			}
			var hello struct {
				Connect struct{ Client, Session, Node string }
			}
			if err := json.Unmarshal([]byte(s.next()), &hello); err != nil || hello.Connect.Client == "" || hello.Connect.Session == "" {
				t.Fatalf("the first message is %+v, %v; want a connect result with a session", hello, err)
			}
			if test.bidirectional && name != "commands together" {
				if status := i.emulate(hello.Connect.Node, hello.Connect.Session, `{"id":2,"subscribe":{"channel":"x"}}`); status != http.StatusNoContent {
					t.Fatalf("emulation: got %d; want 204", status)
				}
			}
			if test.bidirectional {
				if got := s.next(); got != `{"id":2,"subscribe":{}}` {
					t.Fatalf("the reply: got %s; want %q", got, `{"id":2,"subscribe":{}}`)
				}
			}
			i.request(http.MethodPost, i.internal(), "/api/publish", `{"channel":"x","data":1}`, "X-API-Key", "k")
			wrap := func(push string) string {
				if test.bidirectional {
					return `{"push":` + push + `}`
				}
				return push
			}
			if got, want := s.next(), wrap(`{"channel":"x","pub":{"data":1}}`); got != want {
				t.Errorf("got %s; want %s", got, want)
			}
			stopped := make(chan error, 1)
			go func() { stopped <- i.stop() }()
			if got, want := s.next(), wrap(`{"disconnect":{"code":3001,"reason":"shutdown"}}`); got != want {
				t.Errorf("at the end: got %s; want %s", got, want)
			}
			if got := s.next(); got != "" {
				t.Errorf("behind the end: got %s; want nothing", got)
			}
			if err := <-stopped; err != nil {
				t.Errorf("stopping: %v", err)
			}
		})
	}
}

// emulate sends commands of a session, and returns the status.
func (i *instance) emulate(node, session, commands string) int {
	i.t.Helper()
	body, err := json.Marshal(map[string]string{"node": node, "session": session, "data": commands})
	if err != nil {
		i.t.Fatal(err)
	}
	status, _ := i.request(http.MethodPost, i.external(), "/emulation", string(body))
	return status
}

// TestEmulation: the endpoint is there when a transport needs it. emulation.max_request_body_size bounds a body.
func TestEmulation(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "uni_sse": {"enabled": true}`)
	if got := i.emulate("n", "s", ""); got != http.StatusNotFound {
		t.Errorf("without a transport that needs it: got %d; want 404", got)
	}
	i = start(t, `"client": {"insecure": true}, "sse": {"enabled": true}, "emulation": {"max_request_body_size": 1000}`)
	if got := i.emulate("unknown", "s", "{}"); got != http.StatusNotFound {
		t.Errorf("an unknown node: got %d; want 404", got)
	}
	if got := i.emulate("n", "s", strings.Repeat("x", 1000)); got != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body: got %d; want 413", got)
	}
	if got, _ := i.request(http.MethodPost, i.external(), "/emulation", "{"); got != http.StatusBadRequest {
		t.Errorf("a malformed body: got %d; want 400", got)
	}
}

// TestConnectStatus: with connect_code_to_http_response.enabled, a refused connect is answered with the status_code and body of
// the first of the transforms that has its code.
func TestConnectStatus(t *testing.T) {
	for _, section := range []string{"uni_sse", "uni_http_stream"} {
		transforms := `{"enabled": true, "transforms": [{"code": 3501, "to": {"status_code": 401, "body": "who are you"}}, {"code": 3501, "to": {"status_code": 402}}]}`
		i := start(t, `"`+section+`": {"enabled": true, "connect_code_to_http_response": `+transforms+`}`)
		if status, body := i.request(http.MethodPost, i.external(), "/connection/"+section, `{}`); status != 401 || body != "who are you" {
			t.Errorf("%s, no credentials: got %d %q; want 401", section, status, body)
		}
		if status, body := i.request(http.MethodPost, i.external(), "/connection/"+section, `{"token":"x"}`); status != 500 || body != "Internal Server Error" {
			t.Errorf("%s, no transform for 3500: got %d %q; want 500", section, status, body)
		}
		i = start(t, `"`+section+`": {"enabled": true}`)
		if status, body := i.request(http.MethodPost, i.external(), "/connection/"+section, `{}`); status != 200 || !strings.Contains(body, `{"disconnect":{"code":3501,`) {
			t.Errorf("%s, off: got %d %q; want 200 and a disconnect push", section, status, body)
		}
	}
}

// TestUnidirectionalDisconnect: client.connect_code_to_unidirectional_disconnect maps the code of an error of connect to
// the code and reason of the first of its transforms.
func TestUnidirectionalDisconnect(t *testing.T) {
	const settings = `"uni_http_stream": {"enabled": true}, "client": {"token": {"hmac_secret_key": "secret"}`
	text := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	token := text(`{"alg":"HS256","typ":"JWT"}`) + "." + text(`{"sub":"42","exp":1}`)
	signature := hmac.New(sha256.New, []byte("secret"))
	signature.Write([]byte(token))
	token += "." + text(string(signature.Sum(nil)))
	for name, test := range map[string]struct{ settings, want string }{
		"default": {`}`, `{"disconnect":{"code":3005,"reason":"connection expired"}}`},
		"transformed": {`, "connect_code_to_unidirectional_disconnect": {"enabled": true, "transforms": [{"code": 103, "to": {"code": 4900}}, ` +
			`{"code": 109, "to": {"code": 4901, "reason": "get a new token"}}]}}`, `{"disconnect":{"code":4901,"reason":"get a new token"}}`},
		"of another code": {`, "connect_code_to_unidirectional_disconnect": {"enabled": true, "transforms": [{"code": 103, "to": {"code": 4900}}]}}`,
			`{"disconnect":{"code":3005,"reason":"connection expired"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, settings+test.settings)
			status, body := i.request(http.MethodPost, i.external(), "/connection/uni_http_stream", `{"token":"`+token+`"}`)
			if status != 200 || strings.TrimSpace(body) != test.want {
				t.Errorf("got %d %s; want %s", status, body, test.want)
			}
		})
	}
}

// TestUniWebSocket connects by the URL of a unidirectional WebSocket, and stops the server.
func TestUniWebSocket(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "uni_websocket": {"enabled": true}`)
	c := i.dial(apptest.Dialer{Path: "/connection/uni_websocket?cf_connect=" + url.QueryEscape(`{"subs":{"x":{}}}`)})
	if got, err := c.Message(); err != nil || !strings.HasPrefix(got, `{"connect":{"client":"`) || !strings.Contains(got, `"subs":{"x":{}}`) {
		t.Fatalf("the first message: got %s, %v; want a connect push with the subscription", got, err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- i.stop() }()
	if got, err := c.Message(); err != nil || got != `{"disconnect":{"code":3001,"reason":"shutdown"}}` {
		t.Errorf("at the end: got %s, %v; want a disconnect push", got, err)
	}
	_ = c.Close() // or the server would wait for the answer to its close frame
	if err := <-stopped; err != nil {
		t.Errorf("stopping: %v", err)
	}
}

// TestLastEventID: a client that sends the id of the last event recovers what it missed, and a
// malformed id is answered as lost and logged.
func TestLastEventID(t *testing.T) {
	i := start(t, allStreams+`, "http_api": {"key": "k"},
		"channel": {"without_namespace": {"history_size": 10, "history_ttl": "60s", "force_recovery": true}}`)
	path := "/connection/uni_sse?cf_connect=" + url.QueryEscape(`{"subs":{"x":{}}}`)
	publish := func(data string) {
		i.request(http.MethodPost, i.internal(), "/api/publish", `{"channel":"x","data":`+data+`}`, "X-API-Key", "k")
	}
	s := i.openStream(http.MethodGet, path, "")
	line := func() string {
		for s.lines.Scan() {
			if text := s.lines.Text(); text != "" {
				return text
			}
		}
		return ""
	}
	line() // the id of the connect push
	line()
	publish("1")
	id, ok := strings.CutPrefix(line(), "id: ")
	if got := line(); !ok || !strings.HasPrefix(got, `data: {"channel":"x","pub":{"data":1,`) {
		t.Fatalf("got id %q, then %s; want an id and the publication", id, got)
	}
	_ = s.response.Body.Close()
	publish("2")
	for last, want := range map[string]string{id: `"publications":[{"data":2,"offset":2}],"recovered":true,`, "42": `"was_recovering":true`} {
		s = i.openStream(http.MethodGet, path+"&lastEventId="+last, "")
		line()
		if got := line(); !strings.Contains(got, want) || last == "42" && strings.Contains(got, "recovered") {
			t.Errorf("with the id %q the first event is %s; want %s", last, got, want)
		}
	}
	i.awaitLogged("info", "positions of a client are lost", "malformed Last-Event-ID")
}
