package loadtest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramIsExactEnough(t *testing.T) {
	source := rand.New(rand.NewPCG(1, 1))
	var h Histogram
	var all []float64
	sum := 0.0
	for range 100_000 {
		v := math.Exp(source.Float64() * 27) // 1 ns to 9 minutes
		h.Record(time.Duration(v))
		all, sum = append(all, math.Floor(v)), sum+math.Floor(v)
	}
	slices.Sort(all)
	for _, q := range []float64{0, .01, .5, .9, .99, .999, .99999, 1} {
		want := all[min(int(q*float64(len(all))), len(all)-1)]
		if got := float64(h.Quantile(q)); math.Abs(got-want) > want*.005+.5 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	if got := float64(h.Mean()); math.Abs(got-sum/1e5) > sum/1e5*.001 {
		t.Errorf("mean %v, want %v", got, sum/1e5)
	}
}

func TestHistogramBuckets(t *testing.T) {
	last := -1
	for v := uint64(0); v < 1<<41; v = v + 1 + v/300 {
		b := bucketOf(v)
		if b < last || b >= buckets {
			t.Fatalf("%d is in bucket %d after %d; want a later one below %d", v, b, last, buckets)
		}
		if m := middle(b); math.Abs(m-float64(v)) > float64(v)*.004 {
			t.Fatalf("%d is in bucket %d, whose middle is %v; want at most %v", v, b, m, float64(v)*.004)
		}
		last = b
	}
	if b := bucketOf(math.MaxUint64); b != buckets-1 {
		t.Errorf("the longest is in bucket %d; want %v", b, buckets-1)
	}
}

func TestHistogramArithmetic(t *testing.T) {
	var a, b Histogram
	if a.Quantile(.5) != 0 || a.Mean() != 0 {
		t.Error("an empty histogram has values; want a.Quantile(.5) 0 and a.Mean() 0")
	}
	a.Record(time.Second)
	a.Record(-time.Second)
	before := a.Clone()
	b.Record(time.Minute)
	a.Add(&b)
	if a.Total != 3 || before.Total != 2 || before.Quantile(1) > 2*time.Second {
		t.Errorf("%d added, clone has %d; want 3, 2 and before.Quantile(1) at most %v", a.Total, before.Total, 2*time.Second)
	}
	a.Subtract(&before)
	if a.Total != 1 || a.Quantile(0) != b.Quantile(0) || a.Mean() != time.Minute {
		t.Errorf("difference: %d, %v, mean %v; want 1, %v, mean 1m0s", a.Total, a.Quantile(0), a.Mean(), b.Quantile(0))
	}
	a.Add(&Histogram{Counts: []uint64{1}}) // of another make
	if got := a.Total; got != 1 {
		t.Errorf("a histogram of another size was added: a.Total = %v; want 1", got)
	}
}
