package grpcstream

import (
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
)

// TestTransport runs the suite of transports.
func TestTransport(t *testing.T) {
	for name, secure := range map[string]bool{"tcp": false, "tls": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting
			centrifugetest.TestTransport(t, func(t *testing.T, n *centrifuge.Node) func(t *testing.T) centrifugetest.TransportPeer {
				e := listen(t, n, Config{}, secure)
				return func(t *testing.T) centrifugetest.TransportPeer { return e.dial(t, communicateV2) }
			})
		})
	}
}
