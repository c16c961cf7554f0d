package httpstream

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/internal/transporttest"
)

// dropping removes what differs between runs from a response.
var dropping = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`Date: [^\r]*`), "Date: <date>"},
	{regexp.MustCompile(`"(client|session|node)":"[^"]*"`), `"$1":"<$1>"`},
	{regexp.MustCompile(`"version":"[^"]*"`), `"version":"<version>"`},
	{regexp.MustCompile(`(?m)^[0-9a-f]+\r\n(data: )?(\{)`), "<size>\r\n$1$2"},
}

func plain(response string) string {
	for _, d := range dropping {
		response = d.pattern.ReplaceAllString(response, d.with)
	}
	return response
}

// cacheHeaders are sent with every stream.
const cacheHeaders = "Cache-Control: private, no-cache, no-store, must-revalidate, max-age=0\r\nConnection: close\r\n"

// The whole response of a connection that the server ends at once, byte for byte.
func TestBytes(t *testing.T) {
	ended := centrifuge.Disconnect{Code: 4000, Reason: "bye"}
	get := func(path, version string) string { return "GET " + path + " HTTP/" + version + "\r\nHost: x\r\n\r\n" }
	const connect = `{"id":1,"connect":{}}`
	const query = streamPath + "?cf_connect=%7B%22id%22:1,%22connect%22:%7B%7D%7D"
	const (
		textHeaders = cacheHeaders + "Content-Type: text/plain; charset=utf-8\r\nExpire: 0\r\nPragma: no-cache\r\nX-Accel-Buffering: no\r\nDate: <date>\r\n"
		sseHeaders  = cacheHeaders + "Content-Type: text/event-stream; charset=utf-8\r\nExpire: 0\r\nPragma: no-cache\r\nX-Accel-Buffering: no\r\nDate: <date>\r\n"
	)
	// Sent by this package, which sorts them.
	const judgedHeaders = cacheHeaders + "Content-Type: text/event-stream; charset=utf-8\r\nDate: <date>\r\nExpire: 0\r\nPragma: no-cache\r\n" +
		"Transfer-Encoding: chunked\r\nX-Accel-Buffering: no\r\n"
	const (
		connected    = `{"id":1,"connect":{"client":"<client>","version":"<version>","ping":25,"pong":true,"session":"<session>","node":"<node>"}}`
		disconnected = `{"push":{"disconnect":{"code":4000,"reason":"bye"}}}`
		uniConnected = `{"connect":{"client":"<client>","version":"<version>","ping":25,"session":"<session>"}}`
		uniEnd       = `{"disconnect":{"code":4000,"reason":"bye"}}`
	)
	for _, tt := range []struct {
		name    string
		config  Config
		request string
		want    string
	}{
		{"stream", Config{}, post(connect), "HTTP/1.1 200 OK\r\n" + textHeaders + "Transfer-Encoding: chunked\r\n\r\n" +
			"<size>\r\n" + connected + "\n\r\n<size>\r\n" + disconnected + "\n\r\n0\r\n\r\n"},
		{"events", Config{Wire: Events}, get(query, "1.1"), "HTTP/1.1 200 OK\r\n" + sseHeaders + "Transfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n" +
			"<size>\r\ndata: " + connected + "\n\n\r\n<size>\r\ndata: " + disconnected + "\n\n\r\n0\r\n\r\n"},
		{"events, HTTP/1.0", Config{Wire: Events}, get(query, "1.0"), "HTTP/1.0 200 OK\r\n" + sseHeaders + "\r\n\r\n" +
			"data: " + connected + "\n\ndata: " + disconnected + "\n\n"},
		{"unidirectional stream", Config{Unidirectional: true}, post("{}"), "HTTP/1.1 200 OK\r\n" + textHeaders + "Transfer-Encoding: chunked\r\n\r\n" +
			"<size>\r\n" + uniConnected + "\n\r\n<size>\r\n" + uniEnd + "\n\r\n0\r\n\r\n"},
		{"unidirectional events", Config{Wire: Events, Unidirectional: true}, get(streamPath, "1.1"),
			"HTTP/1.1 200 OK\r\n" + sseHeaders + "Transfer-Encoding: chunked\r\n\r\n2\r\n\r\n\r\n" +
				"<size>\r\ndata: " + uniConnected + "\n\n\r\n<size>\r\ndata: " + uniEnd + "\n\n\r\n0\r\n\r\n"},
		{"unidirectional events with a judged status", Config{Wire: Events, Unidirectional: true, ConnectStatus: func(uint32) (int, string) { return 500, "" }},
			get(streamPath, "1.1"), "HTTP/1.1 200 OK\r\n" + judgedHeaders + "\r\n2\r\n\r\n\r\n" +
				"<size>\r\ndata: " + uniConnected + "\n\n\r\n<size>\r\ndata: " + uniEnd + "\n\n\r\n0\r\n\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := transporttest.RunNode(t, centrifuge.Config{Version: "1", Handlers: centrifuge.Handlers{
				Connected: func(_ context.Context, e centrifuge.ConnectedEvent) { e.Client.Disconnect(ended) },
			}})
			s := serve(t, n, tt.config, routeTCP)
			if got := plain(s.exchange(tt.request)); got != tt.want {
				t.Errorf("the response is\n%q; want\n%q", got, tt.want)
			}
		})
	}
}

