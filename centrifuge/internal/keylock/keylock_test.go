package keylock

import (
	"runtime"
	"strconv"
	"sync"
	"testing"

	"centrifugo/internal/memtest"
)

func TestLockExcludesTheSameKey(t *testing.T) {
	l := New()
	var counts [4]int // each guarded by the lock of its own key
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 2000 {
				k := (worker + i) % len(counts)
				e := l.Lock(strconv.Itoa(k))
				counts[k]++
				e.Unlock()
			}
		})
	}
	wg.Wait()
	total := 0
	for _, n := range counts {
		total += n
	}
	if total != 8*2000 {
		t.Errorf("counted %d, want %d: two holders at once", total, 8*2000)
	}
	if n := l.Len(); n != 0 {
		t.Errorf("%d entries left; want 0", n)
	}
}

func TestLockWaitsAndOthersDoNot(t *testing.T) {
	l := New()
	held := l.Lock("a")
	l.Lock("b").Unlock()
	got := make(chan struct{})
	go func() {
		l.Lock("a").Unlock()
		close(got)
	}()
	for waiting(held) != 2 {
		runtime.Gosched()
	}
	select {
	case <-got:
		t.Error("second holder while the first holds; want one holder")
	default:
	}
	held.Unlock()
	<-got
}

// waiting counts the holder of e and those who wait for it.
func waiting(e *Entry) int {
	e.shard.mu.Lock()
	defer e.shard.mu.Unlock()
	return e.users
}

func TestLockDoesNotAllocate(t *testing.T) {
	l := New()
	if n := testing.AllocsPerRun(1000, func() { l.Lock("channel").Unlock() }); n != 0 {
		t.Errorf("%v allocations per call; want 0", n)
	}
}

func TestMemoryReturns(t *testing.T) {
	const n = 250_000
	l := New()
	before := memtest.Heap()
	entries := make([]*Entry, n)
	for i := range entries {
		entries[i] = l.Lock("channel" + strconv.Itoa(i))
	}
	during := memtest.Heap()
	for _, e := range entries {
		e.Unlock()
	}
	clear(entries)
	after := memtest.Heap()
	if during-before < 10<<20 {
		t.Fatalf("the locks took %d bytes; want at least %d, or the measurement is wrong", during-before, 10<<20)
	}
	if after-before > 1<<20 {
		t.Errorf("%d bytes left of %d; want at most %v", after-before, during-before, 1<<20)
	}
	runtime.KeepAlive(l)
}

func BenchmarkLock(b *testing.B) {
	l := New()
	keys := make([]string, 1024)
	for i := range keys {
		keys[i] = "channel" + strconv.Itoa(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Lock(keys[i%len(keys)]).Unlock()
	}
}

func TestTryLock(t *testing.T) {
	l := New()
	held := l.Lock("a")
	if _, ok := l.TryLock("a"); ok {
		t.Error("TryLock of a held key = true; want false")
	}
	b, ok := l.TryLock("b")
	if !ok {
		t.Fatal("TryLock of a free key = false; want true")
	}
	got := make(chan struct{})
	go func() {
		l.Lock("b").Unlock()
		close(got)
	}()
	for waiting(b) != 2 {
		runtime.Gosched()
	}
	b.Unlock()
	<-got
	held.Unlock()
	if n := l.Len(); n != 0 {
		t.Errorf("%d entries left; want 0", n)
	}
}

// TestDrain waits for those who hold a key or wait for it, not for later ones.
func TestDrain(t *testing.T) {
	l := New()
	l.Drain()
	first := l.Lock("a")
	second := make(chan *Entry)
	go func() { second <- l.Lock("a") }()
	for waiting(first) != 2 {
		runtime.Gosched()
	}
	drained := make(chan struct{})
	go func() {
		l.Drain()
		close(drained)
	}()
	for waiting(first) != 3 {
		runtime.Gosched()
	}
	l.Lock("b").Unlock()
	first.Unlock()
	next := <-second
	select {
	case <-drained:
		t.Error("drained while a key was held; want it to wait")
	default:
	}
	next.Unlock()
	<-drained
}
