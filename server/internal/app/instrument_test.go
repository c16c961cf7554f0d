package app

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"centrifugo/server/internal/app/apptest"
)

const requestsMetric = "node_incoming_http_requests_total"

// Each endpoint is counted under its own path, by method and status.
func TestRequestsAreCounted(t *testing.T) {
	settings := anonymous + `, "http_api": {"key": "k"}, "sse": {"enabled": true}, "health": {"enabled": true}, "prometheus": {"enabled": true, "instrument_http_handlers": true}`
	i := start(t, settings)
	i.connected(apptest.Dialer{})
	for _, asked := range []struct{ method, path, body string }{
		{"GET", "/health", ""}, {"GET", "/health", ""}, {"GET", "/connection/websocket", ""}, {"GET", "/connection/sse?cf_connect=%7B", ""},
		{"POST", "/api/publish", "{}"}, {"MADEUP", "/api/info", ""}, {"GET", "/nowhere", ""},
	} {
		i.request(asked.method, i.external(), asked.path, asked.body)
	}
	i.request("POST", i.external(), "/api/info", "{}", "X-API-Key", "k")
	i.awaitMetrics(map[string]float64{
		requestsMetric + `{method="GET",path="/health",status="200"}`:               2,
		requestsMetric + `{method="GET",path="/connection/websocket",status="101"}`: 1,
		requestsMetric + `{method="GET",path="/connection/sse",status="200"}`:       1,
		requestsMetric + `{method="GET",path="/connection/websocket",status="426"}`: 1,
		requestsMetric + `{method="POST",path="/api/",status="401"}`:                1,
		requestsMetric + `{method="POST",path="/api/",status="200"}`:                1,
		requestsMetric + `{method="other",path="/api/",status="405"}`:               1,
	})
	for name := range i.metrics() {
		if strings.Contains(name, "nowhere") || strings.Contains(name, "MADEUP") {
			t.Errorf("what is asked for becomes a label: %s; want no \"nowhere\" in it and no \"MADEUP\" in it", name)
		}
	}
}

func TestRequestsAreNotCountedUnasked(t *testing.T) {
	i := start(t, `"health": {"enabled": true}, "prometheus": {"enabled": true}`)
	i.request("GET", i.external(), "/health", "")
	if _, body := i.request("GET", i.external(), "/metrics", ""); strings.Contains(body, requestsMetric) {
		t.Errorf("requests are counted: got %v; want no %q in it", body, requestsMetric)
	}
}

// A handler that panics is counted as the 500 that it is answered with, and one that
// writes without a status as 200.
func TestInstrumentedStatus(t *testing.T) {
	for want, h := range map[string]http.HandlerFunc{
		"500": func(http.ResponseWriter, *http.Request) { panic("a bug") },
		"200": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(nil); w.WriteHeader(404) },
		"204": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); w.WriteHeader(204) },
	} {
		requests := newRequestCounter()
		func() {
			defer func() { _ = recover() }()
			instrumented(requests, "/x", h).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil))
		}()
		if !requests.DeleteLabelValues("/x", "GET", want) {
			t.Errorf("no request is counted as %s; want one", want)
		}
	}
}

// The metrics of the node that dashboards use.
func TestNodeMetrics(t *testing.T) {
	i := start(t, `"client": {"insecure": true}, "channel": {"without_namespace": {"presence": true, "history_size": 10, "history_ttl": "60s", "force_recovery": true}},
		"prometheus": {"enabled": true}`)
	c := i.connected(apptest.Dialer{})
	const subscribe, publish = `{"id":2,"subscribe":{"channel":"x"}}`, `{"id":3,"publish":{"channel":"x","data":1}}`
	ask(t, c, subscribe)
	ask(t, c, publish)
	const ws = `channel_namespace="",frame_type="`
	i.awaitMetrics(map[string]float64{
		`node_action_count{action="add_client",channel_namespace=""}`:                                                              1,
		`node_action_count{action="remove_client",channel_namespace=""}`:                                                           0,
		`node_action_count{action="add_subscription",channel_namespace=""}`:                                                        1,
		`node_action_count{action="broker_subscribe",channel_namespace=""}`:                                                        1,
		`node_action_count{action="add_presence",channel_namespace=""}`:                                                            1,
		`node_action_count{action="history_stream_top",channel_namespace=""}`:                                                      1,
		`node_action_count{action="history_recover",channel_namespace=""}`:                                                         0,
		`node_broadcast_duration_seconds_count{channel_namespace="",type="publication"}`:                                           1,
		`node_broadcast_duration_seconds_count{channel_namespace="",type="leave"}`:                                                 0,
		`node_pub_sub_lag_seconds_count`:                                                                                           0,
		`transport_messages_received_size{` + ws + `subscribe",transport="websocket"}`:                                             float64(len(subscribe)),
		`transport_messages_received_size{` + ws + `publish",transport="websocket"}`:                                               float64(len(publish)),
		`transport_messages_received_size{` + ws + `connect",transport="websocket"}`:                                               float64(len(`{"id":1,"connect":{}}`)),
		`client_connections_inflight{accept_protocol="",client_name="unnamed",client_version="unversioned",transport="websocket"}`: 1,
	})
	if err := c.Text(`{"id":4,"subscribe":{"channel":"x"}}` + "\n" + `{"id":5,"unsubscribe":{"channel":"x"}}`); err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
	i.awaitMetrics(map[string]float64{
		`node_action_count{action="remove_client",channel_namespace=""}`:                                                           1,
		`node_action_count{action="remove_subscription",channel_namespace=""}`:                                                     1,
		`node_action_count{action="broker_unsubscribe",channel_namespace=""}`:                                                      1,
		`node_action_count{action="remove_presence",channel_namespace=""}`:                                                         1,
		`client_connections_inflight{accept_protocol="",client_name="unnamed",client_version="unversioned",transport="websocket"}`: 0,
	})
}
