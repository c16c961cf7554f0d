//go:build !race

package fanout

import (
	"testing"

	"centrifugo/protocol"
)

// TestMergeAllocations: a hundred frames are put one by one and leave together.
// Their memory comes from a pool.
func TestMergeAllocations(t *testing.T) {
	for name, maxBatch := range map[string]int{"by 64": 64, "all at once": 100, "one by one": 1} {
		var o Outbox
		o.Init(sinkFunc(func([]*protocol.Encoded) {}), 1<<20, maxBatch, false)
		o.Share(nil, NewBudget(0))
		frames := make([]*protocol.Encoded, 100)
		for i := range frames {
			frames[i] = &protocol.Encoded{Bytes: make([]byte, 128)}
		}
		allocs := testing.AllocsPerRun(1000, func() {
			for _, f := range frames {
				o.Put(f)
			}
			o.Flush()
		})
		if allocs > 0 {
			t.Errorf("%s: %.1f allocations; want 0", name, allocs)
		}
		if o.one != nil || o.more != nil {
			t.Errorf("%s: an idle outbox holds %v, %v; want nothing", name, o.one, o.more)
		}
	}
}
