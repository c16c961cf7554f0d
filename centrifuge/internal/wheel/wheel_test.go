package wheel

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"
)

// ownerFunc is an owner that calls a function.
type ownerFunc func(t *Timer, now time.Time)

func (f ownerFunc) Expired(t *Timer, now time.Time) { f(t, now) }

func TestTimerIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(Timer{}); size > 48 {
		t.Errorf("unsafe.Sizeof(Timer{}) = %d; want at most 48", size)
	}
}

func TestFiresOnTime(t *testing.T) {
	const tick = 10 * time.Millisecond
	for _, d := range []time.Duration{
		-time.Hour, 0, 1, tick, tick + 1, 64*tick - 1, 64 * tick, 65 * tick, time.Second, 25 * time.Second,
		4096 * tick, time.Hour, 720 * time.Hour, 100 * 365 * 24 * time.Hour,
	} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := New(tick, 1)
				defer w.Close()
				time.Sleep(3*time.Second + 7) // the current tick stays behind while no timer is set
				want := time.Now().Add(d)
				fired := make(chan time.Time)
				timer := Timer{Owner: ownerFunc(func(*Timer, time.Time) { fired <- time.Now() })}
				w.Set(&timer, d)
				late := (<-fired).Sub(want)
				if d < 0 {
					late += d
				}
				if late < 0 || late > tick {
					t.Errorf("fired %v after the deadline; want 0 to %v", late, tick)
				}
			})
		})
	}
}

func TestLongestDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Second, 1)
		defer w.Close()
		timer := Timer{Owner: ownerFunc(func(*Timer, time.Time) { t.Error("fired; want no call") })}
		time.Sleep(time.Minute)
		w.Set(&timer, math.MaxInt64)
		w.SetAt(&timer, time.Now().Add(math.MaxInt64))
		time.Sleep(time.Hour)
		if !w.Stop(&timer) {
			t.Error("Stop() = false; want true: the timer is set")
		}
	})
}

func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Millisecond, 1)
		defer w.Close()
		timer := Timer{Owner: ownerFunc(func(*Timer, time.Time) { t.Error("fired; want no call") })}
		if w.Stop(&timer) {
			t.Error("Stop() = true before Set; want false")
		}
		w.Set(&timer, time.Second)
		if !w.Stop(&timer) || w.Stop(&timer) {
			t.Error("Stop() twice; want true, then false")
		}
		time.Sleep(time.Minute)
	})
}

func TestCallbackMaySetAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Millisecond, 1)
		defer w.Close()
		var other Timer
		count := 0
		other.Owner = ownerFunc(func(*Timer, time.Time) { t.Error("fired though stopped; want no call") })
		timer := Timer{Owner: ownerFunc(func(t *Timer, now time.Time) {
			w.Stop(&other)
			if count++; count < 5 {
				w.SetAt(t, now.Add(time.Second))
			}
		})}
		w.Set(&other, time.Second) // the same slot; the list is last in, first out
		w.Set(&timer, time.Second)
		time.Sleep(time.Minute)
		synctest.Wait()
		if count != 5 {
			t.Errorf("fired %d times, want 5", count)
		}
	})
}

// TestShards: a callback that blocks delays only the timers of its shard, and the
// timers of all other shards fire at the same tick.
func TestShards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const shards, perShard = 4, 3
		w := New(time.Second, shards)
		release := make(chan struct{})
		blocked := Timer{Shard: 1, Owner: ownerFunc(func(*Timer, time.Time) { <-release })}
		w.Set(&blocked, time.Second)
		fired := make(chan time.Duration, shards*perShard)
		start := time.Now()
		timers := make([]Timer, shards*perShard)
		for i := range timers {
			timers[i].Shard = uint16(i + 100*shards) //nolint:gosec // small; it counts modulo the number of shards
			timers[i].Owner = ownerFunc(func(*Timer, time.Time) { fired <- time.Since(start) })
			w.Set(&timers[i], 1001*time.Millisecond+time.Duration(i))
		}
		if n, want := w.Len(), shards*perShard+1; n != want {
			t.Errorf("Len() = %d; want %d", n, want)
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n, want := len(fired), (shards-1)*perShard; n != want {
			t.Errorf("%d timers have fired; want the %d of the other shards", n, want)
		}
		for range len(fired) {
			if at := <-fired; at != 2*time.Second {
				t.Errorf("a timer fired after %v; want 2s", at)
			}
		}
		close(release)
		synctest.Wait()
		if n := len(fired); n != perShard {
			t.Errorf("%d timers have fired after the block; want %d", n, perShard)
		}
		w.Close()
	})
}

func TestNoWakeUpWhenNothingIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Millisecond, 1)
		defer w.Close()
		timer := Timer{Owner: ownerFunc(func(*Timer, time.Time) {})}
		w.Set(&timer, time.Hour)
		w.Stop(&timer)
		s := w.shards[0]
		s.mu.Lock()
		idle := s.wake == never && !s.sleep.Stop()
		s.mu.Unlock()
		if !idle {
			t.Error("the shard would wake up for a timer that was stopped; want it idle")
		}
	})
}

