package app

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/promtest"
	"centrifugo/server/internal/app/apptest"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protodelim"
)

// protobufMetrics reads the metrics in the format that has native histograms.
func (i *instance) protobufMetrics() map[string]*dto.MetricFamily {
	i.t.Helper()
	status, body := i.request(http.MethodGet, i.internal(), "/metrics", "", "Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	if status != http.StatusOK {
		i.t.Fatalf("metrics: status %d; want 200", status)
	}
	families := make(map[string]*dto.MetricFamily)
	for r := strings.NewReader(body); ; {
		f := new(dto.MetricFamily)
		switch err := protodelim.UnmarshalFrom(r, f); {
		case errors.Is(err, io.EOF):
			return families
		case err != nil:
			i.t.Fatalf("metrics: %v", err)
		}
		families[f.GetName()] = f
	}
}

// nativeCount returns how many observations the native buckets of a histogram have.
func nativeCount(h *dto.Histogram) uint64 {
	count, bucket := h.GetZeroCount(), int64(0)
	for _, delta := range h.GetPositiveDelta() {
		bucket += delta
		count += uint64(bucket) //nolint:gosec // not negative
	}
	return count
}

// TestNativeHistograms: with prometheus.native_histograms the histograms of the node, of the
// API and of proxies have native buckets beside the classic ones, and there are no summaries.
// A real Prometheus reads them.
func TestNativeHistograms(t *testing.T) {
	t.Parallel()
	i := start(t, `"client": {"insecure": true}, "http_api": {"insecure": true}, "prometheus": {"enabled": true, "native_histograms": true},
		"rpc": {"proxy": {"endpoint": "http://127.0.0.1:1"}, "without_namespace": {"proxy_enabled": true}}`)
	c := i.connected(apptest.Dialer{})
	ask(t, c, `{"id":2,"subscribe":{"channel":"x"}}`)
	ask(t, c, `{"id":3,"rpc":{"method":"m","data":{}}}`)
	i.api("publish", `{"channel":"x","data":{}}`)
	var families map[string]*dto.MetricFamily
	for histogram, label := range map[string]string{
		"centrifugo_client_command_duration_seconds_histogram": "subscribe", "centrifugo_api_command_duration_seconds_histogram": "publish",
		"centrifugo_proxy_duration_seconds_histogram": "rpc", "centrifugo_node_broadcast_duration_seconds": "publication",
	} {
		var h *dto.Histogram
		await.Until(t, "an observation of "+histogram, func() bool {
			families = i.protobufMetrics()
			for _, m := range families[histogram].GetMetric() {
				for _, l := range m.GetLabel() {
					if l.GetValue() == label {
						h = m.GetHistogram()
					}
				}
			}
			return h.GetSampleCount() > 0
		})
		if h.Schema == nil || h.GetSchema() != 3 || nativeCount(h) != h.GetSampleCount() || len(h.GetBucket()) < 15 {
			t.Errorf("%s: %v; want schema 3, %d observations in native buckets, and classic ones", histogram, h, h.GetSampleCount())
		}
	}
	for name, f := range families {
		if f.GetType() == dto.MetricType_SUMMARY && strings.HasPrefix(name, "centrifugo_") {
			t.Errorf("%s is a summary; want none", name)
		}
	}
	if got := i.metrics()[`centrifugo_client_command_duration_seconds_histogram_count{channel_namespace="",method="subscribe"}`]; got != 1 {
		t.Errorf("%v observations in the text format; want 1", got)
	}
	p := promtest.Start(t, promtest.Options{Rules: alertsFile, Targets: []string{i.internal()}, Features: "native-histograms"})
	await.Until(t, "Prometheus to have the native histogram", func() bool {
		n, err := p.Query(`histogram_count(centrifugo_client_command_duration_seconds_histogram{method="subscribe"}) == 1`)
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
}
