package wheel

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"
)

// The benchmarks compare the wheel with time.AfterFunc at what a connection does: it
// has one timer, which it sets again and again, mostly to a time that never comes.

// benchSizes are the numbers of timers.
var benchSizes = []int{1000, 100_000}

// noOwner ignores what expires.
type noOwner struct{}

func (noOwner) Expired(*Timer, time.Time) {}

// benchDelay spreads deadlines as pings do.
func benchDelay(i int) time.Duration { return 25*time.Second + time.Duration(i%1000)*time.Millisecond }

// setter makes n timers and returns a function that sets the one with this number.
type setter func(b *testing.B, n int) (set func(i int))

func wheelSetter(shards int) setter {
	return func(b *testing.B, n int) func(int) {
		w := New(250*time.Millisecond, shards)
		b.Cleanup(w.Close)
		timers := make([]Timer, n)
		for i := range timers {
			timers[i].Owner, timers[i].Shard = noOwner{}, uint16(i) //nolint:gosec // it may wrap
			w.Set(&timers[i], benchDelay(i))
		}
		return func(i int) { w.Set(&timers[i], benchDelay(i)) }
	}
}

func runtimeSetter(b *testing.B, n int) func(int) {
	timers := make([]*time.Timer, n)
	for i := range timers {
		timers[i] = time.AfterFunc(benchDelay(i), func() {})
	}
	b.Cleanup(func() {
		for _, t := range timers {
			t.Stop()
		}
	})
	return func(i int) { timers[i].Reset(benchDelay(i)) }
}

var setters = []struct {
	name string
	setter
}{
	{"wheel/shards=1", wheelSetter(1)},
	{"wheel/shards=procs", wheelSetter(runtime.GOMAXPROCS(0))},
	{"wheel/shards=8procs", wheelSetter(8 * runtime.GOMAXPROCS(0))},
	{"AfterFunc", runtimeSetter},
}

// eachSetter runs f for every setter and number of timers.
func eachSetter(b *testing.B, f func(b *testing.B, n int, set func(i int))) {
	for _, n := range benchSizes {
		for _, s := range setters {
			b.Run(fmt.Sprintf("%s/timers=%d", s.name, n), func(b *testing.B) {
				set := s.setter(b, n)
				b.ReportAllocs()
				b.ResetTimer()
				f(b, n, set)
			})
		}
	}
}

// BenchmarkSet: one goroutine sets one timer after the other.
func BenchmarkSet(b *testing.B) {
	eachSetter(b, func(b *testing.B, n int, set func(int)) {
		for i := range b.N {
			set(i * 7919 % n)
		}
	})
}

// BenchmarkSetParallel: one goroutine per processor.
func BenchmarkSetParallel(b *testing.B) {
	eachSetter(b, func(b *testing.B, n int, set func(int)) {
		var first atomic.Int64
		b.RunParallel(func(pb *testing.PB) {
			i := int(first.Add(int64(n / 3)))
			for pb.Next() {
				i++
				set(i * 7919 % n)
			}
		})
	})
}

// BenchmarkMemory reports the bytes of one timer: the embedded Timer, or the pointer to
// a time.Timer, the time.Timer and its closure.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	measure := func(b *testing.B, f func() (stop func())) {
		var bytes uint64
		for b.Loop() {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			stop := f()
			runtime.ReadMemStats(&after)
			stop()
			bytes = after.TotalAlloc - before.TotalAlloc // nothing of it is garbage
		}
		b.ReportMetric(float64(bytes)/n, "B/timer")
	}
	b.Run("wheel", func(b *testing.B) {
		measure(b, func() func() {
			w := New(time.Second, runtime.GOMAXPROCS(0))
			timers := make([]Timer, n)
			for i := range timers {
				timers[i].Owner, timers[i].Shard = noOwner{}, uint16(i) //nolint:gosec // it may wrap
				w.Set(&timers[i], time.Hour)
			}
			return w.Close
		})
	})
	b.Run("AfterFunc", func(b *testing.B) {
		measure(b, func() func() {
			timers := make([]*time.Timer, n)
			for i := range timers {
				timers[i] = time.AfterFunc(time.Hour, func() { timers[i].Stop() })
			}
			return func() {
				for _, t := range timers {
					t.Stop()
				}
			}
		})
	})
}
