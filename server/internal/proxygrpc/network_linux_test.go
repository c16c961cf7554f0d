package proxygrpc

import (
	"context"
	"slices"
	"testing"
	"time"

	"centrifugo/internal/nettest"
	"centrifugo/proxypb"
	"centrifugo/server/internal/proxy"
)

// A backend that acknowledges nothing is given up: the kernel would wait for a quarter of an hour,
// and each call on the connection would fail meanwhile.
func TestSilentNetwork(t *testing.T) {
	address := serve(t, &backend{rpc: func(context.Context, *proxypb.RPCRequest) (*proxypb.RPCResponse, error) {
		return new(proxypb.RPCResponse), nil
	}})
	if _, err := dial(t, address, nil).Call(t.Context(), proxy.RPC, new(proxy.Request), nil); err != nil {
		t.Fatal(err)
	}
	if got, want := nettest.UserTimeouts(t, address), []time.Duration{10 * time.Second}; !slices.Equal(got, want) {
		t.Errorf("connections give up after %v; want %v", got, want)
	}
}
