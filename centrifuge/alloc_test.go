//go:build !race

package centrifuge_test

import (
	"context"
	"fmt"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// countingTransport tells of each write and keeps nothing.
type countingTransport struct{ written chan struct{} }

// Info implements centrifuge.Transport.
func (countingTransport) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "count", Generation: centrifuge.GenerationV2}
}

// Write implements centrifuge.Transport.
func (c countingTransport) Write(context.Context, []*protocol.Encoded) (int, error) {
	c.written <- struct{}{}
	return 0, nil
}

// Ping implements centrifuge.Transport.
func (countingTransport) Ping() error { return nil }

// Resume implements centrifuge.Transport.
func (countingTransport) Resume() {}

// Close implements centrifuge.Transport.
func (countingTransport) Close(uint32, string) {}

// connectCounting connects the only client of a node, which the caller shuts down.
func connectCounting(t *testing.T, config centrifuge.Config, opts centrifuge.SubscribeOptions) (*centrifuge.Node, *centrifuge.Conn, countingTransport) {
	t.Helper()
	node, err := centrifuge.New(config)
	must(t, err)
	node.Handle(allow(opts))
	must(t, node.Run())
	transport := countingTransport{make(chan struct{}, 8)}
	client, err := node.Accept(centrifuge.SetCredentials(t.Context(), &centrifuge.Credentials{}), transport)
	must(t, err)
	client.Receive([]byte(`{"id":1,"connect":{}}`))
	<-transport.written
	return node, client, transport
}

// TestPublishAllocations: from Node.Publish to the socket of one subscriber of a
// channel without history. Labels of channels and measured latencies add none.
func TestPublishAllocations(t *testing.T) {
	for name, config := range map[string]centrifuge.Config{
		"plain":    {Lanes: 1},
		"labelled": {Lanes: 1, ChannelLabel: byNamespace},
		"sampled":  {Lanes: 1, LatencySample: 1},
	} {
		t.Run(name, func(t *testing.T) {
			node, client, transport := connectCounting(t, config, centrifuge.SubscribeOptions{})
			client.Receive([]byte(`{"id":2,"subscribe":{"channel":"a:b"}}`))
			<-transport.written
			data, ctx := []byte(`{"x":1}`), context.Background()
			const frame = 2 // the Frame and its bytes
			allocs := testing.AllocsPerRun(500, func() {
				_, _ = node.Publish(ctx, "a:b", data, centrifuge.PublishOptions{})
				<-transport.written
			})
			t.Logf("%.1f allocations", allocs)
			if allocs > 4+frame {
				t.Errorf("%.1f allocations; want at most %d beside the frame", allocs, 4)
			}
			must(t, node.Shutdown(t.Context()))
		})
	}
}

// BenchmarkConnectServerSide measures a connect with 20 server-side subscriptions with the
// memory engine, and the end of the connection.
func BenchmarkConnectServerSide(b *testing.B) {
	subscriptions := make(map[string]centrifuge.SubscribeOptions)
	for i := range 20 {
		subscriptions[fmt.Sprint("c", i)] = centrifuge.SubscribeOptions{Presence: true, Positioning: true}
	}
	gone := make(chan struct{}, 1)
	node, err := centrifuge.New(centrifuge.Config{Handlers: centrifuge.Handlers{
		Connecting: func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}, Subscriptions: subscriptions}, nil
		},
		Disconnected: func(context.Context, centrifuge.DisconnectedEvent) { gone <- struct{}{} },
	}})
	if err != nil {
		b.Fatal(err)
	}
	if err := node.Run(); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = node.Shutdown(context.Background()) }()
	transport := countingTransport{make(chan struct{}, 8)}
	b.ReportAllocs()
	for b.Loop() {
		conn, err := node.Accept(context.Background(), transport)
		if err != nil {
			b.Fatal(err)
		}
		conn.Receive([]byte(`{"id":1,"connect":{}}`))
		<-transport.written
		conn.Closed(nil)
		<-gone
	}
}
