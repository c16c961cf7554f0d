package app

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"
)

// namespaces is a server with the namespaces news, chat and rest.
const namespaces = `"client": {"insecure": true}, "http_api": {"insecure": true}, "prometheus": {"enabled": true, %s, "recovered_publications_histogram": true},
	"channel": {"namespaces": [{"name": "news", "presence": true}, {"name": "chat", "history_size": 9, "history_ttl": "1m", "force_recovery": true, "join_leave": true}, {"name": "rest"}]}`

// useNamespaces publishes into channels of all namespaces, and connects a client that is
// subscribed to the first ones.
func (i *instance) useNamespaces() *apptest.Conn {
	i.t.Helper()
	c := i.dial(apptest.Dialer{})
	ask(i.t, c, `{"id":1,"connect":{"name":"js"}}`)
	ask(i.t, c, `{"id":2,"subscribe":{"channel":"news:1"}}`)
	ask(i.t, c, `{"id":3,"subscribe":{"channel":"chat:1"}}`)
	ask(i.t, c, `{"id":4,"subscribe":{"channel":"plain"}}`)
	for channel, publications := range map[string]int{"news:1": 1, "chat:1": 2, "rest:1": 3, "plain": 4} {
		for n := range publications {
			i.api("publish", fmt.Sprintf(`{"channel":%q,"data":%d}`, channel, n))
		}
	}
	ask(i.t, c, `{"id":5,"history":{"channel":"rest:1"}}`) // not available: 108
	return c
}

// TestNamespacesInMetrics checks prometheus.channel_namespaces.
func TestNamespacesInMetrics(t *testing.T) {
	i := start(t, fmt.Sprintf(namespaces, `"channel_namespaces": 10`))
	c := i.useNamespaces()
	want := map[string]float64{
		`node_messages_sent_count{channel_namespace="other",type="publication"}`:                             -1,
		`node_messages_sent_count{channel_namespace="chat",type="join"}`:                                     1,
		`node_messages_received_count{channel_namespace="chat",type="join"}`:                                 1,
		`node_messages_sent_count{channel_namespace="news",type="join"}`:                                     -1,
		`node_messages_sent_count{channel_namespace="",type="join"}`:                                         0,
		`node_messages_sent_count{channel_namespace="",type="control"}`:                                      0,
		`node_action_count{action="add_presence",channel_namespace="news"}`:                                  1,
		`node_action_count{action="add_presence",channel_namespace=""}`:                                      0,
		`client_num_reply_errors{channel_namespace="rest",code="108",method="history"}`:                      1,
		`client_command_duration_seconds_count{channel_namespace="rest",method="history"}`:                   1,
		`client_command_duration_seconds_histogram_count{channel_namespace="rest",method="history"}`:         1,
		`client_command_duration_seconds_count{channel_namespace="",method="connect"}`:                       1,
		`client_command_duration_seconds_count{channel_namespace="chat",method="connect"}`:                   -1,
		`transport_messages_received{channel_namespace="rest",frame_type="history",transport="websocket"}`:   1,
		`transport_messages_received{channel_namespace="chat",frame_type="subscribe",transport="websocket"}`: 1,
		`transport_messages_sent{channel_namespace="chat",frame_type="subscribe",transport="websocket"}`:     1,
		`client_subscriptions_inflight{channel_namespace="rest",client_name="js"}`:                           -1,
		`client_subscriptions_inflight{channel_namespace="",client_name="unregistered"}`:                     0,
	}
	for namespace, publications := range map[string]float64{"news": 1, "chat": 2, "rest": 3, "": 4} {
		want[fmt.Sprintf(`node_messages_sent_count{channel_namespace=%q,type="publication"}`, namespace)] = publications
		if namespace == "rest" {
			continue // it has no subscriber
		}
		want[fmt.Sprintf(`node_messages_received_count{channel_namespace=%q,type="publication"}`, namespace)] = publications
		want[fmt.Sprintf(`node_broadcast_duration_seconds_count{channel_namespace=%q,type="publication"}`, namespace)] = publications
		want[fmt.Sprintf(`transport_messages_sent{channel_namespace=%q,frame_type="push_publication",transport="websocket"}`, namespace)] = publications
		want[fmt.Sprintf(`client_subscriptions_accepted{channel_namespace=%q,client_name="js"}`, namespace)] = 1
		want[fmt.Sprintf(`client_subscriptions_inflight{channel_namespace=%q,client_name="js"}`, namespace)] = 1
	}
	i.awaitMetrics(want)

	// A namespace that is removed keeps its subscriptions, and they end under its name.
	i.configure(strings.Replace(fmt.Sprintf(namespaces, `"channel_namespaces": 10`), `{"name": "news", "presence": true}, `, "", 1))
	i.hangUp()
	i.awaitLogged("info", "configuration reloaded", "")
	_ = c.Close()
	i.awaitMetrics(map[string]float64{
		`client_subscriptions_accepted{channel_namespace="news",client_name="js"}`: 1,
		`client_subscriptions_inflight{channel_namespace="news",client_name="js"}`: 0,
		`client_subscriptions_inflight{channel_namespace="chat",client_name="js"}`: 0,
		`client_subscriptions_inflight{channel_namespace="",client_name="js"}`:     0,
	})
}

