package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"centrifugo/internal/await"
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

// awaitMetrics waits until the server has the samples of want, without centrifugo_. Those
// with -1 must not be there.
func (i *instance) awaitMetrics(want map[string]float64) {
	i.t.Helper()
	var m apptest.Metrics
	different := func() map[string]float64 {
		m = i.metrics()
		rest := maps.Clone(want)
		maps.DeleteFunc(rest, func(name string, value float64) bool {
			got, there := m["centrifugo_"+name]
			return there && got == value || !there && value == -1
		})
		return rest
	}
	if !await.Reached(func() bool { return len(different()) == 0 }) {
		for name, value := range different() {
			got, there := m["centrifugo_"+name]
			i.t.Errorf("%s: %v, exists: %v; want %v", name, got, there, value)
		}
	}
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
		t.Errorf("nodes %v, build %v; want 1 and 1", m["centrifugo_node_num_nodes"], m[`centrifugo_node_build{version="0.0.0 OSS"}`])
	}
	for _, name := range []string{"go_goroutines", "process_open_fds", `promhttp_metric_handler_requests_in_flight`} {
		if m[name] == 0 {
			t.Errorf("%s is missing; want more than 0", name)
		}
	}
}

func TestMetricsCount(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "http_api": {"key": "k"}, "prometheus": {"enabled": true},
		"channel": {"without_namespace": {"join_leave": true, "force_push_join_leave": true, "history_size": 9, "history_ttl": "1m", "force_recovery": true}}`)
	c := i.connected(apptest.Dialer{})
	ask(t, c, `{"id":2,"subscribe":{"channel":"news"}}`)
	if join, err := c.Next(); err != nil || !strings.Contains(join, `"join"`) {
		t.Fatalf("%s, %v; want %q in it", join, err, `"join"`)
	}
	ask(t, c, `{"id":3,"presence":{"channel":"news"}}`) // not available: 108
	for _, body := range []string{`{"channel":"news","data":1}`, `{"channel":""}`} {
		i.request(http.MethodPost, i.external(), "/api/publish", body, "X-API-Key", "k")
	}
	if code := i.refusedWith("rubbish"); code != 3501 {
		t.Fatalf("closed with %d; want 3501", code)
	}
	i.awaitMetrics(map[string]float64{
		"node_num_clients":       1,
		"node_num_users":         1,
		"node_num_subscriptions": 1,
		"node_num_channels":      1,
		`client_connections_inflight{accept_protocol="",client_name="unnamed",client_version="unversioned",transport="websocket"}`: 1,
		`client_subscriptions_inflight{channel_namespace="",client_name="unnamed"}`:                                                1,
		`node_messages_sent_count{channel_namespace="",type="publication"}`:                                                        1,
		`node_messages_received_count{channel_namespace="",type="publication"}`:                                                    1,
		`node_messages_received_count{channel_namespace="",type="join"}`:                                                           1,
		`client_command_duration_seconds_count{channel_namespace="",method="subscribe"}`:                                           1,
		`client_command_duration_seconds_histogram_count{channel_namespace="",method="connect"}`:                                   1,
		`client_num_reply_errors{channel_namespace="",code="108",method="presence"}`:                                               1,
		`client_num_server_disconnects{code="3501"}`:                                                                               1,
		`client_subscriptions_accepted{channel_namespace="",client_name="unnamed"}`:                                                1,
		`client_connections_accepted{accept_protocol="",client_name="unnamed",client_version="unversioned",transport="websocket"}`: 1,
		`transport_messages_sent{channel_namespace="",frame_type="push_publication",transport="websocket"}`:                        1,
		`transport_messages_received{channel_namespace="",frame_type="connect",transport="websocket"}`:                             1,
		`api_command_duration_seconds_count{method="publish",protocol="http"}`:                                                     2,
		`api_command_duration_seconds_histogram_count{method="publish",protocol="http"}`:                                           2,
		`api_command_errors_total{error="107",method="publish",protocol="http"}`:                                                   1,
	})
}

// TestClientNames checks client_names and recovered_publications_histogram: connections by the
// names and versions of their clients, the pings of each transport, filtered publications.
func TestClientNames(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "http_api": {"insecure": true},
		"prometheus": {"enabled": true, "client_names": ["till"], "recovered_publications_histogram": true},
		"channel": {"without_namespace": {"history_size": 9, "history_ttl": "1m", "force_recovery": true, "allow_tags_filter": true}}`)
	var last *apptest.Conn
	for _, client := range []string{`"name":"js","version":"5.3.0"`, `"name":"js"`, `"name":"till","version":"1.0"`, `"name":"other","version":"1.0"`, `"name":"js","version":"{}"`} {
		last = i.dial(apptest.Dialer{})
		ask(t, last, `{"id":1,"connect":{`+client+`}}`)
	}
	for n := range 3 {
		i.api("publish", fmt.Sprintf(`{"channel":"x","data":%d}`, n))
	}
	var position struct {
		Subscribe struct{ Epoch string }
	}
	if err := json.Unmarshal([]byte(ask(t, last, `{"id":2,"subscribe":{"channel":"x"}}`)), &position); err != nil {
		t.Fatal(err)
	}
	ask(t, last, `{"id":3,"unsubscribe":{"channel":"x"}}`)
	ask(t, last, `{"id":4,"subscribe":{"channel":"x","recover":true,"epoch":"`+position.Subscribe.Epoch+`","offset":1,"tf":{"key":"k","cmp":"ex"}}}`)
	i.api("publish", `{"channel":"x","data":0}`)
	connections := func(name, version string) string {
		return `centrifugo_client_connections_inflight{accept_protocol="",client_name="` + name + `",client_version="` + version + `",transport="websocket"}`
	}
	for name, want := range map[string]float64{
		connections("js", "5.3.0"): 1, connections("js", "unversioned"): 1, connections("js", "unregistered"): 1, connections("till", "1.0"): 1,
		connections("unregistered", "unregistered"):                                 1,
		`centrifugo_client_recovered_publications_count{channel_namespace=""}`:      1,
		`centrifugo_node_tags_filter_dropped_publications{channel_namespace=""}`:    1,
		`centrifugo_client_ping_pong_duration_seconds_count{transport="websocket"}`: 0,
	} {
		await.Until(t, name, func() bool { got, there := i.metrics()[name]; return there && got == want })
	}
	_ = last.Close()
	await.Until(t, "a connection less", func() bool { return i.metrics()[connections("js", "unregistered")] == 0 })
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

