// Package transporttest has what the tests of several transports need: a node, and what is
// expected of the messages that a client receives.
package transporttest

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"centrifugo/centrifuge"
)

// WaitLimit bounds what a test waits for in one step; it only keeps a test from hanging.
const WaitLimit = 2 * time.Minute

// RunNode runs a node until the end of the test. Where config has no handler, everybody may
// connect, as user u, and subscribe, and an RPC returns its data.
func RunNode(t testing.TB, config centrifuge.Config) *centrifuge.Node {
	t.Helper()
	config.LogLevel = centrifuge.LogNone
	h := &config.Handlers
	if h.Connecting == nil {
		h.Connecting = func(context.Context, centrifuge.ConnectingEvent) (centrifuge.ConnectingReply, error) {
			return centrifuge.ConnectingReply{Credentials: &centrifuge.Credentials{UserID: "u"}}, nil
		}
	}
	if h.Subscribe == nil {
		h.Subscribe = func(context.Context, centrifuge.SubscribeEvent) (centrifuge.SubscribeReply, error) {
			return centrifuge.SubscribeReply{}, nil
		}
	}
	if h.RPC == nil {
		h.RPC = func(_ context.Context, e centrifuge.RPCEvent) (centrifuge.RPCReply, error) {
			return centrifuge.RPCReply{Data: e.Data}, nil
		}
	}
	n, err := centrifuge.New(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Shutdown(t, n) })
	return n
}

// Shutdown shuts a node down. It fails the test unless all connections end in time.
func Shutdown(t testing.TB, n *centrifuge.Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), WaitLimit)
	defer cancel()
	if err := n.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown = %v; want nil, with every connection ended", err)
	}
}

// Peer is a part of centrifugetest.TransportPeer, a client's end of a connection.
type Peer interface {
	Receive() ([]byte, error)
	Reason() centrifuge.Disconnect
}

// ErrDisconnected is returned by Receive of a Peer that has received a disconnect push.
var ErrDisconnected = errors.New("disconnected by a push")

// Expect receives messages that begin with prefixes.
func Expect(t testing.TB, p Peer, prefixes ...string) {
	t.Helper()
	for _, prefix := range prefixes {
		if message, err := p.Receive(); err != nil || !bytes.HasPrefix(message, []byte(prefix)) {
			t.Fatalf("received %.200q, %v; want %q", message, err, prefix)
		}
	}
}

// ExpectEnd receives a disconnect push.
func ExpectEnd(t testing.TB, p Peer, want centrifuge.Disconnect) {
	t.Helper()
	if message, err := p.Receive(); !errors.Is(err, ErrDisconnected) || p.Reason() != want {
		t.Fatalf("received %.200q, %v, disconnected by %v; want %v", message, err, p.Reason(), want)
	}
}