// A connection in Protobuf: messages follow their length.
func TestProtobuf(t *testing.T) {
	n := transporttest.RunNode(t, centrifuge.Config{})
	s := serve(t, n, Config{}, routeTCP)
	request := post("\x04\x08\x01\x22\x00\x05\x08\x02\x6a\x01\x00", "Content-Type: application/octet-stream") // connect, a malformed command
	c := s.dialTCP()
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	response, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	head, body, _ := strings.Cut(string(response), "\r\n\r\n")
	if !strings.Contains(head, "Content-Type: application/octet-stream") {
		t.Errorf("the head is %q; want the type application/octet-stream", head)
	}
	// Reply 1: field 1 = 1, field 5 = the connect result. Then push 4: disconnect 11 with code 3501.
	const disconnected = "\r\n15\r\n\x14\x22\x12\x5a\x10\x08\xad\x1b\x12\x0bbad request\r\n0\r\n\r\n"
	if !strings.HasPrefix(body, "7b\r\n\x7a\x08\x01\x2a") || !strings.HasSuffix(body, disconnected) {
		t.Errorf("the body is %q; want a connect reply and disconnect 3501", body)
	}
}

// What is wrong with the commands is answered in the stream (protocol.md 3.4).
func TestErrorsAreInTheStream(t *testing.T) {
	for name, wire := range wires {
		for _, tt := range []struct{ what, body string }{
			{"empty body", ""}, {"malformed", "{"}, {"blank line", "\n"}, {"another command first", `{"id":1,"rpc":{}}`},
		} {
			t.Run(name+"/"+tt.what, func(t *testing.T) {
				s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), Config{Wire: wire}, routeTCP)
				p := s.stream(wire)
				if err := p.open(tt.body); err != nil || p.status != http.StatusOK {
					t.Fatalf("open(%q) = %v, status %d; want 200", tt.body, err, p.status)
				}
				p.expectEnd(centrifuge.DisconnectBadRequest)
			})
		}
	}
}

// Statuses of requests that do not become a stream (protocol.md 3.4, 3.5).
func TestRefusedRequests(t *testing.T) {
	const limit = 100
	long := strings.Repeat("x", limit+1)
	for _, tt := range []struct {
		name          string
		config        Config
		method, query string
		body          string
		header        string
		status        int
	}{
		{"stream: preflight", Config{}, "OPTIONS", "", "", "", 204},
		{"stream: method", Config{}, "GET", "?cf_connect={}", "", "", 405},
		{"stream: put", Config{}, "PUT", "", "", "", 405},
		{"stream: large body", Config{}, "POST", "", long, "", 413},
		{"stream: foreign page", Config{}, "POST", "", "{}", "http://evil.example", 403},
		{"events: preflight", Config{Wire: Events}, "OPTIONS", "", "", "", 405},
		{"events: no command", Config{Wire: Events}, "GET", "", "", "", 400},
		{"events: empty command", Config{Wire: Events}, "GET", "?cf_connect=", "", "", 400},
		{"events: large command", Config{Wire: Events}, "GET", "?cf_connect=" + long, "", "", 414},
		{"events: head", Config{Wire: Events}, "HEAD", "", "", "", 405},
		{"events: large body", Config{Wire: Events}, "POST", "", long, "", 413},
		{"unidirectional stream: preflight", Config{Unidirectional: true}, "OPTIONS", "", "", "", 204},
		{"unidirectional stream: no body", Config{Unidirectional: true}, "POST", "", "", "", 400},
		{"unidirectional stream: malformed", Config{Unidirectional: true}, "POST", "", "{", "", 400},
		{"unidirectional stream: a list", Config{Unidirectional: true}, "POST", "", "[]", "", 400},
		{"unidirectional stream: method", Config{Unidirectional: true}, "GET", "", "", "", 405},
		{"unidirectional events: malformed", Config{Wire: Events, Unidirectional: true}, "GET", "?cf_connect={", "", "", 400},
		{"unidirectional events: two values", Config{Wire: Events, Unidirectional: true}, "GET", "?cf_connect={}{}", "", "", 400},
		{"unidirectional events: no body", Config{Wire: Events, Unidirectional: true}, "POST", "", "", "", 400},
		{"unidirectional events: preflight", Config{Wire: Events, Unidirectional: true}, "OPTIONS", "", "", "", 405},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var refused []string
			tt.config.OnRefused = func(_ *http.Request, status int, reason string) {
				refused = append(refused, fmt.Sprintf("%d %s", status, reason))
			}
			tt.config.MaxRequestBodySize = limit
			s := serve(t, transporttest.RunNode(t, centrifuge.Config{}), tt.config, routeTCP)
			request, err := http.NewRequestWithContext(t.Context(), tt.method, s.http.URL+streamPath+tt.query, strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			if tt.header != "" {
				request.Header.Set("Origin", tt.header)
			}
			response, err := s.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			if response.StatusCode != tt.status {
				t.Errorf("status %d; want %d", response.StatusCode, tt.status)
			}
			if tt.status == 204 {
				if got := response.Header.Get("Access-Control-Max-Age") + " " + response.Header.Get("Access-Control-Allow-Methods"); got != "300 POST, OPTIONS" || refused != nil {
					t.Errorf("preflight %q, refused %q; want %q, none", got, refused, "300 POST, OPTIONS")
				}
				return
			}
			if len(refused) != 1 || !strings.HasPrefix(refused[0], fmt.Sprint(tt.status)) {
				t.Errorf("OnRefused got %q; want one call with %d", refused, tt.status)
			}
			if got := response.Header.Get("Allow"); (got != "") != (tt.status == 405) {
				t.Errorf("Allow is %q with status %d; want it with 405 only", got, tt.status)
			}
		})
	}
}
