//go:build !race

package centrifuge_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"

	"centrifugo/centrifuge"
)

// subscriptionBytes measures the live heap of n subscriptions of one client,
// each to a channel of its own, per subscription and all in: the channel's name,
// what hub and broker keep, the client's set.
func subscriptionBytes(t *testing.T, n int, opts centrifuge.SubscribeOptions) (bytes, objects float64) {
	t.Helper()
	node, client, transport := connectCounting(t, centrifuge.Config{Lanes: 2, ChannelLimit: n, QueueSize: 1 << 20}, opts)
	before := liveHeap()
	for i := range n {
		client.Receive(fmt.Appendf(nil, `{"id":%d,"subscribe":{"channel":"room:%08d"}}`, i+2, i))
		<-transport.written
	}
	after := liveHeap()
	if got := len(client.Client().Channels()); got != n {
		t.Fatalf("%d subscriptions, want %d", got, n)
	}
	must(t, node.Shutdown(t.Context()))
	return float64(after.HeapAlloc-before.HeapAlloc) / float64(n), float64(after.HeapObjects-before.HeapObjects) / float64(n)
}

func liveHeap() (stats runtime.MemStats) {
	runtime.GC()
	runtime.GC() // the first one leaves what has finalizers, and pools
	runtime.ReadMemStats(&stats)
	return stats
}

// TestSubscriptionMemory: what a channel with one subscriber takes.
func TestSubscriptionMemory(t *testing.T) {
	for _, tc := range []struct {
		name string
		opts centrifuge.SubscribeOptions
		most float64
	}{
		{"plain", centrifuge.SubscribeOptions{}, 200},
		{"positioned", centrifuge.SubscribeOptions{Positioning: true}, 600},
		{"presence", centrifuge.SubscribeOptions{Presence: true}, 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bytes, objects := subscriptionBytes(t, 100_000, tc.opts)
			t.Logf("%.0f bytes in %.1f objects", bytes, objects)
			if bytes > tc.most {
				t.Errorf("%.0f bytes; want at most %.0f", bytes, tc.most)
			}
		})
	}
}

// TestConnectionMemory: what an idle connection takes beside its transport, with a handler
// that gives it a context.
func TestConnectionMemory(t *testing.T) {
	type key struct{}
	node, err := centrifuge.New(centrifuge.Config{Handlers: centrifuge.Handlers{
		Connecting: func(ctx context.Context, _ centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{
				Credentials: &centrifuge.Credentials{UserID: "u"}, Context: context.WithValue(ctx, key{}, 1),
			}, nil
		},
	}})
	must(t, err)
	must(t, node.Run())
	const connections, most = 10_000, 880
	before := liveHeap()
	transport := countingTransport{make(chan struct{}, 8)}
	for range connections {
		conn, err := node.Accept(t.Context(), transport)
		must(t, err)
		conn.Receive([]byte(`{"id":1,"connect":{}}`))
		<-transport.written
	}
	after := liveHeap()
	bytes := float64(after.HeapAlloc-before.HeapAlloc) / connections
	t.Logf("%.0f bytes in %.1f objects", bytes, float64(after.HeapObjects-before.HeapObjects)/connections)
	if bytes > most {
		t.Errorf("%.0f bytes; want at most %d", bytes, most)
	}
	must(t, node.Shutdown(t.Context()))
}
