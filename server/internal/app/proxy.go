package app

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/metadata"

	"centrifugo/server/internal/config"
	"centrifugo/server/internal/middleware"
	"centrifugo/server/internal/proxy"
	"centrifugo/server/internal/proxygrpc"
)

// newProxies makes the proxies of the configuration. A reload does not change them
// (server.md 6.8).
func (a *App) newProxies() (*proxyMetrics, error) {
	m := newProxyMetrics(a.config.Prometheus.NativeHistograms)
	var err error
	a.proxies, err = proxy.NewSet(proxySections(a.config), proxy.Options{
		GRPC: dialProxy, Log: a.log, Observe: m.observe, Trace: a.traceProxy(),
		Headers: middleware.HeadersFrom, Metadata: incomingMetadata,
	})
	if err != nil {
		return nil, err //nolint:wrapcheck // it names the key
	}
	m.proxies = a.proxies
	return m, nil
}

func dialProxy(c config.Proxy) (proxy.Carrier, error) {
	t, err := c.GRPC.TLS.Client()
	if err != nil {
		return nil, fmt.Errorf("grpc.tls: %w", err)
	}
	return proxygrpc.Dial(c, t) //nolint:wrapcheck // says everything
}

func proxySections(c *config.Config) proxy.Sections {
	return proxy.Sections{Client: c.Client.Proxy, Channel: c.Channel.Proxy, RPC: c.RPC.Proxy, Named: c.Proxies}
}

// incomingMetadata returns the metadata of the gRPC call that opened a connection.
func incomingMetadata(ctx context.Context) map[string][]string {
	md, _ := metadata.FromIncomingContext(ctx)
	return md
}

// proxyMetrics are the metrics of proxies (server.md 9). It implements prometheus.Collector.
type proxyMetrics struct {
	proxies   *proxy.Set
	summary   *prometheus.SummaryVec // nil with native histograms
	histogram *prometheus.HistogramVec
	errors    *prometheus.CounterVec
}

var (
	proxyInFlight = desc("proxy_inflight_requests", "Calls of proxies that are being made.", "protocol", "type", "name")
	proxyLimit    = desc("proxy_limit", "Calls that a proxy makes at most at the same time: the limit in force.", "proxy")
	proxyQueued   = desc("proxy_queued_requests", "Calls of a proxy that wait for the limit.", "proxy")
	proxyBreaker  = desc("proxy_breaker_state", "1 for the state that the breaker of a proxy has, otherwise 0.", "proxy", "state")
	proxyOpened   = desc("proxy_breaker_opened_count", "How often the breaker of a proxy has opened.", "proxy")
	proxyRefused  = desc("proxy_refused_count", "Calls of a proxy that were not made, to protect the backend.", "proxy", "reason")
)

func newProxyMetrics(native bool) *proxyMetrics {
	const help = "Time taken by calls of proxies, without the wait for the limit."
	m := &proxyMetrics{
		histogram: newDurations(prometheus.HistogramOpts{Name: "centrifugo_proxy_duration_seconds_histogram", Help: help}, native, "protocol", "type", "name"),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "centrifugo_proxy_errors", Help: "Calls of proxies that brought no usable answer.",
		}, []string{"protocol", "type", "name"}),
	}
	if !native {
		m.summary = prometheus.NewSummaryVec(prometheus.SummaryOpts{
			Name: "centrifugo_proxy_duration_seconds", Help: help, Objectives: map[float64]float64{0.5: 0.05, 0.99: 0.001, 0.999: 0.0001},
		}, []string{"protocol", "type", "name"})
	}
	return m
}

// observe counts a call.
func (m *proxyMetrics) observe(o proxy.Observation) {
	labels := []string{o.Protocol, o.Event.String(), o.Name}
	if m.summary != nil {
		m.summary.WithLabelValues(labels...).Observe(o.Duration.Seconds())
	}
	m.histogram.WithLabelValues(labels...).Observe(o.Duration.Seconds())
	if o.Failed {
		m.errors.WithLabelValues(labels...).Inc()
	}
}

// Describe implements prometheus.Collector.
func (m *proxyMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{proxyInFlight, proxyLimit, proxyQueued, proxyBreaker, proxyOpened, proxyRefused} {
		to <- d
	}
	if m.summary != nil {
		m.summary.Describe(to)
	}
	m.histogram.Describe(to)
	m.errors.Describe(to)
}

// Collect implements prometheus.Collector.
func (m *proxyMetrics) Collect(to chan<- prometheus.Metric) {
	if m.summary != nil {
		m.summary.Collect(to)
	}
	m.histogram.Collect(to)
	m.errors.Collect(to)
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	counter := func(d *prometheus.Desc, value uint64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	for s := range m.proxies.Stats() {
		for e, n := range s.InFlight {
			gauge(proxyInFlight, float64(n), s.Protocol, e.String(), s.Name)
		}
		gauge(proxyLimit, float64(s.Limit), s.Key)
		gauge(proxyQueued, float64(s.Waiting), s.Key)
		for _, state := range proxy.BreakerStates() {
			is := 0.0
			if state == s.Breaker {
				is = 1
			}
			gauge(proxyBreaker, is, s.Key, state)
		}
		counter(proxyOpened, s.Opened, s.Key)
		for reason, n := range s.Refused {
			counter(proxyRefused, n, s.Key, reason)
		}
	}
}
