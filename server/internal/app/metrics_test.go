package app

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"centrifugo/server/internal/app/apptest"
)

func (i *instance) metrics() apptest.Metrics {
	i.t.Helper()
	m, err := apptest.ReadMetrics("http://" + i.internal() + "/metrics")
	if err != nil {
		i.t.Fatal(err)
	}
	return m
}

// commands and frames have series from the start (server.md 9).
var (
	commands = strings.Fields("connect subscribe publish unsubscribe rpc presence presence_stats history refresh sub_refresh send")
	frames   = append(strings.Fields("server_ping client_pong push_connect push_subscribe push_publication push_join push_leave "+
		"push_unsubscribe push_message push_refresh push_disconnect"), commands...)
)

func TestMetricsFromTheStart(t *testing.T) {
	i := start(t, everything)
	m := i.metrics()
	var want []string
	for _, kind := range frames {
		for _, name := range []string{"sent", "sent_size", "received"} {
			want = append(want, `centrifugo_transport_messages_`+name+`{channel_namespace="",frame_type="`+kind+`",transport="websocket"}`)
		}
	}
	for _, command := range commands {
		labels := `{channel_namespace="",method="` + command + `"}`
		want = append(want, "centrifugo_client_command_duration_seconds_count"+labels,
			"centrifugo_client_command_duration_seconds_histogram_count"+labels)
	}
	for _, name := range []string{"num_clients", "num_users", "num_subscriptions", "num_channels", "client_connection_limit"} {
		want = append(want, "centrifugo_node_"+name)
	}
	want = append(want, `centrifugo_node_messages_sent_count{channel_namespace="",type="publication"}`)
	for _, kind := range []string{"publication", "join", "leave", "control"} {
		want = append(want, `centrifugo_node_messages_received_count{channel_namespace="",type="`+kind+`"}`)
	}
	for _, name := range want {
		if value, ok := m[name]; !ok || value != 0 {
			t.Errorf("%s: %v, exists: %v; want 0", name, value, ok)
		}
	}
	if m["centrifugo_node_num_nodes"] != 1 || m[`centrifugo_node_build{version="0.0.0 OSS"}`] != 1 {
		t.Errorf("nodes %v, build %v", m["centrifugo_node_num_nodes"], m[`centrifugo_node_build{version="0.0.0 OSS"}`])
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", `promhttp_metric_handler_requests_in_flight`} {
		if m[name] == 0 {
			t.Errorf("%s is missing", name)
		}
	}
}

