package app

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"runtime/trace"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/app/apptest"
)

// TestScheduledWrites: with http_server.scheduled_writes the scheduler knows of the writes
// to WebSockets and streams, which an execution trace shows.
func TestScheduledWrites(t *testing.T) {
	const subscribe = `{"id":2,"subscribe":{"channel":"x"}}`
	for name, subscribed := range map[string]func(t *testing.T, i *instance) (read func() (string, error)){
		"websocket": func(t *testing.T, i *instance) func() (string, error) {
			c := i.connected(apptest.Dialer{})
			if reply := ask(t, c, subscribe); !strings.Contains(reply, `"subscribe"`) {
				t.Fatalf("subscribing: got %s; want %q in it", reply, `"subscribe"`)
			}
			return c.Message
		},
		"stream": func(t *testing.T, i *instance) func() (string, error) {
			body := strings.NewReader(`{"id":1,"connect":{}}` + "\n" + subscribe)
			request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+i.external()+"/connection/http_stream", body)
			if err != nil {
				t.Fatal(err)
			}
			response, err := http.DefaultTransport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = response.Body.Close() })
			lines := bufio.NewReader(response.Body)
			read := func() (string, error) { return lines.ReadString('\n') }
			for line := ""; !strings.Contains(line, `"id":2`); {
				if line, err = read(); err != nil {
					t.Fatal(err)
				}
			}
			return read
		},
	} {
		for _, scheduled := range []bool{false, true} {
			t.Run(fmt.Sprint(name, " ", scheduled), func(t *testing.T) {
				i := start(t, fmt.Sprintf(`"client": {"insecure": true}, "http_stream": {"enabled": true}, "http_server": {"scheduled_writes": %v}`, scheduled))
				read := subscribed(t, i)
				var traced bytes.Buffer
				if err := trace.Start(&traced); err != nil {
					t.Fatal(err)
				}
				_, err := i.app.node.Publish(t.Context(), "x", []byte(`"hello"`), centrifuge.PublishOptions{})
				got, readErr := read()
				trace.Stop()
				if err != nil || readErr != nil || !strings.Contains(got, `"hello"`) {
					t.Fatalf("got %q, %v after Publish() = %v; want the publication", got, readErr, err)
				}
				if got := bytes.Contains(traced.Bytes(), []byte("eventloop.scheduledWrite")); got != scheduled {
					t.Errorf("with scheduled_writes = %v the scheduler knows of the writes: %v; want %v", scheduled, got, scheduled)
				}
			})
		}
	}
}
