package fanout

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"centrifugo/protocol"
)

// nullSink keeps nothing.
type nullSink struct{ ownerless }

func (nullSink) WriteFrames([]*protocol.Encoded) (int, error) { return 0, nil }
func (nullSink) Failed(error)                                 {}

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

// writingSink makes a system call for each frame.
type writingSink struct {
	ownerless
	file *os.File
}

func (s writingSink) WriteFrames(batch []*protocol.Encoded) (int, error) {
	for _, f := range batch {
		if _, err := s.file.Write(f.Bytes); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

func (writingSink) Failed(error) {}

// BenchmarkLanes: a lane for each core, and nothing beside them that needs one.
// The time of an operation is that of a delivery with a write of its own.
func BenchmarkLanes(b *testing.B) {
	for _, cores := range []int{1, 2, 4, 8} {
		if cores > runtime.NumCPU() {
			break
		}
		b.Run(fmt.Sprintf("cores=%d", cores), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(cores))
			const subscribers = 1000
			h := NewHub(cores)
			for i := range subscribers {
				file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
				if err != nil {
					b.Fatal(err)
				}
				defer func() { _ = file.Close() }()
				s := &testSubscriber{}
				s.out.Init(writingSink{file: file}, 0, 64, false)
				s.Out, s.Lane = &s.out, h.Lane(uint64(i)) //nolint:gosec // not negative
				s.join(h, "a")
				s.Open(false, 0, "")
			}
			pub := &protocol.Publication{Data: []byte(`{"x":1}`)}
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
				names[i] = fmt.Sprintf("chat:%08d", i)
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
	s := &testSubscriber{}
	s.out.Init(nullSink{}, 0, 64, false)
	b.ReportAllocs()
	for b.Loop() {
		s.Subscriber = Subscriber{Out: &s.out}
		s.join(h, "a")
		h.Remove(&s.Subscriber)
	}
	h.Close()
}

func addOpen(h *Hub, channel string) {
	s := &testSubscriber{}
	s.out.Init(nullSink{}, 0, 64, false)
	s.Out = &s.out
	s.join(h, channel)
	s.Open(false, 0, "")
}