func TestMetricsCount(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "http_api": {"key": "k"}, "prometheus": {"enabled": true},
		"channel": {"without_namespace": {"join_leave": true, "force_push_join_leave": true, "history_size": 9, "history_ttl": "1m", "force_recovery": true}}`)
	c := i.connected(apptest.Dialer{})
	ask(t, c, `{"id":2,"subscribe":{"channel":"news"}}`)
	if join, err := c.Message(); err != nil || !strings.Contains(join, `"join"`) {
		t.Fatalf("%s, %v", join, err)
	}
	ask(t, c, `{"id":3,"presence":{"channel":"news"}}`) // not available: 108
	for _, body := range []string{`{"channel":"news","data":1}`, `{"channel":""}`} {
		i.request(http.MethodPost, i.external(), "/api/publish", body, "X-API-Key", "k")
	}
	if code := i.refusedWith("rubbish"); code != 3501 {
		t.Fatalf("closed with %d", code)
	}
	want := map[string]float64{
		"centrifugo_node_num_clients":       1,
		"centrifugo_node_num_users":         1,
		"centrifugo_node_num_subscriptions": 1,
		"centrifugo_node_num_channels":      1,
		`centrifugo_client_connections_inflight{accept_protocol="",client_name="unregistered",client_version="unregistered",transport="websocket"}`: 1,
		`centrifugo_client_subscriptions_inflight{channel_namespace="",client_name="unregistered"}`:                                                 1,
		`centrifugo_node_messages_sent_count{channel_namespace="",type="publication"}`:                                                              1,
		`centrifugo_node_messages_received_count{channel_namespace="",type="publication"}`:                                                          1,
		`centrifugo_node_messages_received_count{channel_namespace="",type="join"}`:                                                                 1,
		`centrifugo_client_command_duration_seconds_count{channel_namespace="",method="subscribe"}`:                                                 1,
		`centrifugo_client_command_duration_seconds_histogram_count{channel_namespace="",method="connect"}`:                                         1,
		`centrifugo_client_num_reply_errors{channel_namespace="",code="108",method="presence"}`:                                                     1,
		`centrifugo_client_num_server_disconnects{code="3501"}`:                                                                                     1,
		`centrifugo_client_subscriptions_accepted{channel_namespace="",client_name="unregistered"}`:                                                 1,
		`centrifugo_client_connections_accepted{accept_protocol="",client_name="unregistered",client_version="unregistered",transport="websocket"}`: 1,
		`centrifugo_transport_messages_sent{channel_namespace="",frame_type="push_publication",transport="websocket"}`:                              1,
		`centrifugo_transport_messages_received{channel_namespace="",frame_type="connect",transport="websocket"}`:                                   1,
		`centrifugo_api_command_duration_seconds_count{method="publish",protocol="http"}`:                                                           2,
		`centrifugo_api_command_duration_seconds_histogram_count{method="publish",protocol="http"}`:                                                 2,
		`centrifugo_api_command_errors_total{error="107",method="publish",protocol="http"}`:                                                         1,
	}
	var m apptest.Metrics
	if !apptest.Eventually(func() bool {
		m = i.metrics()
		for name, value := range want {
			if m[name] != value {
				return false
			}
		}
		return true
	}) {
		for name, value := range want {
			if m[name] != value {
				t.Errorf("%s: %v, want %v", name, m[name], value)
			}
		}
	}
}

// refusedWith sends a message on a new connection and returns the code it is
// closed with.
func (i *instance) refusedWith(message string) int {
	i.t.Helper()
	c := i.dial(apptest.Dialer{})
	if err := c.Text(message); err != nil {
		i.t.Fatal(err)
	}
	code, err := c.WaitClosed()
	if err != nil {
		i.t.Fatalf("after %q: %v", message, err)
	}
	return code
}

// The metrics in the result of info: server.md 8.
func TestInfoMetrics(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "http_api": {"key": "k"}, "node": {"name": "n1", "info_metrics_aggregate_interval": "300ms"}`)
	c := i.connected(apptest.Dialer{})
	for range 3 {
		if reply := ask(t, c, `{"id":2,"publish":{"channel":"x","data":1}}`); reply != `{"id":2,"publish":{}}` {
			t.Fatal(reply)
		}
	}
	info := func() (items map[string]float64, interval float64) {
		_, body := i.request(http.MethodPost, i.external(), "/api/info", `{}`, "X-API-Key", "k")
		var answer struct {
			Result struct {
				Nodes []struct {
					Name    string
					Metrics struct {
						Interval float64
						Items    map[string]float64
					}
				}
			}
		}
		if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.Result.Nodes) != 1 || answer.Result.Nodes[0].Name != "n1" {
			t.Fatalf("info: %s, %v", body, err)
		}
		return answer.Result.Nodes[0].Metrics.Items, answer.Result.Nodes[0].Metrics.Interval
	}
	const sent = "centrifugo.node.messages_sent_count.type.publication"
	seen := map[string]float64{}
	eventually(t, "publications in the metrics of info", func() bool {
		items, interval := info()
		if items != nil && interval != 0.3 {
			t.Fatalf("interval %v", interval)
		}
		maps.Copy(seen, items)
		return items[sent] == 3
	})
	for _, key := range []string{
		"centrifugo.node.num_clients",
		"centrifugo.client.command_duration_seconds.count.method.connect",
		"centrifugo.client.command_duration_seconds.sum.method.connect",
		"centrifugo.transport.messages_sent.frame_type.publish.transport.websocket",
		"centrifugo.node.build.version.0.0.0 OSS",
	} {
		if _, ok := seen[key]; !ok {
			t.Errorf("%s is missing in %v", key, slices.Sorted(maps.Keys(seen)))
		}
	}
	for key := range seen {
		if !strings.HasPrefix(key, "centrifugo.") || strings.Contains(key, "histogram") || strings.Contains(key, "namespace") {
			t.Errorf("%s does not belong there", key)
		}
	}
	// A counter has its increase since the last time, a gauge its value.
	eventually(t, "an interval without publications", func() bool {
		items, _ := info()
		return items[sent] == 0 && items["centrifugo.node.num_clients"] == 1 &&
			items["centrifugo.api.command_duration_seconds.count.method.info.protocol.http"] > 0
	})
}
