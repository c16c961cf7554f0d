package fanout

import (
	"fmt"
	"testing"
	"time"

	"centrifugo/protocol"
)

// discardSink takes everything.
type discardSink struct{}

func (discardSink) WriteFrames([]*protocol.Encoded) (int, error) { return 0, nil }

func (discardSink) Failed(error) {}

// BenchmarkBatcher shows what a push costs on its way to the subscribers of a
// channel, delivery included: straight from the hub, through a batcher that
// gathers nothing or only other channels, and gathered.
func BenchmarkBatcher(b *testing.B) {
	gathered := func(size int, latest bool) *BatchOptions {
		return &BatchOptions{MaxDelay: 100 * time.Millisecond, MaxSize: size, Latest: latest}
	}
	for _, c := range []struct {
		name        string
		direct      bool
		other, mine *BatchOptions
	}{
		{"hub", true, nil, nil},
		{"nothing gathered", false, nil, nil},
		{"others gathered", false, gathered(10, false), nil},
		{"gathered 10", false, nil, gathered(10, false)},
		{"gathered 100", false, nil, gathered(100, false)},
		{"latest of 10", false, nil, gathered(10, true)},
	} {
		for _, subscribers := range []int{0, 1, 100} {
			if subscribers == 0 && c.mine != nil {
				continue
			}
			b.Run(fmt.Sprintf("%s/subscribers=%d", c.name, subscribers), func(b *testing.B) {
				h := NewHub(1)
				batcher := NewBatcher(h)
				for range subscribers {
					s := newSubscriber(0, jsonFormat)
					s.out.Init(discardSink{}, 0, 64, false)
					if s.join(h, "a") && c.mine != nil {
						batcher.Open("a", *c.mine)
					}
					s.Open(true, 0, "e")
				}
				if c.other != nil {
					batcher.Open("b", *c.other)
				}
				broadcast := batcher.Broadcast
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
				batcher.Close()
				h.Close() // what waits is delivered
			})
		}
	}
}
