package centrifuge

import (
	"slices"
	"sync/atomic"
	"time"
)

// histogramBounds are the upper bounds of a histogram's buckets, in seconds
// (server.md 9).
var histogramBounds = [...]float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// HistogramBounds returns the upper bounds of the buckets of a HistogramSnapshot, in
// seconds.
func HistogramBounds() []float64 { return slices.Clone(histogramBounds[:]) }

// histogram counts durations. Its methods are safe for concurrent use.
type histogram struct {
	buckets [len(histogramBounds) + 1]atomic.Uint64
	sum     atomic.Uint64 // nanoseconds
}

// HistogramSnapshot is the state of a histogram at one moment.
type HistogramSnapshot struct {
	// Buckets counts the durations up to each of HistogramBounds(), cumulatively.
	Buckets [len(histogramBounds)]uint64
	Count   uint64
	Sum     float64 // seconds
}

func (h *histogram) observe(d time.Duration) {
	i, seconds := 0, d.Seconds()
	for i < len(histogramBounds) && seconds > histogramBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(max(d, 0))) //nolint:gosec // not negative
}

// snapshot reads the counts.
func (h *histogram) snapshot() (s HistogramSnapshot) {
	for i := range h.buckets {
		s.Count += h.buckets[i].Load()
		if i < len(s.Buckets) {
			s.Buckets[i] = s.Count
		}
	}
	s.Sum = time.Duration(h.sum.Load()).Seconds() //nolint:gosec // 292 years
	return s
}

// Quantile estimates the q-th quantile in seconds by linear interpolation.
func (s HistogramSnapshot) Quantile(q float64) float64 {
	rank, below, lower := q*float64(s.Count), uint64(0), 0.0
	for i, upTo := range s.Buckets {
		if float64(upTo) >= rank && upTo > below {
			return lower + (histogramBounds[i]-lower)*(rank-float64(below))/float64(upTo-below)
		}
		below, lower = upTo, histogramBounds[i]
	}
	return lower
}
