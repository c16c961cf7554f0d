package centrifuge_test

import (
	"context"
	"fmt"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/protocol"
)

// idleTransport discards what is written.
type idleTransport struct{}

// Info implements centrifuge.Transport.
func (idleTransport) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "idle", Generation: centrifuge.GenerationV2}
}

// Write implements centrifuge.Transport.
func (idleTransport) Write(context.Context, []*protocol.Encoded) (int, error) { return 0, nil }

// Ping implements centrifuge.Transport.
func (idleTransport) Ping() error { return nil }

// Resume implements centrifuge.Transport.
func (idleTransport) Resume() {}

// Close implements centrifuge.Transport.
func (idleTransport) Close(uint32, string) {}

// crowded returns a node with n anonymous connections, which have connected.
func crowded(b *testing.B, n int) (*centrifuge.Node, *centrifuge.Client) {
	b.Helper()
	connected := make(chan *centrifuge.Client)
	node, err := centrifuge.New(centrifuge.Config{PingInterval: -1})
	if err != nil {
		b.Fatal(err)
	}
	node.Handle(centrifuge.Handlers{Connected: func(_ context.Context, e centrifuge.ConnectedEvent) { connected <- e.Client }})
	if err := node.Run(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := node.Shutdown(context.Background()); err != nil {
			b.Error(err)
		}
	})
	ctx := centrifuge.SetCredentials(b.Context(), &centrifuge.Credentials{})
	var last *centrifuge.Client
	for range n {
		c, err := node.Accept(ctx, idleTransport{})
		if err != nil {
			b.Fatal(err)
		}
		c.Receive([]byte(`{"id":1,"connect":{}}`))
		last = <-connected
	}
	return node, last
}

// BenchmarkActOnClient measures a call that acts on one of many anonymous connections.
func BenchmarkActOnClient(b *testing.B) {
	for _, n := range []int{1_000, 50_000} {
		node, client := crowded(b, n)
		for name, target := range map[string]centrifuge.Target{
			"client":           {Client: client.ID()},
			"anonymous client": {Client: client.ID(), Anonymous: true},
		} {
			b.Run(fmt.Sprintf("%s of %d", name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := node.Unsubscribe(b.Context(), target, "none", centrifuge.UnsubscribeServer); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