// TestNamespacesInMetricsAreBounded checks that namespaces beyond the limit are counted
// together.
func TestNamespacesInMetricsAreBounded(t *testing.T) {
	i := start(t, fmt.Sprintf(namespaces, `"channel_namespaces": 1`))
	ask(t, i.connected(apptest.Dialer{}), `{"id":2,"subscribe":{"channel":"news:1"}}`) // the first one that is used
	i.useNamespaces()
	i.awaitMetrics(map[string]float64{
		`node_messages_sent_count{channel_namespace="news",type="publication"}`:               1,
		`node_messages_sent_count{channel_namespace="other",type="publication"}`:              5,
		`node_messages_sent_count{channel_namespace="",type="publication"}`:                   4,
		`node_messages_sent_count{channel_namespace="chat",type="publication"}`:               -1,
		`client_subscriptions_inflight{channel_namespace="news",client_name="js"}`:            1,
		`client_subscriptions_inflight{channel_namespace="other",client_name="js"}`:           1,
		`client_subscriptions_inflight{channel_namespace="",client_name="js"}`:                1,
		`client_subscriptions_inflight{channel_namespace="chat",client_name="js"}`:            -1,
		`client_subscriptions_accepted{channel_namespace="",client_name="unnamed"}`:           -1,
		`client_recovered_publications_count{channel_namespace=""}`:                           0,
		`broker_publish_suppressed_count{channel_namespace="",reason="idempotency"}`:          0,
		`broker_publish_suppressed_count{channel_namespace="news",reason="version"}`:          -1,
		`node_messages_received_count{channel_namespace="other",type="publication"}`:          2,
		`node_tags_filter_dropped_publications{channel_namespace=""}`:                         0,
		`client_num_server_unsubscribes{channel_namespace="other",code="2500"}`:               -1,
		`client_recover{channel_namespace="",has_recovered_publications="no",recovered="no"}`: 0,
	})
	i.awaitLogged("warn", "too many labels of channels, or an invalid one: counted as others", "")
}

// TestPublicationLatency checks prometheus.publication_latency_sample: the time from the
// arrival of a request, whose body may take its time, to the sockets of the subscribers.
func TestPublicationLatency(t *testing.T) {
	for name, engine := range map[string]func(t *testing.T) string{
		"memory": func(*testing.T) string { return `"engine": {"type": "memory"}` },
		"redis":  func(t *testing.T) string { return redisEngine(redistest.Start(t).Address()) },
	} {
		t.Run(name, func(t *testing.T) {
			i := start(t, fmt.Sprintf(namespaces, `"channel_namespaces": 9, "publication_latency_sample": 2`)+", "+engine(t))
			c := i.connected(apptest.Dialer{})
			ask(t, c, `{"id":2,"subscribe":{"channel":"news:1"}}`)
			ask(t, c, `{"id":3,"subscribe":{"channel":"plain"}}`)
			const pause = 300 * time.Millisecond
			body := `{"channel":"news:1","data":1}`
			request, err := http.NewRequest(http.MethodPost, "http://"+i.external()+"/api/publish", io.MultiReader(lateReader{pause}, strings.NewReader(body)))
			if err != nil {
				t.Fatal(err)
			}
			// The body is read when the server asks for it, which is after the arrival.
			request.ContentLength = int64(len(body))
			request.Header.Set("Expect", "100-continue")
			transport := &http.Transport{ExpectContinueTimeout: time.Hour, DisableKeepAlives: true}
			answer, err := transport.RoundTrip(request)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			if answer.StatusCode != http.StatusOK {
				t.Fatalf("publishing: status %d; want 200", answer.StatusCode)
			}
			i.api("publish", `{"channel":"news:1","data":2}`)
			i.api("publish", `{"channel":"plain","data":3}`)
			i.api("publish", `{"channel":"rest:1","data":4}`) // without subscribers
			const metric = `transport_publication_latency_seconds_%s{channel_namespace=%q,transport="websocket"}`
			i.awaitMetrics(map[string]float64{
				fmt.Sprintf(metric, "count", "news"): 1,
				fmt.Sprintf(metric, "count", ""):     1,
				fmt.Sprintf(metric, "count", "rest"): -1,
			})
			if sum := i.metrics()["centrifugo_"+fmt.Sprintf(metric, "sum", "news")]; sum < pause.Seconds() {
				t.Errorf("a latency of %v s; want %v s at least", sum, pause.Seconds())
			}
		})
	}
	i := start(t, fmt.Sprintf(namespaces, `"channel_namespaces": 9`))
	for sample := range i.metrics() {
		if strings.Contains(sample, "publication_latency") {
			t.Errorf("%s without publication_latency_sample; want none", sample)
		}
	}
}

// lateReader is an empty reader whose end comes after a while.
type lateReader struct{ pause time.Duration }

// Read implements io.Reader.
func (r lateReader) Read([]byte) (int, error) {
	<-time.After(r.pause)
	return 0, io.EOF
}
