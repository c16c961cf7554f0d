package centrifuge_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/centrifugetest"
	"centrifugo/protocol"
)

// pipe is a Blocking transport in memory, with flow control: a write waits while
// pipeSize messages are unread, and only the end of its context ends that.
type pipe struct {
	// Static after construction.
	messages chan []byte
	ended    chan struct{} // closed by end

	once sync.Once
	why  centrifuge.Disconnect // written before ended is closed

	conn *centrifuge.Conn
}

const pipeSize = 16

// pipes serves a node by pipes.
func pipes(_ *testing.T, n *centrifuge.Node) func(t *testing.T) centrifugetest.TransportPeer {
	return func(t *testing.T) centrifugetest.TransportPeer {
		t.Helper()
		p := &pipe{messages: make(chan []byte, pipeSize), ended: make(chan struct{})}
		conn, err := n.Accept(t.Context(), p)
		must(t, err)
		p.conn = conn
		return pipePeer{p}
	}
}

// Info implements centrifuge.Transport.
func (p *pipe) Info() centrifuge.TransportInfo {
	return centrifuge.TransportInfo{Name: "pipe", Generation: centrifuge.GenerationV2, Blocking: true}
}

// Write implements centrifuge.Transport.
func (p *pipe) Write(ctx context.Context, batch []*protocol.Encoded) (int, error) {
	for _, e := range batch {
		select {
		case p.messages <- bytes.Clone(e.Bytes):
			p.conn.Writable()
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	return 0, nil
}

// Ping implements centrifuge.Transport.
func (p *pipe) Ping() error { return nil }

// Resume implements centrifuge.Transport.
func (p *pipe) Resume() {}

// Close implements centrifuge.Transport.
func (p *pipe) Close(code uint32, reason string) {
	p.end(centrifuge.Disconnect{Code: code, Reason: reason})
}

func (p *pipe) end(why centrifuge.Disconnect) {
	p.once.Do(func() {
		p.why = why
		close(p.ended)
		go p.conn.Closed(nil)
	})
}

// pipePeer is the client's end of a pipe.
type pipePeer struct{ *pipe }

// Send implements centrifugetest.TransportPeer.
func (p pipePeer) Send(message []byte) error {
	select {
	case <-p.ended:
		return errors.New("the connection has ended")
	default:
		p.conn.Receive(message)
		return nil
	}
}

// Receive implements centrifugetest.TransportPeer.
func (p pipePeer) Receive() ([]byte, error) {
	select {
	case m := <-p.messages:
		return m, nil
	default:
	}
	select {
	case m := <-p.messages:
		return m, nil
	case <-p.ended:
	}
	select { // what came before the end
	case m := <-p.messages:
		return m, nil
	default:
		return nil, io.EOF
	}
}

// Reason implements centrifugetest.TransportPeer.
func (p pipePeer) Reason() centrifuge.Disconnect { return p.why }

// Close implements centrifugetest.TransportPeer.
func (p pipePeer) Close() error {
	p.end(centrifuge.Disconnect{})
	return nil
}

// TestBlockingTransport runs the suite of transports against a pipe.
func TestBlockingTransport(t *testing.T) { centrifugetest.TestTransport(t, pipes) }
