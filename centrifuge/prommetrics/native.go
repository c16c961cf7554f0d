package prommetrics

import (
	"fmt"
	"time"

	"centrifugo/centrifuge"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// bothHistograms is a classic histogram that is a native one as well. The protobuf format
// has both, the text format has the classic one.
type bothHistograms struct {
	prometheus.Metric // the classic one
	native            prometheus.Metric
}

// withNative adds the native buckets of h to a classic histogram of it.
func withNative(metric prometheus.Metric, d *prometheus.Desc, h centrifuge.HistogramSnapshot, labels []string) prometheus.Metric {
	positive := make(map[int]int64, len(h.Native.Positive))
	for i, n := range h.Native.Positive {
		positive[i] = int64(n) //nolint:gosec // a count
	}
	return bothHistograms{metric, prometheus.MustNewConstNativeHistogram(d, h.Count, h.Sum, positive, nil, h.Native.Zero,
		centrifuge.NativeSchema, centrifuge.NativeZeroThreshold, time.Time{}, labels...)}
}

// Write implements prometheus.Metric.
func (b bothHistograms) Write(to *dto.Metric) error {
	var native dto.Metric
	if err := b.native.Write(&native); err != nil {
		return fmt.Errorf("native histogram: %w", err)
	}
	if err := b.Metric.Write(to); err != nil {
		return fmt.Errorf("classic histogram: %w", err)
	}
	h, n := to.GetHistogram(), native.GetHistogram()
	h.Schema, h.ZeroThreshold, h.ZeroCount = n.Schema, n.ZeroThreshold, n.ZeroCount
	h.PositiveSpan, h.PositiveDelta = n.PositiveSpan, n.PositiveDelta
	return nil
}
