package fanout

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestFIFO against a slice, with what moving and growing may get wrong.
func TestFIFO(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var q fifo[*int]
		var want []*int
		for next := range 300 {
			if r.IntN(5) < 3 {
				items := make([]*int, r.IntN(7))
				for i := range items {
					n := next
					items[i] = &n
				}
				q.push(items...)
				want = append(want, items...)
			} else {
				n := r.IntN(q.len() + 1)
				q.drop(n)
				want = want[n:]
			}
			if q.len() != len(want) || !slices.Equal(q.front(), want) {
				t.Fatalf("%d items wait, want %d", q.len(), len(want))
			}
			for i, item := range q.items[:cap(q.items)] {
				if item != nil && (i < q.head || i >= len(q.items)) {
					t.Fatal("what was dropped is still held; want it released")
				}
			}
		}
	}
}

// TestFIFOKeepsItsMemory: a queue that moves on does not grow.
func TestFIFOKeepsItsMemory(t *testing.T) {
	var q fifo[int]
	q.push(make([]int, 100)...)
	for range 100_000 {
		q.push(1)
		q.drop(1)
	}
	if cap(q.items) > 512 {
		t.Errorf("capacity for %d items of which at most 101 waited; want at most 512", cap(q.items))
	}
}