func TestCloseWaitsAndSilences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := New(time.Millisecond, 1)
		entered, leave := make(chan struct{}), make(chan struct{})
		var left atomic.Bool
		slow := Timer{Owner: ownerFunc(func(*Timer, time.Time) {
			close(entered)
			<-leave
			left.Store(true)
		})}
		other := Timer{Owner: ownerFunc(func(*Timer, time.Time) { t.Error("fired after Close; want no call") })}
		w.Set(&slow, time.Second)
		<-entered
		w.Set(&other, 0)
		go func() {
			time.Sleep(time.Second)
			close(leave)
		}()
		w.Close()
		if !left.Load() {
			t.Error("Close returned while a callback ran; want it to wait")
		}
		w.Set(&other, 0)
		w.Close()
		time.Sleep(time.Minute)
	})
}

// TestModel sets and stops timers at random and compares the calls of Expired with a
// list of deadlines.
func TestModel(t *testing.T) {
	for range 50 {
		seed := rand.Uint64()
		synctest.Test(t, func(t *testing.T) { runModel(t, seed) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

type modelTimer struct {
	Timer
	set      bool
	deadline time.Time
}

func runModel(t *testing.T, seed uint64) {
	const tick = 10 * time.Millisecond
	rnd := rand.New(rand.NewPCG(seed, 0))   //nolint:gosec // a reproducible test
	pause := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a reproducible test
	w := New(tick, 1+rnd.IntN(3))
	defer w.Close()
	var mu sync.Mutex // guards rnd and timers
	timers := make([]modelTimer, 40)
	fired := ownerFunc(func(timer *Timer, _ time.Time) {
		mu.Lock()
		defer mu.Unlock()
		m := (*modelTimer)(unsafe.Pointer(timer)) // the first field
		if !m.set {
			t.Error("fired though not set; want no call")
		}
		if late := time.Since(m.deadline); late < 0 || late > tick {
			t.Errorf("fired %v after the deadline; want 0 to %v", late, tick)
		}
		m.set = false
		if rnd.IntN(3) == 0 { // again, from the callback
			d := randomDuration(rnd)
			m.set, m.deadline = true, time.Now().Add(d)
			w.Set(timer, d)
		}
	})
	for i := range timers {
		timers[i].Owner, timers[i].Shard = fired, uint16(i) //nolint:gosec // small
	}
	for range 1000 {
		mu.Lock()
		m := &timers[rnd.IntN(len(timers))]
		switch rnd.IntN(4) {
		case 0:
			if stopped := w.Stop(&m.Timer); stopped != m.set {
				t.Errorf("Stop() = %v; want %v", stopped, m.set)
			}
			m.set = false
		default:
			d := randomDuration(rnd)
			m.set, m.deadline = true, time.Now().Add(d)
			w.Set(&m.Timer, d)
		}
		mu.Unlock()
		time.Sleep(time.Duration(pause.IntN(3)) * randomDuration(pause) / 16)
		synctest.Wait()
		mu.Lock()
		for i := range timers {
			if timers[i].set && time.Since(timers[i].deadline) > tick {
				t.Error("did not fire; want a call")
				timers[i].set = false
			}
		}
		mu.Unlock()
		if t.Failed() {
			return
		}
	}
}

// randomDuration spreads over all levels that matter.
func randomDuration(rnd *rand.Rand) time.Duration {
	return time.Duration(rnd.Int64N(int64(time.Millisecond) << rnd.IntN(24)))
}

func TestConcurrentUse(t *testing.T) {
	w := New(time.Millisecond, 2)
	defer w.Close()
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			var fired atomic.Int64
			done := make(chan struct{}, 1)
			owner := ownerFunc(func(*Timer, time.Time) {
				fired.Add(1)
				select {
				case done <- struct{}{}:
				default:
				}
			})
			timers := make([]Timer, 100)
			for i := range timers {
				timers[i].Owner, timers[i].Shard = owner, uint16(i) //nolint:gosec // small
			}
			for i := range 20_000 {
				timer := &timers[i%len(timers)]
				if i%3 == 0 {
					w.Stop(timer)
				} else {
					w.Set(timer, time.Duration(i%5)*time.Millisecond)
				}
			}
			w.Set(&timers[0], 0)
			<-done
			for i := range timers {
				w.Stop(&timers[i])
			}
		})
	}
	wg.Wait()
	if n := w.Len(); n != 0 {
		t.Errorf("Len() = %d at the end; want 0", n)
	}
}

func TestMillionTimers(t *testing.T) {
	const n = 1_000_000
	w := New(10*time.Millisecond, 1)
	defer w.Close()
	timers := make([]Timer, n)
	owner := ownerFunc(func(*Timer, time.Time) {})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range timers {
		timers[i].Owner = owner
		w.Set(&timers[i], time.Hour+time.Duration(i)*time.Microsecond)
	}
	runtime.ReadMemStats(&after)
	if w.Len() != n {
		t.Errorf("Len() = %d; want %d", w.Len(), n)
	}
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
		t.Errorf("setting a million timers allocated %d bytes; want at most 1 MiB", grown)
	}
	for i := range timers {
		w.Stop(&timers[i])
	}
	if w.Len() != 0 {
		t.Errorf("Len() = %d after Stop; want 0", w.Len())
	}
}
