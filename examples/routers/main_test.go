package main

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"centrifugo/examples/internal/wsclient"
)

// record is a log that may be written while it is read.
type record struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (r *record) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.Write(b)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.b.String()
}

var alice = http.Header{"Cookie": {"session=of-alice"}}

// post publishes as alice.
func post(t *testing.T, url, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header = alice.Clone()
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("POST %s = %s, want 200", url, response.Status)
	}
}

// A client connects with its session, receives what is published, and recovers
// what it has missed, whatever the router. The shutdown tells it and waits.
func TestRouters(t *testing.T) {
	for name, router := range routers {
		t.Run(name, func(t *testing.T) {
			output := &record{}
			c, err := newChat(slog.New(slog.NewJSONHandler(output, nil)))
			if err != nil {
				t.Fatal(err)
			}
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- c.serve(ctx, listener, router(c)) }()
			url := "http://" + listener.Addr().String()
			if status := wsclient.Refused(t, url+"/connection/websocket", nil); status != http.StatusUnauthorized {
				t.Errorf("handshake without a session: status %d, want 401", status)
			}
			first := wsclient.Dial(t, url+"/connection/websocket", alice)
			position := converse(t, first, url+"/chats/go")
			first.Close()
			post(t, url+"/chats/go", `"two"`)
			post(t, url+"/chats/go", `"three"`)
			second := wsclient.Dial(t, url+"/connection/websocket", alice)
			recoverMissed(t, second, position)
			stop()
			if code := second.Closed(); code != 3001 {
				t.Errorf("shutdown: closed with %d, want 3001", code)
			}
			if err := <-ended; err != nil {
				t.Errorf("serve = %v, want nil", err)
			}
			checkLog(t, output.String())
		})
	}
}

// converse connects, subscribes, is refused another channel, and receives a
// message. It returns the position to recover from.
func converse(t *testing.T, c *wsclient.Client, say string) (position string) {
	t.Helper()
	if got := c.Do(`{"id":1,"connect":{}}`); !strings.Contains(got, `"connect":{"client":`) {
		t.Fatalf("connect: reply %s; want %q in it", got, `"connect":{"client":`)
	}
	reply := c.Do(`{"id":2,"subscribe":{"channel":"chat:go"}}`)
	epoch := regexp.MustCompile(`"recoverable":true,"epoch":"([^"]+)"`).FindStringSubmatch(reply)
	if epoch == nil {
		t.Fatalf("subscribe: reply %s, want one that is recoverable", reply)
	}
	if got := c.Do(`{"id":3,"subscribe":{"channel":"news"}}`); !strings.Contains(got, `"code":103`) {
		t.Errorf("subscribe to another channel: reply %s, want error 103", got)
	}
	post(t, say, `"one"`)
	if got, want := c.Publications(1), []string{`"one"`}; !slices.Equal(got, want) {
		t.Errorf("publications %v, want %v", got, want)
	}
	if got := c.Do(`{"id":4,"history":{"channel":"chat:go","limit":10}}`); !strings.Contains(got, `"data":"one"`) {
		t.Errorf("history: reply %s, want the message in it", got)
	}
	return `"recover":true,"offset":1,"epoch":"` + epoch[1] + `"`
}

// recoverMissed connects again and is given what was published in between.
func recoverMissed(t *testing.T, c *wsclient.Client, position string) {
	t.Helper()
	c.Do(`{"id":1,"connect":{}}`)
	got := c.Do(`{"id":2,"subscribe":{"channel":"chat:go",` + position + `}}`)
	for _, want := range []string{`"recovered":true`, `"data":"two"`, `"data":"three"`} {
		if !strings.Contains(got, want) {
			t.Errorf("subscribe after a loss: reply %s, want %s in it", got, want)
		}
	}
}

// checkLog looks for the entry of the application, in a log that is all JSON.
func checkLog(t *testing.T, text string) {
	t.Helper()
	found := false
	for line := range strings.Lines(text) {
		var entry struct{ Msg, User string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("log: %q is not JSON", line)
		}
		found = found || entry.Msg == "connected" && entry.User == "alice"
	}
	if !found {
		t.Errorf("the log has no entry of alice's connection; want one in\n%s", text)
	}
}
