package app

import (
	"context"
	"math"
	"net/http"
	"strings"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/prommetrics"
	"centrifugo/server/internal/admission"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
)

// metrics holds the metrics of the server: those of the node, the API and the listeners.
type metrics struct {
	registry        *prometheus.Registry
	api             *apiMetrics
	connectionLimit prometheus.Counter
	refused         *prometheus.CounterVec
	requests        *prometheus.CounterVec // nil unless prometheus.instrument_http_handlers is on
}

// newMetrics returns the metrics. Native says whether histograms are native ones too.
func newMetrics(registry *prometheus.Registry, n *centrifuge.Node, o prommetrics.Options, native bool, lostLines func() uint64) *metrics {
	m := &metrics{
		registry: registry,
		api:      newAPIMetrics(native),
		connectionLimit: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "centrifugo_node_client_connection_limit", Help: "Connections refused by a limit.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "centrifugo_node_client_connections_refused_count", Help: "Connections refused with an HTTP status, 403 for their origin, or with the name of a gRPC status.",
		}, []string{"status"}),
	}
	m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "centrifugo_log_lost_lines_count", Help: "Lines of the log that could not be written to log.file.",
	}, func() float64 { return float64(lostLines()) }))
	m.registry.MustRegister(
		m.api, m.connectionLimit, m.refused, prommetrics.NewCollector(n, o),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// channelLabel returns the function that finds the namespace of a channel by the current
// rules, or nil without prometheus.channel_namespaces. The node calls it only after it was
// started, when a.policy is set.
func (a *App) channelLabel() func(channel string) string {
	if a.config.Prometheus.ChannelNamespaces == 0 {
		return nil
	}
	return func(channel string) string {
		if ns, ok := a.policy.Rules().Namespace(channel); ok {
			return ns.Name
		}
		return ""
	}
}

// admissionMetrics are those of client.connection_max_delay, none if busy is nil.
func admissionMetrics(busy *admission.Controller) []prometheus.Collector {
	if busy == nil {
		return nil
	}
	return []prometheus.Collector{
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "centrifugo_node_connection_admission_rate", Help: "New connections per second that are admitted by client.connection_max_delay; 0 for any number, while the server is not busy.",
		}, func() float64 {
			rate, _ := busy.Limit()
			if math.IsInf(rate, 1) {
				return 0 // the method info answers in JSON, which has no infinity
			}
			return rate
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "centrifugo_node_scheduling_delay_seconds", Help: "How long work has waited for a processor in the last tenth of a second, 99th percentile.",
		}, func() float64 { _, delay := busy.Limit(); return delay.Seconds() }),
	}
}

func (m *metrics) handler() http.Handler {
	return promhttp.InstrumentMetricHandler(m.registry, promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{}))
}

// aggregate sets the metrics that the method info of the API returns, once in each
// interval (server.md 8.1).
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
