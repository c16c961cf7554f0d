package centrifuge

import (
	"slices"
	"sync"
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
	sum     atomic.Uint64  // nanoseconds
	native  *nativeBuckets // nil without Config.NativeHistograms; static
}

// HistogramSnapshot is the state of a histogram at one moment.
type HistogramSnapshot struct {
	// Buckets counts the durations up to each of HistogramBounds(), cumulatively.
	Buckets [len(histogramBounds)]uint64
	Count   uint64
	Sum     float64 // seconds
	// Native has the same durations by narrower buckets, nil without Config.NativeHistograms.
	Native *NativeBuckets
}

func (h *histogram) observe(d time.Duration) {
	i, seconds := 0, d.Seconds()
	for i < len(histogramBounds) && seconds > histogramBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(max(d, 0))) //nolint:gosec // not negative
	if h.native != nil {
		h.native[nativeIndex(seconds)].Add(1)
	}
}

// add adds the counts of another one.
func (s *HistogramSnapshot) add(o HistogramSnapshot) {
	for i, n := range o.Buckets {
		s.Buckets[i] += n
	}
	s.Count += o.Count
	s.Sum += o.Sum
	s.Native = s.Native.plus(o.Native)
}

// countBounds are the upper bounds of a countHistogram's buckets (server.md 9).
var countBounds = [...]float64{0, 1, 2, 3, 5, 10, 20, 50, 100, 250, 500, 1000, 2000, 5000, 10000}

// CountBounds returns the upper bounds of the buckets of a CountSnapshot.
func CountBounds() []float64 { return slices.Clone(countBounds[:]) }

// countHistogram counts numbers. Its methods are safe for concurrent use.
type countHistogram struct {
	buckets [len(countBounds) + 1]atomic.Uint64
	sum     atomic.Uint64
}

// CountSnapshot is the state of numbers that were counted, at one moment.
type CountSnapshot struct {
	// Buckets counts the numbers up to each of CountBounds(), cumulatively.
	Buckets    [len(countBounds)]uint64
	Count, Sum uint64
}

// add adds the counts of another one.
func (s *CountSnapshot) add(o CountSnapshot) {
	for i, n := range o.Buckets {
		s.Buckets[i] += n
	}
	s.Count += o.Count
	s.Sum += o.Sum
}

func (h *countHistogram) observe(n int) {
	i := 0
	for i < len(countBounds) && float64(n) > countBounds[i] {
		i++
	}
	h.buckets[i].Add(1)
	h.sum.Add(uint64(max(n, 0))) //nolint:gosec // not negative
}

func (h *countHistogram) snapshot() (s CountSnapshot) {
	for i := range h.buckets {
		s.Count += h.buckets[i].Load()
		if i < len(s.Buckets) {
			s.Buckets[i] = s.Count
		}
	}
	s.Sum = h.sum.Load()
	return s
}

// snapshot reads the counts. The native buckets are read first, so that they have no duration
// that the others do not have.
func (h *histogram) snapshot() (s HistogramSnapshot) {
	s.Native = h.native.snapshot()
	for i := range h.buckets {
		s.Count += h.buckets[i].Load()
		if i < len(s.Buckets) {
			s.Buckets[i] = s.Count
		}
	}
	s.Sum = time.Duration(h.sum.Load()).Seconds() //nolint:gosec // 292 years
	if s.Native != nil {
		s.Count = s.Native.count()
		for i := range s.Buckets {
			s.Buckets[i] = min(s.Buckets[i], s.Count)
		}
	}
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

const (
	// maxHistograms bounds the names of a namedHistograms.
	maxHistograms = 100
	// otherName is what the others are counted under.
	otherName = "other"
)

// namedHistograms are histograms by a name that an application chooses. It is safe for
// concurrent use.
type namedHistograms struct {
	native bool // static

	// Guarded by mu, which is a leaf.
	mu     sync.Mutex
	byName map[string]*histogram
}

func (n *namedHistograms) observe(name string, d time.Duration) { n.of(name).observe(d) }

func (n *namedHistograms) of(name string) *histogram {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.byName == nil {
		n.byName = make(map[string]*histogram)
	}
	if n.byName[name] == nil && len(n.byName) >= maxHistograms {
		name = otherName
	}
	h := n.byName[name]
	if h == nil {
		h = new(histogram)
		h.prepare(n.native)
		n.byName[name] = h
	}
	return h
}

func (n *namedHistograms) snapshot() map[string]HistogramSnapshot {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make(map[string]HistogramSnapshot, len(n.byName))
	for name, h := range n.byName {
		all[name] = h.snapshot()
	}
	return all
}
