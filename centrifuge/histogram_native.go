package centrifuge

import (
	"maps"
	"math"
	"slices"
	"sync/atomic"
)

const (
	// NativeSchema is the schema of NativeBuckets in the terms of Prometheus: each bound is
	// 2^(1/8) times the one before, 9 % more.
	NativeSchema = 3
	// NativeZeroThreshold is the greatest duration that NativeBuckets.Zero counts, in seconds.
	NativeZeroThreshold = 1.0 / (1 << 20)
)

// NativeBuckets counts durations as the native histograms of Prometheus do.
type NativeBuckets struct {
	// Zero counts durations of at most NativeZeroThreshold.
	Zero uint64
	// Positive counts the others. The bucket i has those of more than 2^((i-1)/8) and at most
	// 2^(i/8) seconds, the last one, 96, also the longer ones. Empty buckets are absent.
	Positive map[int]uint64
}

// The indexes of the bucket for zero and of the last one.
const (
	nativeLowest  = -20 << NativeSchema
	nativeHighest = 12 << NativeSchema
)

// nativeBuckets count by the index of the bucket, less nativeLowest.
type nativeBuckets [nativeHighest - nativeLowest + 1]atomic.Uint64

// nativeBounds are the upper bounds of the buckets from 1/2 on, below 1.
var nativeBounds = func() (bounds [1 << NativeSchema]float64) {
	for i := range bounds {
		bounds[i] = math.Exp2(float64(i)/float64(len(bounds))) / 2
	}
	return bounds
}()

// nativeIndex returns the place of a duration in nativeBuckets.
func nativeIndex(seconds float64) int {
	if seconds <= NativeZeroThreshold {
		return 0
	}
	fraction, exponent := math.Frexp(seconds)
	i, _ := slices.BinarySearch(nativeBounds[:], fraction)
	return min((exponent-1)<<NativeSchema+i, nativeHighest) - nativeLowest
}

// prepare makes h count native buckets too. It is called before h is used.
func (h *histogram) prepare(native bool) {
	if native {
		h.native = new(nativeBuckets)
	}
}

func (b *nativeBuckets) snapshot() *NativeBuckets {
	if b == nil {
		return nil
	}
	s := &NativeBuckets{Zero: b[0].Load(), Positive: make(map[int]uint64)}
	for i := range b[1:] {
		if n := b[1+i].Load(); n > 0 {
			s.Positive[1+i+nativeLowest] = n
		}
	}
	return s
}

func (s *NativeBuckets) count() uint64 {
	sum := s.Zero
	for _, n := range s.Positive {
		sum += n
	}
	return sum
}

// plus returns the sum of two, each of which may be nil. It changes neither.
func (s *NativeBuckets) plus(o *NativeBuckets) *NativeBuckets {
	switch {
	case o == nil:
		return s
	case s == nil:
		return o
	}
	sum := &NativeBuckets{Zero: s.Zero + o.Zero, Positive: maps.Clone(s.Positive)}
	for i, n := range o.Positive {
		sum.Positive[i] += n
	}
	return sum
}
