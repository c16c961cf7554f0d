package fanout

import (
	"testing"
	"time"

	"centrifugo/protocol"
)

// BenchmarkOutbox puts frames one by one and flushes once, to a sink that takes
// everything and costs nothing.
func BenchmarkOutbox(b *testing.B) {
	for _, c := range []struct {
		name   string
		frames int
	}{{"one", 1}, {"ten", 10}, {"hundred", 100}} {
		b.Run(c.name, func(b *testing.B) {
			var o Outbox
			o.Init(sinkFunc(func([]*protocol.Encoded) {}), 1<<20, 64, false)
			frames := make([]*protocol.Encoded, c.frames)
			for i := range frames {
				frames[i] = &protocol.Encoded{Bytes: make([]byte, 128)}
			}
			b.ReportAllocs()
			for b.Loop() {
				for _, f := range frames {
					o.Put(f)
				}
				o.Flush()
			}
		})
	}
}

// BenchmarkDelay flushes a thousand outboxes, all of which the delay writes.
func BenchmarkDelay(b *testing.B) {
	const many = 1000
	d := NewDelay(100 * time.Microsecond)
	defer d.Close()
	outs, written := make([]Outbox, many), make(chan struct{}, many)
	for i := range outs {
		outs[i].Init(sinkFunc(func([]*protocol.Encoded) { written <- struct{}{} }), 1<<20, 64, false)
		outs[i].Share(d, nil)
	}
	frame := &protocol.Encoded{Bytes: make([]byte, 128)}
	b.ReportAllocs()
	for b.Loop() {
		for i := range outs {
			outs[i].Put(frame)
			outs[i].Flush()
		}
		for range many {
			<-written
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/many, "ns/outbox")
}
