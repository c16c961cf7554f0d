package app

import (
	"strconv"
	"sync"
	"time"

	"centrifugo/centrifuge"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// apiMetrics are those of calls of the server API. Calls may come by the hundred thousand a
// second, so a call finds its histogram without labels, and the quantiles of the summary are
// estimated from it when they are asked for. It is a prometheus.Collector.
type apiMetrics struct {
	durations *prometheus.HistogramVec
	errors    *prometheus.CounterVec
	summary   *prometheus.Desc // nil with native histograms
	of        sync.Map         // from callKind to prometheus.Observer
}

type callKind struct{ protocol, method string }

// apiQuantiles are those of the summary.
var apiQuantiles = [...]float64{0.5, 0.99, 0.999}

func newAPIMetrics(native bool) *apiMetrics {
	m := &apiMetrics{
		durations: newDurations(prometheus.HistogramOpts{
			Name: "centrifugo_api_command_duration_seconds_histogram", Help: "Time taken by calls of the server API.",
		}, native, "protocol", "method"),
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "centrifugo_api_command_errors_total", Help: "Calls of the server API answered with an error.",
		}, []string{"protocol", "method", "error"}),
	}
	if !native {
		m.summary = desc("api_command_duration_seconds", "Time taken by calls of the server API.", "protocol", "method")
	}
	return m
}

const (
	// maxNativeBuckets bounds the native buckets of a histogram. Beyond it they become wider.
	maxNativeBuckets = 160
	// nativeFactor is how much wider each native bucket of a histogram is than the one before,
	// as in the histograms of the node.
	nativeFactor = 1.1
)

// newDurations returns histograms of durations, which o names, with the bounds of those of the
// node and, with prometheus.native_histograms, native buckets.
func newDurations(o prometheus.HistogramOpts, native bool, labels ...string) *prometheus.HistogramVec {
	o.Buckets = centrifuge.HistogramBounds()
	if native {
		o.NativeHistogramBucketFactor, o.NativeHistogramZeroThreshold = nativeFactor, centrifuge.NativeZeroThreshold
		o.NativeHistogramMaxBucketNumber, o.NativeHistogramMinResetDuration = maxNativeBuckets, time.Hour
	}
	return prometheus.NewHistogramVec(o, labels)
}

// observe counts a call.
func (m *apiMetrics) observe(protocol, method string, d time.Duration, code uint32) {
	kind := callKind{protocol, method}
	durations, ok := m.of.Load(kind)
	if !ok {
		durations, _ = m.of.LoadOrStore(kind, m.durations.WithLabelValues(protocol, method))
	}
	durations.(prometheus.Observer).Observe(d.Seconds()) //nolint:forcetypeassert // the map holds nothing else
	if code != 0 {
		m.errors.WithLabelValues(protocol, method, strconv.FormatUint(uint64(code), 10)).Inc()
	}
}

// Describe implements prometheus.Collector.
func (m *apiMetrics) Describe(to chan<- *prometheus.Desc) {
	m.durations.Describe(to)
	m.errors.Describe(to)
	if m.summary != nil {
		to <- m.summary
	}
}

// Collect implements prometheus.Collector.
func (m *apiMetrics) Collect(to chan<- prometheus.Metric) {
	m.errors.Collect(to)
	m.durations.Collect(to)
	if m.summary == nil {
		return
	}
	m.of.Range(func(kind, durations any) bool {
		k := kind.(callKind) //nolint:forcetypeassert // the map holds nothing else
		var written dto.Metric
		metric, ok := durations.(prometheus.Metric)
		if !ok || metric.Write(&written) != nil { // a histogram is one, and cannot fail
			return true
		}
		h := written.GetHistogram()
		snapshot := centrifuge.HistogramSnapshot{Count: h.GetSampleCount(), Sum: h.GetSampleSum()}
		for i, bucket := range h.GetBucket() {
			snapshot.Buckets[i] = bucket.GetCumulativeCount()
		}
		quantiles := make(map[float64]float64, len(apiQuantiles))
		for _, q := range apiQuantiles {
			quantiles[q] = snapshot.Quantile(q)
		}
		to <- prometheus.MustNewConstSummary(m.summary, snapshot.Count, snapshot.Sum, quantiles, k.protocol, k.method)
		return true
	})
}
