//go:build !race

package centrifuge_test

import (
	"context"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// quietTransport is a countingTransport that can stop telling.
type quietTransport struct {
	countingTransport
	quiet bool
}

// Write implements centrifuge.Transport.
func (t *quietTransport) Write(ctx context.Context, batch []*protocol.Encoded) (int, error) {
	if t.quiet {
		return 0, nil
	}
	return t.countingTransport.Write(ctx, batch)
}

// BenchmarkFanOut delivers a publication to a thousand connections, whose transports do
// nothing, on one lane.
func BenchmarkFanOut(b *testing.B) {
	for _, bench := range []struct {
		name   string
		config centrifuge.Config
	}{
		{"plain", centrifuge.Config{Lanes: 1}},
		{"labelled", centrifuge.Config{Lanes: 1, ChannelLabel: byNamespace}},
		{"sampled", centrifuge.Config{Lanes: 1, LatencySample: 100}},
		{"all sampled", centrifuge.Config{Lanes: 1, LatencySample: 1}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			const connections = 1000
			bench.config.Handlers = allow(centrifuge.SubscribeOptions{})
			node, err := centrifuge.New(bench.config)
			if err != nil {
				b.Fatal(err)
			}
			if err := node.Run(); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = node.Shutdown(context.Background()) }()
			ctx := centrifuge.SetCredentials(context.Background(), &centrifuge.Credentials{})
			written := make(chan struct{}, 8)
			for i := range connections {
				transport := &quietTransport{countingTransport: countingTransport{written}}
				conn, err := node.Accept(ctx, transport)
				if err != nil {
					b.Fatal(err)
				}
				for _, command := range []string{`{"id":1,"connect":{}}`, `{"id":2,"subscribe":{"channel":"a:b"}}`} {
					conn.Receive([]byte(command))
					<-written
				}
				transport.quiet = i < connections-1
			}
			data := []byte(`{"text":"a publication of some length, as they are"}`)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := node.Publish(ctx, "a:b", data, centrifuge.PublishOptions{}); err != nil {
					b.Fatal(err)
				}
				<-written // the last to subscribe is the last to be served
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/connections, "ns/delivery")
		})
	}
}
