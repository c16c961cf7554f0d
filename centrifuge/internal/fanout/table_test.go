package fanout

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

type named struct{ name string }

// ChannelName implements Named.
func (n *named) ChannelName() string { return n.name }

// TestTableModel compares a table with a map. Few hashes make many collisions,
// and the highest ones wrap around.
func TestTableModel(t *testing.T) {
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
			var table Table[*named]
			model := make(map[int]*named)
			keys := 300
			for step := range 20_000 {
				if step%2000 == 0 {
					keys = 1 + rnd.IntN(300) // it grows and shrinks
				}
				key := rnd.IntN(300)
				name := fmt.Sprint(key)
				if key < keys && rnd.IntN(2) == 0 {
					model[key] = &named{name}
					table.put(model[key], hash.of(key))
				} else {
					delete(model, key)
					table.remove(name, hash.of(key))
				}
				key = rnd.IntN(300)
				if got, ok := table.get(fmt.Sprint(key), hash.of(key)); got != model[key] || ok != (model[key] != nil) {
					t.Fatalf("step %d: %d is %v, want %v", step, key, got, model[key])
				}
				if table.Len() != len(model) {
					t.Fatalf("step %d: length %d, want %d", step, table.Len(), len(model))
				}
			}
			seen := 0
			table.Each(func(n *named) {
				seen++
				key := 0
				if _, err := fmt.Sscan(n.name, &key); err != nil || model[key] != n {
					t.Errorf("%s is not what was put", n.name)
				}
			})
			if seen != len(model) {
				t.Errorf("%d elements, want %d", seen, len(model))
			}
		})
	}
}

// TestTableRoom: how much is unused, and that it is given back.
func TestTableRoom(t *testing.T) {
	table := NewTable[*named]()
	const n = 100_000
	names := make([]*named, n)
	for i := range names {
		names[i] = &named{fmt.Sprint(i)}
		table.Put(names[i])
		if i >= minTable && table.Len()*100 < len(table.items)*58 {
			t.Fatalf("room for %d elements is kept for %d", len(table.items), table.Len())
		}
	}
	for i, name := range names {
		table.Delete(name.name)
		if left := n - i - 1; len(table.items) > max(minTable, 5*left) {
			t.Fatalf("room for %d elements is kept for %d", len(table.items), left)
		}
	}
}

func BenchmarkTableGet(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("elements=%d", n), func(b *testing.B) {
			table := NewTable[*named]()
			names := make([]string, n)
			for i := range names {
				names[i] = fmt.Sprintf("room:%08d", i)
				table.Put(&named{names[i]})
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				if i++; i == n {
					i = 0
				}
				if _, ok := table.Get(names[i]); !ok {
					b.Fatal("not found")
				}
			}
		})
	}
}
