package app

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/prommetrics"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// metrics holds the metrics of the server: those of the node, the API and the listeners.
type metrics struct {
	registry        *prometheus.Registry
	apiSummary      *prometheus.SummaryVec
	apiHistogram    *prometheus.HistogramVec
	apiErrors       *prometheus.CounterVec
	connectionLimit prometheus.Counter
	refused         *prometheus.CounterVec
	requests        *prometheus.CounterVec // nil unless prometheus.instrument_http_handlers is on
}

func newMetrics(n *centrifuge.Node, version string, lostLines func() uint64) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		apiSummary: prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "centrifugo_api_command_duration_seconds", Help: "Time taken by calls of the server API.",
			Objectives: map[float64]float64{0.5: 0.05, 0.99: 0.001, 0.999: 0.0001},
		}, []string{"protocol", "method"}),
		apiHistogram: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "centrifugo_api_command_duration_seconds_histogram", Help: "Time taken by calls of the server API.",
			Buckets: centrifuge.HistogramBounds(),
		}, []string{"protocol", "method"}),
		apiErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "centrifugo_api_command_errors_total", Help: "Calls of the server API answered with an error.",
		}, []string{"protocol", "method", "error"}),
		connectionLimit: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "centrifugo_node_client_connection_limit", Help: "Connections refused by a limit.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "centrifugo_node_client_connections_refused_count", Help: "Connections refused with an HTTP status, 403 for their origin.",
		}, []string{"status"}),
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "centrifugo_log_lost_lines_count", Help: "Lines of the log that could not be written to log.file.",
	}, func() float64 { return float64(lostLines()) }))
	m.registry.MustRegister(
		m.apiSummary, m.apiHistogram, m.apiErrors, m.connectionLimit, m.refused, prommetrics.NewCollector(n, version+" OSS"),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
}

// observe counts a call of the server API.
func (m *metrics) observe(protocol, method string, d time.Duration, code uint32) {
	m.apiSummary.WithLabelValues(protocol, method).Observe(d.Seconds())
	m.apiHistogram.WithLabelValues(protocol, method).Observe(d.Seconds())
	if code != 0 {
		m.apiErrors.WithLabelValues(protocol, method, strconv.FormatUint(uint64(code), 10)).Inc()
	}
}

// aggregate sets the metrics that the method info of the API returns, once in each
// interval (server.md 8).
func (m *metrics) aggregate(ctx context.Context, n *centrifuge.Node, interval time.Duration) {
	if interval <= 0 {
		return
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	before := make(map[string]float64)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			families, err := m.registry.Gather()
			if err != nil {
				continue // the metrics endpoint returns the error
			}
			n.SetMetrics(&centrifuge.NodeMetrics{Interval: interval.Seconds(), Items: infoItems(families, before)})
		}
	}
}

// infoItems flattens metrics. The value of a counter is its increase since the last
// call; before holds the values of that call.
func infoItems(families []*dto.MetricFamily, before map[string]float64) map[string]float64 {
	items := make(map[string]float64)
	delta := func(key string, value float64) {
		items[key] = value - before[key]
		before[key] = value
	}
	for _, f := range families {
		name, ok := strings.CutPrefix(f.GetName(), "centrifugo_")
		if !ok {
			continue
		}
		name = "centrifugo." + strings.Replace(name, "_", ".", 1)
		for _, metric := range f.GetMetric() {
			labels := labelPath(metric.GetLabel())
			switch {
			case metric.GetCounter() != nil:
				delta(name+labels, metric.GetCounter().GetValue())
			case metric.GetGauge() != nil:
				items[name+labels] = metric.GetGauge().GetValue()
			case metric.GetSummary() != nil:
				delta(name+".count"+labels, float64(metric.GetSummary().GetSampleCount()))
				delta(name+".sum"+labels, metric.GetSummary().GetSampleSum())
			}
		}
	}
	return items
}

// labelPath returns ".label.value" for each label with a value, in their order.
func labelPath(labels []*dto.LabelPair) string {
	var path strings.Builder
	for _, l := range labels { // sorted by the registry
		if l.GetValue() != "" {
			path.WriteString("." + l.GetName() + "." + l.GetValue())
		}
	}
	return path.String()
}
