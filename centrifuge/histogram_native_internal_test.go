package centrifuge

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// TestNativeBuckets: each duration is in the bucket whose bounds are around it, and the sum of
// two histograms has the durations of both.
func TestNativeBuckets(t *testing.T) {
	durations := []time.Duration{-1, 0, 1, 953, 954, time.Microsecond, time.Millisecond, time.Second, 2 * time.Second, time.Hour, 100 * time.Hour}
	random := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		durations = append(durations, time.Duration(math.Exp(random.Float64()*30)))
	}
	var sum HistogramSnapshot
	for _, d := range durations {
		var h histogram
		h.prepare(true)
		h.observe(d)
		s := h.snapshot()
		if s.Count != 1 || s.Native.count() != 1 {
			t.Fatalf("%v: %d observations, %d in native buckets; want 1 and 1", d, s.Count, s.Native.count())
		}
		for i := range s.Native.Positive {
			lower, upper := math.Exp2(float64(i-1)/8), math.Exp2(float64(i)/8)
			if seconds := d.Seconds(); seconds <= lower || seconds > upper && i != 96 {
				t.Errorf("%v is in the bucket from %v to %v s; want one around it", d, lower, upper)
			}
		}
		if s.Native.Zero == 1 && d.Seconds() > NativeZeroThreshold {
			t.Errorf("%v is in the bucket for zero; want another one", d)
		}
		sum.add(s)
	}
	if want := uint64(len(durations)); sum.Count != want || sum.Native.count() != want {
		t.Errorf("the sum has %d observations, %d in native buckets; want %d", sum.Count, sum.Native.count(), want)
	}
	var without histogram
	without.observe(time.Second)
	if s := without.snapshot(); s.Native != nil || s.Count != 1 {
		t.Errorf("without native buckets: %+v; want none and one observation", s)
	}
}
