package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"centrifugo/server/internal/app/apptest"
)

// frameOf returns the lines of the next WebSocket message.
func frameOf(t *testing.T, c *apptest.Conn) []string {
	t.Helper()
	f, err := c.ReadFrame()
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(f.Payload), "\n")
}

// TestMessagesInFrame: client.max_messages_in_frame bounds WebSocket messages.
func TestMessagesInFrame(t *testing.T) {
	for _, most := range []int{1, 2, 5} {
		t.Run(fmt.Sprint(most), func(t *testing.T) {
			i := start(t, fmt.Sprintf(`"client": {"insecure": true, "max_messages_in_frame": %d}`, most))
			c := i.connected(apptest.Dialer{})
			full := false
			for range 20 { // a busy machine may send what it has
				commands := make([]string, 20)
				for n := range commands {
					commands[n] = fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":1}}`, n+2)
				}
				if err := c.Text(strings.Join(commands, "\n")); err != nil {
					t.Fatal(err)
				}
				for came := 0; came < len(commands); {
					lines := frameOf(t, c)
					if len(lines) > most {
						t.Fatalf("%d messages in a frame; want at most %v", len(lines), most)
					}
					full = full || len(lines) == most
					for _, line := range lines {
						if want := fmt.Sprintf(`{"id":%d,"publish":{}}`, came+2); line != want {
							t.Fatalf("got %s, want %s", line, want)
						}
						came++
					}
				}
			}
			if !full {
				t.Errorf("the fullest frame had %d messages; want a full one", most)
			}
		})
	}
}

// TestWriteDelay: answers to consecutive messages are sent together.
func TestWriteDelay(t *testing.T) {
	i := start(t, `"client": {"insecure": true, "write_delay": "700ms"}`)
	c := i.connected(apptest.Dialer{})
	for id := 2; id < 5; id++ {
		if err := c.Text(fmt.Sprintf(`{"id":%d,"publish":{"channel":"a","data":1}}`, id)); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{`{"id":2,"publish":{}}`, `{"id":3,"publish":{}}`, `{"id":4,"publish":{}}`}
	if got := frameOf(t, c); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got %q; want %q", got, want)
	}
}

// TestQueueMaxTotalSize: a client that does not read is closed when the queues of the
// node exceed their total, before its own limit. The metrics count it.
func TestQueueMaxTotalSize(t *testing.T) {
	i := start(t, `"client": {"insecure": true, "queue_max_size": 1000000000, "queue_max_total_size": 10000,
		"ping_interval": "1h"}, "websocket": {"write_timeout": "1h"}, "http_api": {"key": "k"}, "prometheus": {"enabled": true}`)
	c := i.connected(apptest.Dialer{})
	if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"news"}}`); !strings.Contains(reply, `"subscribe":{}`) {
		t.Fatalf("subscribing: %s; want %q in it", reply, `"subscribe":{}`)
	}
	body := `{"channel":"news","data":"` + strings.Repeat("x", 50_000) + `"}`
	refused := func() float64 {
		metrics := i.metrics()
		if queued, ok := metrics["centrifugo_client_slow_queue_bytes"]; !ok || queued > 10000 {
			t.Fatalf("%v bytes wait, %v; want at most 10000, true", queued, ok)
		}
		return metrics["centrifugo_client_slow_queue_refused_count"]
	}
	for n := 0; n%10 != 0 || refused() == 0; n++ {
		if n > 2000 {
			t.Fatalf("100 MB were taken for one that does not read: got %v; want at most 2000", n)
		}
		if status, answer := i.request(http.MethodPost, i.external(), "/api/publish", body, "X-API-Key", "k"); status != 200 {
			t.Fatalf("publishing: status %d, %s; want 200", status, answer)
		}
	}
	if code, err := c.WaitClosed(); err != nil || code != 3008 {
		t.Errorf("closed with %d, %v; want 3008", code, err)
	}
}
