package nametable

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
)

type element struct{ name string }

func (e *element) Name() string { return e.name }

// TestModel compares a table with a map. The few different hashes of some cases
// cause many collisions, and the highest hashes wrap around.
func TestModel(t *testing.T) {
	for _, hash := range []struct {
		name string
		of   func(key int) uint32
	}{
		{"spread", func(key int) uint32 { return uint32(key) * 2654435769 }}, //nolint:gosec // it may wrap
		{"few", func(key int) uint32 { return uint32(key%7) << 29 }},         //nolint:gosec // small
		{"one", func(int) uint32 { return 1<<32 - 1 }},
		{"zero", func(int) uint32 { return 0 }},
	} {
		t.Run(hash.name, func(t *testing.T) {
			seed := rand.Uint64()
			rnd := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // a reproducible test
			defer func() {
				if t.Failed() {
					t.Logf("seed %d", seed)
				}
			}()
			var table Table[*element]
			model := make(map[int]*element)
			keys := 300
			for step := range 20_000 {
				if step%2000 == 0 {
					keys = 1 + rnd.IntN(300) // the table grows and shrinks
				}
				key := rnd.IntN(300)
				name := fmt.Sprint(key)
				if key < keys && rnd.IntN(2) == 0 {
					model[key] = &element{name}
					table.PutHashed(model[key], hash.of(key))
				} else {
					delete(model, key)
					table.DeleteHashed(name, hash.of(key))
				}
				key = rnd.IntN(300)
				got, ok := table.GetHashed(fmt.Sprint(key), hash.of(key))
				if want := model[key]; got != want || ok != (want != nil) {
					t.Fatalf("step %d: GetHashed(%d) = %v, %v; want %v", step, key, got, ok, want)
				}
				if table.Len() != len(model) {
					t.Fatalf("step %d: Len() = %d; want %d", step, table.Len(), len(model))
				}
			}
			seen := 0
			table.Each(func(e *element) {
				seen++
				key := 0
				if _, err := fmt.Sscan(e.name, &key); err != nil || model[key] != e {
					t.Errorf("Each: %p for %q; want %p", e, e.name, model[key])
				}
			})
			if seen != len(model) {
				t.Errorf("Each: %d elements; want %d", seen, len(model))
			}
		})
	}
}

// TestPutReplaces: an element with a known name takes the slot of the other.
func TestPutReplaces(t *testing.T) {
	table := New[*element]()
	first, second := &element{"a"}, &element{"a"}
	table.Put(first)
	table.Put(second)
	if got, ok := table.Get("a"); got != second || !ok || table.Len() != 1 {
		t.Errorf("Get = %p, %v and Len = %d; want %p, true and 1", got, ok, table.Len(), second)
	}
	table.Delete("a")
	table.Delete("a")
	if got, ok := table.Get("a"); got != nil || ok || table.Len() != 0 {
		t.Errorf("Get = %p, %v and Len = %d after Delete; want nil, false and 0", got, ok, table.Len())
	}
}

// TestUnusedSlots: a table has few unused slots, and shrinks.
func TestUnusedSlots(t *testing.T) {
	table := New[*element]()
	const n = 100_000
	elements := make([]*element, n)
	for i := range elements {
		elements[i] = &element{fmt.Sprint(i)}
		table.Put(elements[i])
		if i >= minSize && table.Len()*100 < len(table.items)*58 {
			t.Fatalf("%d slots for %d elements; want at least 58 %% in use", len(table.items), table.Len())
		}
	}
	for i, e := range elements {
		table.Delete(e.name)
		if left := n - i - 1; len(table.items) > max(minSize, 5*left) {
			t.Fatalf("%d slots for %d elements after Delete; want at most %d", len(table.items), left, max(minSize, 5*left))
		}
	}
}

// set is what the benchmarks compare: a Table or a Go map.
type set interface {
	put(e *element)
	get(name string) bool
}

type tableSet struct{ t *Table[*element] }

func (s tableSet) put(e *element)       { s.t.Put(e) }
func (s tableSet) get(name string) bool { _, ok := s.t.Get(name); return ok }

type mapSet map[string]*element

func (s mapSet) put(e *element)       { s[e.name] = e }
func (s mapSet) get(name string) bool { return s[name] != nil }

var kinds = []struct {
	name string
	make func() set
}{
	{"table", func() set { return tableSet{New[*element]()} }},
	{"map", func() set { return mapSet{} }},
}

func elementsOf(n int) []*element {
	elements := make([]*element, n)
	for i := range elements {
		elements[i] = &element{fmt.Sprintf("room:%08d", i)}
	}
	return elements
}

// memoryOf returns the bytes per element that a set of n elements keeps, without
// the elements themselves.
func memoryOf(n int, make func() set) float64 {
	elements := elementsOf(n)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	s := make()
	for _, e := range elements {
		s.put(e)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(s)
	runtime.KeepAlive(elements)
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(n)
}

// TestMemory: a table takes less memory than a Go map at every size.
func TestMemory(t *testing.T) {
	sum := map[string]float64{}
	for n := 10_000; n < 40_000; n += 3_000 {
		for _, kind := range kinds {
			bytes := memoryOf(n, kind.make)
			sum[kind.name] += bytes
			if kind.name == "table" && bytes > 24 {
				t.Errorf("n = %d: %.1f bytes per element; want at most 24", n, bytes)
			}
		}
	}
	if sum["table"]*3 > sum["map"]*2 {
		t.Errorf("table %.1f, map %.1f bytes per element on average; want at most two thirds", sum["table"]/10, sum["map"]/10)
	}
	t.Logf("on average table %.1f, map %.1f bytes per element", sum["table"]/10, sum["map"]/10)
}

// BenchmarkMemory reports the memory of a table and of a Go map with the same
// elements.
func BenchmarkMemory(b *testing.B) {
	for _, n := range []int{9, 1000, 15_000, 100_000, 1_000_000} {
		for _, kind := range kinds {
			b.Run(fmt.Sprintf("%s/elements=%d", kind.name, n), func(b *testing.B) {
				bytes := 0.0
				for b.Loop() {
					bytes = memoryOf(n, kind.make)
				}
				b.ReportMetric(bytes, "B/element")
			})
		}
	}
}

func BenchmarkGet(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		for _, kind := range kinds {
			b.Run(fmt.Sprintf("%s/elements=%d", kind.name, n), func(b *testing.B) {
				s, elements := kind.make(), elementsOf(n)
				for _, e := range elements {
					s.put(e)
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					if i++; i == n {
						i = 0
					}
					if !s.get(elements[i].name) {
						b.Fatalf("element %q is not found; want it", elements[i].name)
					}
				}
			})
		}
	}
}
