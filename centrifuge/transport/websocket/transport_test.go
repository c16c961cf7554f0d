package websocket

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
)

// suitePeer is a peer as centrifugetest.TestTransport uses it.
type suitePeer struct {
	*peer
	why centrifuge.Disconnect
}

// Send implements centrifugetest.TransportPeer.
func (p *suitePeer) Send(message []byte) error {
	p.renew()
	_, err := p.Write(frame(finText, string(message)))
	return err
}

// Receive implements centrifugetest.TransportPeer. A close frame is answered.
func (p *suitePeer) Receive() ([]byte, error) {
	p.renew()
	first, payload, err := p.message()
	for err == nil && first == bitFin|opPing { // beside the pings of the protocol, on unidirectional connections
		if _, err = p.Write(frame(bitFin|opPong, string(payload))); err == nil {
			first, payload, err = p.message()
		}
	}
	switch {
	case err != nil:
		return nil, err
	case first == finText:
		return payload, nil
	case first == bitFin|opClose:
		if len(payload) >= 2 {
			p.why = centrifuge.Disconnect{Code: uint32(binary.BigEndian.Uint16(payload)), Reason: string(payload[2:])}
		}
		_, _ = p.Write(frame(bitFin|opClose, string(payload)))
		return nil, &CloseError{Code: uint16(p.why.Code), Reason: p.why.Reason}
	}
	return nil, fmt.Errorf("unexpected frame %x", first)
}

// Reason implements centrifugetest.TransportPeer.
func (p *suitePeer) Reason() centrifuge.Disconnect { return p.why }

// Close implements centrifugetest.TransportPeer.
func (p *suitePeer) Close() error { return p.Conn.Close() }

// TestTransport runs the suite of transports on the event loop and with a goroutine for
// each connection.
func TestTransport(t *testing.T) { testTransport(t, Config{}, centrifugetest.TestTransport) }

// TestUnidirectionalTransport is TestTransport for unidirectional connections.
func TestUnidirectionalTransport(t *testing.T) {
	testTransport(t, Config{Unidirectional: true}, centrifugetest.TestUnidirectionalTransport)
}

func testTransport(t *testing.T, config Config, suite func(*testing.T, centrifugetest.TransportServer)) {
	t.Helper()
	allWires(t, func(t *testing.T, wire wire) {
		suite(t, func(t *testing.T, n *centrifuge.Node) func(t *testing.T) centrifugetest.TransportPeer {
			s := &server{errors: make(chan error, 100)}
			served := config
			served.WriteTimeout = time.Minute // the node's bound must do
			s.serveOn(t, NewHandler(n, config).accept, served, wire)
			return func(t *testing.T) centrifugetest.TransportPeer {
				return &suitePeer{peer: s.dialRaw(t, handshake("/"))}
			}
		})
	})
}
