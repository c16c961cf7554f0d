package admission

import (
	"math"
	"runtime/metrics"
	"time"
)

// latencies is the runtime's histogram of how long goroutines that could run have waited
// for a processor.
const latencies = "/sched/latencies:seconds"

// quantile of the waiting goroutines that counts as the delay: in a reconnect storm those
// that make connections are few beside those that wake up for a moment.
const quantile = 0.99

// delays measures how long goroutines wait for a processor. It is not safe for concurrent
// use.
type delays struct {
	samples []metrics.Sample
	before  []uint64 // counts of the histogram at the last sample
}

func newDelays() *delays {
	d := &delays{samples: []metrics.Sample{{Name: latencies}}}
	d.sample()
	return d
}

// sample returns the delay since the last call, zero if nothing has waited or the runtime
// has no such histogram.
func (d *delays) sample() time.Duration {
	metrics.Read(d.samples)
	if d.samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		return 0
	}
	h := d.samples[0].Value.Float64Histogram()
	if d.before == nil {
		d.before = make([]uint64, len(h.Counts))
	}
	return d.since(h.Counts, h.Buckets)
}

// since returns the quantile of what has been counted since the last call, rounded up to
// the bound of its bucket. buckets are the bounds, one more than there are counts.
func (d *delays) since(counts []uint64, buckets []float64) time.Duration {
	total := uint64(0)
	for i, n := range counts {
		total += n - d.before[i]
	}
	rank := uint64(math.Ceil(float64(total) * quantile))
	bound := 0.0
	for i, n := range counts {
		more := n - d.before[i]
		d.before[i] = n
		if rank == 0 {
			continue
		}
		if bound = buckets[i+1]; math.IsInf(bound, 1) {
			bound = buckets[i]
		}
		rank -= min(rank, more)
	}
	return time.Duration(bound * float64(time.Second))
}
