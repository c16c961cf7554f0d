//go:build unix && !race

package trace

import (
	"context"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/memtest"
	"centrifugo/protocol"
)

// sink is a transport that keeps nothing, and tells of writes if written is set.
type sink struct{ written chan struct{} }

func (sink) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "sink", Generation: centrifuge.GenerationV2}
}

func (s *sink) Write(context.Context, []*protocol.Encoded) (int, error) {
	if s.written != nil {
		s.written <- struct{}{}
	}
	return 0, nil
}

func (sink) Ping() error          { return nil }
func (sink) Resume()              {}
func (sink) Close(uint32, string) {}

// BenchmarkDelivery delivers a publication to a thousand connections of one user, whose
// transports do nothing. It reports the CPU time of the process for one of them.
func BenchmarkDelivery(b *testing.B) {
	for _, bench := range []struct {
		name string
		rule Rule
	}{
		{"no trace", Rule{}},
		{"another channel", Rule{Channel: "b"}},
		{"the channel", Rule{Channel: "a"}},
		{"the user", Rule{User: "u"}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const connections = 1000
			traces, node := newTraces(b)
			ctx := centrifuge.SetCredentials(context.Background(), &centrifuge.Credentials{UserID: "u"})
			written := make(chan struct{}, 8)
			for i := range connections {
				transport := &sink{written}
				conn, err := node.Accept(ctx, transport)
				if err != nil {
					b.Fatal(err)
				}
				for _, command := range []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"a"}}`} {
					conn.Receive([]byte(command))
					<-written
				}
				if i < connections-1 {
					transport.written = nil
				}
			}
			if bench.rule != (Rule{}) {
				if err := traces.Start(bench.rule, 0, false); err != nil {
					b.Fatal(err)
				}
			}
			opts := centrifuge.PublishOptions{HistorySize: 10, HistoryTTL: time.Hour}
			data := []byte(`{"text":"a publication of some length, as they are"}`)
			b.ReportAllocs()
			before := memtest.CPU(b)
			for b.Loop() {
				if _, err := node.Publish(ctx, "a", data, opts); err != nil {
					b.Fatal(err)
				}
				<-written // the last to subscribe is the last to be served
			}
			b.ReportMetric(float64((memtest.CPU(b)-before).Nanoseconds())/float64(b.N)/connections, "cpu-ns/delivery")
		})
	}
}
