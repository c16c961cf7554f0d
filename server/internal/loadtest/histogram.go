package loadtest

import (
	"math/bits"
	"time"
)

// Every power of two is cut in 128, so that a value is known to within 0.4 %.
const (
	subBits = 7
	sub     = 1 << subBits
	buckets = 36 * sub // up to 2^42 ns, 73 minutes
)

// Histogram counts durations in buckets that grow with the duration. Its
// values are within 0.4 % of what was recorded. It is not safe for concurrent use.
type Histogram struct {
	Counts []uint64 // empty or one for each bucket
	Total  uint64
	Sum    float64 // nanoseconds
}

func bucketOf(ns uint64) int {
	if ns < sub {
		return int(ns)
	}
	e := bits.Len64(ns) - subBits - 1
	return min(e*sub+int(ns>>e), buckets-1) //nolint:gosec // below 2*sub
}

// middle of a bucket.
func middle(bucket int) float64 {
	if bucket < 2*sub {
		return float64(bucket)
	}
	e := bucket/sub - 1
	low := uint64(bucket-e*sub) << e //nolint:gosec // both are positive
	return float64(low) + float64(uint64(1)<<e-1)/2
}

// Record adds a duration; a negative one, when clocks disagree, counts as none.
func (h *Histogram) Record(d time.Duration) {
	if h.Counts == nil {
		h.Counts = make([]uint64, buckets)
	}
	d = max(d, 0)
	h.Counts[bucketOf(uint64(d))]++
	h.Total++
	h.Sum += float64(d)
}

// Add adds what another has counted.
func (h *Histogram) Add(o *Histogram) { h.combine(o, 1) }

// Subtract takes away what was counted before.
func (h *Histogram) Subtract(o *Histogram) { h.combine(o, ^uint64(0)) }

// combine adds o times factor, which is 1 or, in the arithmetic of uint64, -1.
func (h *Histogram) combine(o *Histogram, factor uint64) {
	if len(o.Counts) != buckets {
		return
	}
	if h.Counts == nil {
		h.Counts = make([]uint64, buckets)
	}
	for i, n := range o.Counts {
		h.Counts[i] += n * factor
	}
	h.Total += o.Total * factor
	if factor == 1 {
		h.Sum += o.Sum
	} else {
		h.Sum -= o.Sum
	}
}

// Clone returns a copy.
func (h *Histogram) Clone() Histogram {
	c := *h
	c.Counts = append([]uint64(nil), h.Counts...)
	return c
}

// Quantile returns the duration that a share q of all is not above, 0 when
// nothing was recorded.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Total == 0 {
		return 0
	}
	rank := min(uint64(q*float64(h.Total)), h.Total-1) // how many are before it
	var before uint64
	for i, n := range h.Counts {
		if before += n; before > rank {
			return time.Duration(middle(i))
		}
	}
	return 0
}

// Mean of what was recorded.
func (h *Histogram) Mean() time.Duration {
	if h.Total == 0 {
		return 0
	}
	return time.Duration(h.Sum / float64(h.Total))
}
