package centrifuge

import (
	"sync/atomic"
	"time"
)

// HistogramBounds are the upper bounds of a Histogram's buckets, in seconds
// (server-interface section 9).
var HistogramBounds = [...]float64{
	0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
}

// Histogram counts durations. Its methods are safe for concurrent use.
type Histogram struct {
	buckets [len(HistogramBounds) + 1]atomic.Uint64
	sum     atomic.Uint64 // nanoseconds
}

// HistogramSnapshot is a Histogram's content at one moment.
type HistogramSnapshot struct {
	// Buckets counts the durations up to each of HistogramBounds, cumulatively.
	Buckets [len(HistogramBounds)]uint64
	Count   uint64
	Sum     float64 // seconds
}

func (h *Histogram) observe(d time.Duration) {
	i, seconds := 0, d.Seconds()
	for i < len(HistogramBounds) && seconds > HistogramBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(max(d, 0))) //nolint:gosec // not negative
}

// Snapshot reads the counts.
func (h *Histogram) Snapshot() (s HistogramSnapshot) {
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
			return lower + (HistogramBounds[i]-lower)*(rank-float64(below))/float64(upTo-below)
		}
		below, lower = upTo, HistogramBounds[i]
	}
	return lower
}