// The metrics in the result of info: server.md 8.1.
func TestInfoMetrics(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "http_api": {"key": "k"}, "node": {"name": "n1", "info_metrics_aggregate_interval": "300ms"}`)
	c := i.connected(apptest.Dialer{})
	for range 3 {
		if reply := ask(t, c, `{"id":2,"publish":{"channel":"x","data":1}}`); reply != `{"id":2,"publish":{}}` {
			t.Fatalf("publishing: %s; want an empty reply", reply)
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
			t.Fatalf("info: %s, %v; want len(answer.Result.Nodes) 1 and answer.Result.Nodes[0].Name \"n1\"", body, err)
		}
		return answer.Result.Nodes[0].Metrics.Items, answer.Result.Nodes[0].Metrics.Interval
	}
	const sent = "centrifugo.node.messages_sent_count.type.publication"
	seen := map[string]float64{}
	await.Until(t, "publications in the metrics of info", func() bool {
		items, interval := info()
		if items != nil && interval != 0.3 {
			t.Fatalf("interval %v; want 0.3", interval)
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
			t.Errorf("the answer has %v; want %s", slices.Sorted(maps.Keys(seen)), key)
		}
	}
	for key := range seen {
		if !strings.HasPrefix(key, "centrifugo.") || strings.Contains(key, "histogram") || strings.Contains(key, "namespace") {
			t.Errorf("%s does not belong there; want prefix \"centrifugo.\", no \"histogram\" in it and no \"namespace\" in it", key)
		}
	}
	// A counter has its increase since the last time, a gauge its value.
	await.Until(t, "an interval without publications", func() bool {
		items, _ := info()
		return items[sent] == 0 && items["centrifugo.node.num_clients"] == 1 &&
			items["centrifugo.api.command_duration_seconds.count.method.info.protocol.http"] > 0
	})
}
