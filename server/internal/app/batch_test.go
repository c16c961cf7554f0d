package app

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/app/apptest"
	"centrifugo/server/internal/config"
)

// batching has a namespace for each kind of batch. The delay is the maximum, so that
// publications that arrive earlier were not sent because of it.
const batching = `"client": {"insecure": true}, "http_api": {"insecure": true}, "channel": {"namespaces": [
	{"name": "size", "batch_max_delay": "1s", "batch_max_size": 3},
	{"name": "time", "batch_max_delay": "1s", "history_size": 10, "history_ttl": "60s", "force_recovery": true},
	{"name": "latest", "batch_max_delay": "1s", "batch_max_size": 3, "batch_flush_latest": true,
	 "history_size": 10, "history_ttl": "60s", "force_recovery": true},
	{"name": "plain"}
]}`

// TestBatches checks batching from the configuration to the WebSocket messages.
func TestBatches(t *testing.T) {
	for _, test := range []struct {
		channel string
		publish int
		batches int
		each    int // publications that come of a batch
		at      uint64
	}{
		{"size:x", 6, 2, 3, 0},
		{"time:x", 2, 1, 2, 2},
		{"latest:x", 6, 2, 1, 6},
	} {
		t.Run(test.channel, func(t *testing.T) {
			i := start(t, batching)
			c := i.connected(apptest.Dialer{})
			if reply := ask(t, c, `{"id":2,"subscribe":{"channel":"`+test.channel+`"}}`); !strings.Contains(reply, `"subscribe":{`) {
				t.Fatalf("subscribing: %s; want %q in it", reply, `"subscribe":{`)
			}
			for n := range test.publish {
				body := fmt.Sprintf(`{"channel":"%s","data":{"n":%d}}`, test.channel, n+1)
				if status, answer := i.request(http.MethodPost, i.internal(), "/api/publish", body); status != 200 || strings.Contains(answer, "error") {
					t.Fatalf("publishing: %d %s; want 200 and no \"error\" in it", status, answer)
				}
			}
			got, last := 0, ""
			for got < test.batches*test.each {
				message, err := c.Next()
				if err != nil {
					t.Fatal(err)
				}
				n := strings.Count(message, `"pub":`)
				if n == 0 || n%test.each != 0 { // a lane may send two batches together
					t.Fatalf("%d publications in a message, want batches of %d: %s", n, test.each, message)
				}
				got, last = got+n, message
			}
			if newest := fmt.Sprintf(`{"n":%d}`, test.publish); got != test.batches*test.each || !strings.Contains(last, newest) {
				t.Errorf("%d publications, the last of them in %s, want %s", got, last, newest)
			}
			if left := i.app.node.Stats().PublicationsSuperseded; int(left) != test.publish-got { //nolint:gosec // a few
				t.Errorf("%d publications were counted as superseded, want %d", left, test.publish-got)
			}
			if test.at == 0 {
				return
			}
			// The history contains the publications that the batch omitted.
			_, answer := i.request(http.MethodPost, i.internal(), "/api/history", `{"channel":"`+test.channel+`","limit":100}`)
			if n := strings.Count(answer, `"data":`); n != int(test.at) {
				t.Errorf("the history has %d publications, want %d", n, test.at)
			}
		})
	}
}

// TestBatchDelayBound: the configuration refuses delays that the node does not support.
func TestBatchDelayBound(t *testing.T) {
	for delay, ok := range map[string]bool{
		centrifuge.MaxBatchDelay.String():       true,
		(centrifuge.MaxBatchDelay + 1).String(): false,
	} {
		_, _, err := config.Load(config.Options{Environ: []string{
			"CENTRIFUGO_CHANNEL_WITHOUT_NAMESPACE_BATCH_MAX_DELAY=" + delay,
		}})
		if (err == nil) != ok {
			t.Errorf("%s: accepted with %v; want accepted %v", delay, err, ok)
		}
	}
}
