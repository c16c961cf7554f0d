package eventloop

import (
	"bytes"
	"context"
	"io"
	"math"
	"runtime"
	"runtime/metrics"
	"runtime/trace"
	"sync"
	"testing"
)

// BenchmarkGCPauses measures how long the garbage collector waits until the program has
// stopped, while a writer for each processor and two more write to sockets all the time.
// Raw and scheduled writes alternate, so that the load of the machine changes both. An
// operation is a round of 50 collections with each.
//
//	go test -run '^$' -bench GCPauses -benchtime 5x ./centrifuge/internal/eventloop
func BenchmarkGCPauses(b *testing.B) {
	kinds := []*pauses{{name: "raw"}, {name: "scheduled", scheduled: true}}
	for b.Loop() {
		for _, k := range kinds {
			k.round(b)
		}
	}
	for _, k := range kinds {
		b.ReportMetric(k.quantile(0.50)*1e6, k.name+"-p50-µs")
		b.ReportMetric(k.quantile(0.99)*1e6, k.name+"-p99-µs")
	}
}

// pauses is the distribution of times until the program has stopped.
type pauses struct {
	name      string
	scheduled bool
	buckets   []float64
	counts    []uint64
}

func (p *pauses) round(b *testing.B) {
	l, err := New(Config{ScheduledWrites: p.scheduled})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var writers, readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) + 2 {
		server, client := pair(b)
		r := newRecorder()
		if r.socket, err = l.Add(server, r); err != nil {
			b.Fatal(err)
		}
		if err := r.socket.Start(nil); err != nil {
			b.Fatal(err)
		}
		readers.Go(func() { _, _ = io.Copy(io.Discard, client) })
		writers.Go(func() {
			message := make([]byte, 256)
			for ctx.Err() == nil {
				if n, err := r.socket.Write(message); err != nil {
					b.Error(err)
					return
				} else if n < len(message) {
					runtime.Gosched() // the reader is behind
				}
			}
		})
	}
	before := p.read(b)
	for range 50 {
		runtime.GC()
	}
	after := p.read(b)
	cancel()
	writers.Wait()
	l.Close()
	readers.Wait()
	if p.counts == nil {
		p.buckets, p.counts = after.Buckets, make([]uint64, len(after.Counts))
	}
	for i := range after.Counts {
		p.counts[i] += after.Counts[i] - before.Counts[i]
	}
}

func (p *pauses) read(b *testing.B) metrics.Float64Histogram {
	samples := []metrics.Sample{{Name: "/sched/pauses/stopping/gc:seconds"}}
	metrics.Read(samples)
	if samples[0].Value.Kind() != metrics.KindFloat64Histogram {
		b.Fatalf("%s is not a histogram of this Go release; want %v", samples[0].Name, metrics.KindFloat64Histogram)
	}
	h := samples[0].Value.Float64Histogram()
	return metrics.Float64Histogram{Buckets: h.Buckets, Counts: append([]uint64(nil), h.Counts...)}
}

// quantile returns the upper end of the bucket with the quantile, in seconds.
func (p *pauses) quantile(q float64) float64 {
	var total, seen uint64
	for _, n := range p.counts {
		total += n
	}
	for i, n := range p.counts {
		if seen += n; float64(seen) >= q*float64(total) && !math.IsInf(p.buckets[i+1], 0) {
			return p.buckets[i+1]
		}
	}
	return math.Inf(1)
}

// TestScheduledWrites: an execution trace shows the system calls that the scheduler knows
// of, with their stacks.
func TestScheduledWrites(t *testing.T) {
	for _, k := range []kind{plain, secure} {
		for _, scheduled := range []bool{false, true} {
			l := newLoop(t, Config{ScheduledWrites: scheduled})
			r := newRecorder()
			client := connect(t, l, k, r)
			start(t, r, "")
			var traced bytes.Buffer
			if err := trace.Start(&traced); err != nil {
				t.Fatal(err)
			}
			_, err := r.socket.Write([]byte("hello"))
			trace.Stop()
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, 5)
			if _, err := io.ReadFull(client, got); err != nil || string(got) != "hello" {
				t.Errorf("%s: read %q, %v; want hello", k.name, got, err)
			}
			if got := bytes.Contains(traced.Bytes(), []byte("eventloop.scheduledWrite")); got != scheduled {
				t.Errorf("%s: ScheduledWrites = %v, the scheduler knows of the write: %v; want %v", k.name, scheduled, got, scheduled)
			}
		}
	}
}
