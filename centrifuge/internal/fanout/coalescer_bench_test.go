package fanout

import (
	"fmt"
	"testing"
	"time"

	"centrifugo/protocol"
)

// discardSink takes everything.
type discardSink struct{ ownerless }

func (discardSink) WriteFrames([]*protocol.Encoded) (int, error) { return 0, nil }

func (discardSink) Failed(error) {}

// BenchmarkCoalescer shows what a push costs on its way to the subscribers of a
// channel, delivery included: straight from the hub, through a coalescer that
// gathers nothing or only other channels, and gathered.
func BenchmarkCoalescer(b *testing.B) {
	coalesced := func(size int, latest bool) *CoalesceOptions {
		return &CoalesceOptions{MaxDelay: 100 * time.Millisecond, MaxSize: size, FlushLatest: latest}
	}
	for _, c := range []struct {
		name        string
		direct      bool
		other, mine *CoalesceOptions
	}{
		{"hub", true, nil, nil},
		{"nothing coalesced", false, nil, nil},
		{"others coalesced", false, coalesced(10, false), nil},
		{"coalesced 10", false, nil, coalesced(10, false)},
		{"coalesced 100", false, nil, coalesced(100, false)},
		{"latest of 10", false, nil, coalesced(10, true)},
	} {
		for _, subscribers := range []int{0, 1, 100} {
			if subscribers == 0 && c.mine != nil {
				continue
			}
			b.Run(fmt.Sprintf("%s/subscribers=%d", c.name, subscribers), func(b *testing.B) {
				h := NewHub(1)
				coalescer := NewCoalescer(h)
				for range subscribers {
					s := newSubscriber(0, jsonFormat)
					s.out.Init(discardSink{}, 0, 64, false)
					if s.join(h, "a") && c.mine != nil {
						coalescer.Open("a", *c.mine)
					}
					s.Open(true, 0, "e")
				}
				if c.other != nil {
					coalescer.Open("b", *c.other)
				}
				broadcast := coalescer.Broadcast
				if c.direct {
					broadcast = h.Broadcast
				}
				pub := &protocol.Publication{Data: []byte(`{"x":1}`)}
				b.ReportAllocs()
				offset := uint64(0)
				for b.Loop() {
					offset++
					broadcast(&Push{Channel: "a", Pub: pub, Offset: offset, Epoch: "e"})
				}
				coalescer.Close()
				h.Close() // what waits is delivered
			})
		}
	}
}
