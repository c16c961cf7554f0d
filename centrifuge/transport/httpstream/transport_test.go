package httpstream

import (
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
)

// wires are the forms of messages.
var wires = map[string]Wire{"stream": Stream, "events": Events}

// TestTransport runs the suite of transports.
func TestTransport(t *testing.T) {
	for _, c := range []struct {
		name  string
		wire  Wire
		route route
		uni   bool
	}{
		{"stream over tcp", Stream, routeTCP, false},
		{"stream over tls", Stream, routeTLS, false},
		{"stream over foreign tls", Stream, routeForeignTLS, false},
		{"stream over http2", Stream, routeHTTP2, false},
		{"stream over http2 of net/http", Stream, routeServedHTTP2, false},
		{"events over tcp", Events, routeTCP, false},
		{"events over http2", Events, routeHTTP2, false},
		{"events over http2 of net/http", Events, routeServedHTTP2, false},
		{"stream over http3", Stream, routeHTTP3, false},
		{"events over http3", Events, routeHTTP3, false},
		{"unidirectional stream over tcp", Stream, routeTCP, true},
		{"unidirectional stream over tls", Stream, routeTLS, true},
		{"unidirectional events over foreign tls", Events, routeForeignTLS, true},
		{"unidirectional events over tcp", Events, routeTCP, true},
		{"unidirectional events over http2", Events, routeHTTP2, true},
		{"unidirectional events over http2 of net/http", Events, routeServedHTTP2, true},
		{"unidirectional events over http3", Events, routeHTTP3, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel() // most of the time is spent waiting
			suite := centrifugetest.TestTransport
			if c.uni {
				suite = centrifugetest.TestUnidirectionalTransport
			}
			suite(t, func(t *testing.T, n *centrifuge.Node) func(t *testing.T) centrifugetest.TransportPeer {
				s := serve(t, n, Config{Wire: c.wire, Unidirectional: c.uni}, c.route)
				return func(t *testing.T) centrifugetest.TransportPeer {
					p := s.stream(c.wire)
					p.t = t
					return p
				}
			})
		})
	}
}
