package telemetry

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/otlptest"

	"github.com/prometheus/client_golang/prometheus"
	spanpb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func started(t *testing.T) *Telemetry {
	t.Helper()
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "centrifugo_node_num_clients", Help: "h"})
	registry.MustRegister(gauge)
	s, err := Start(t.Context(), Options{Node: "n", Version: "1", Gatherer: registry, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return s
}

const (
	traceID = "4bf92f3577b34da6a3ce929d0e0e4736"
	parent  = "00-" + traceID + "-00f067aa0ba902b7-01"
)

// TestSpans checks that the steps of a call and of a publication are one trace.
func TestSpans(t *testing.T) {
	r := otlptest.Listen(t)
	s := started(t)
	ctx := s.Received(t.Context(), http.Header{"Traceparent": {parent}})
	ctx, called := s.Call(ctx, "http", "publish")
	ctx, published := s.Publish(ctx, "x", nil)
	s.FanOut(ctx, "x", nil)()
	published(errors.New("late"))
	called(107)
	headers := http.Header{"Traceparent": {"of the client"}}
	_, answered := s.ProxyCall(ctx, "rpc", "default", headers)
	answered(nil)
	// On another node only the tags tell.
	s.FanOut(context.Background(), "y", map[string]string{"traceparent": parent})()
	s.FanOut(context.Background(), "untraced", nil)()
	for child, of := range map[string]string{"publish": "api publish", "fan-out": "publish", "proxy rpc": "publish"} {
		await.Until(t, "spans", func() bool { return r.Span(child) != nil && r.Span(of) != nil })
		got := r.Span(child)
		if hex.EncodeToString(got.GetTraceId()) != traceID || hex.EncodeToString(got.GetParentSpanId()) != hex.EncodeToString(r.Span(of).GetSpanId()) {
			t.Errorf("%s: trace %x, parent %x; want %s, and span %s", child, got.GetTraceId(), got.GetParentSpanId(), traceID, of)
		}
	}
	if code := r.Span("api publish").GetStatus().GetCode(); code != spanpb.Status_STATUS_CODE_ERROR {
		t.Errorf("status of the call that failed: %v; want an error", code)
	}
	if want := "00-" + traceID + "-" + hex.EncodeToString(r.Span("proxy rpc").GetSpanId()) + "-01"; headers.Get("Traceparent") != want {
		t.Errorf("the backend gets %q, want %q", headers.Get("Traceparent"), want)
	}
	fanOuts := 0
	await.Until(t, "the fan-out of the other node", func() bool {
		fanOuts = 0
		for _, span := range r.Spans() {
			if span.GetName() == "fan-out" && hex.EncodeToString(span.GetTraceId()) == traceID {
				fanOuts++
			}
		}
		return fanOuts >= 2
	})
	if fanOuts != 2 {
		t.Errorf("%d fan-outs, want 2: one without trace context makes no span", fanOuts)
	}
}

func TestMetrics(t *testing.T) {
	t.Setenv("OTEL_METRICS_EXPORTER", "otlp")
	t.Setenv("OTEL_METRIC_EXPORT_INTERVAL", "20")
	r := otlptest.Listen(t)
	started(t)
	await.Until(t, "a metric", func() bool {
		return slices.Contains(r.Metrics(), "centrifugo_node_num_clients")
	})
}

func TestUnknownEnvironment(t *testing.T) {
	for _, name := range []string{"OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_EXPORTER_OTLP_PROTOCOL"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, "other")
			if _, err := Start(t.Context(), Options{Log: slog.New(slog.DiscardHandler)}); err == nil || !strings.Contains(err.Error(), name) {
				t.Errorf("error %v, want one that names %s", err, name)
			}
		})
	}
}
