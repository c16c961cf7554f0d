package fanout

import (
	"fmt"
	"testing"

	"centrifugo/protocol"
)

// nullSink keeps nothing.
type nullSink struct{}

func (nullSink) WriteFrames([]*protocol.Frame) (int, error) { return 0, nil }
func (nullSink) Failed(error)                               {}

// BenchmarkDeliver: one lane walks over the subscribers of one channel; the
// time of an operation is that of a delivery.
func BenchmarkDeliver(b *testing.B) {
	for _, subscribers := range []int{1, 100, 1000, 16_000} {
		b.Run(fmt.Sprintf("subscribers=%d", subscribers), func(b *testing.B) {
			h := NewHub(1)
			for range subscribers {
				addOpen(h, "a")
			}
			pub := &protocol.Publication{Data: []byte(`{"x":1}`)}
			b.ReportAllocs()
			b.ResetTimer()
			for range max(1, b.N/subscribers) {
				h.Broadcast(&Push{Channel: "a", Pub: pub})
			}
			h.Close()
		})
	}
}

// BenchmarkChannels: a publication to one of many channels with one subscriber
// each, in turn. It should not grow with their number, beyond what caches miss.
func BenchmarkChannels(b *testing.B) {
	for _, channels := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("channels=%d", channels), func(b *testing.B) {
			h := NewHub(1)
			names := make([]string, channels)
			for i := range names {
				names[i] = fmt.Sprintf("room:%08d", i)
				addOpen(h, names[i])
			}
			pub := &protocol.Publication{Data: []byte(`{"x":1}`)}
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				h.Broadcast(&Push{Channel: names[i%channels], Pub: pub})
			}
			h.Close()
		})
	}
}

// BenchmarkAddRemove: a subscriber that comes to a channel of its own and goes.
func BenchmarkAddRemove(b *testing.B) {
	h := NewHub(2)
	s := &subscriber{}
	s.out.Init(nullSink{}, 0, 64, false)
	b.ReportAllocs()
	for b.Loop() {
		s.Sub = Sub{Out: &s.out}
		s.join(h, "a")
		h.Remove(&s.Sub)
	}
	h.Close()
}

func addOpen(h *Hub, channel string) {
	s := &subscriber{}
	s.out.Init(nullSink{}, 0, 64, false)
	s.Out = &s.out
	s.join(h, channel)
	s.Open(false, 0, "")
}
