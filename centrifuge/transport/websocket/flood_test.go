package websocket

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
)

// floodUntilCut sends flood again and again until the server has ended the
// connection, and reads nothing.
func (p *peer) floodUntilCut(flood []byte) {
	p.t.Helper()
	_ = p.SetDeadline(time.Now().Add(6 * waitLimit))
	begin := time.Now()
	for {
		_, err := p.Write(flood)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			p.t.Fatal("the connection was not ended; want it ended")
		case err != nil:
			p.t.Logf("ended after %v", time.Since(begin).Round(time.Millisecond))
			return
		}
	}
}

// TestSilentPings: a client that sends what has to be answered, and reads nothing,
// is ended as one that does not take what is sent to it.
func TestSilentPings(t *testing.T) {
	for _, test := range []struct {
		name  string
		first []byte
		flood []byte
	}{
		{"pings", nil, frame(finPing, strings.Repeat("p", 125))},
		{"empty pings", nil, frame(finPing, "")},
		{"pings within a message", frame(opText, "{"), frame(finPing, "p")},
		{"pings and pongs", nil, append(frame(finPing, "p"), frame(finPong, "p")...)},
		{"commands with long replies", nil, frame(finText, `{"id":2,"history":{"channel":"a","limit":-1}}`)},
	} {
		t.Run(test.name, func(t *testing.T) {
			polledWires(t, func(t *testing.T, wire wire) {
				s, node := newStreamServer(t, centrifuge.Config{WriteTimeout: 200 * time.Millisecond, PingInterval: -1}, wire)
				publishMany(t, node, "a", 100, 3600)
				p := s.dialRaw(t, handshake("/"))
				p.send(frame(finText, `{"id":1,"connect":{}}`))
				p.replies(1)
				if test.first != nil {
					p.send(test.first)
				}
				p.floodUntilCut(bytes.Repeat(test.flood, 1000))
			})
		})
	}
}

// TestPingsOfReader: a client that pings as much, and reads late but reads, is not.
func TestPingsOfReader(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s, _ := newStreamServer(t, centrifuge.Config{WriteTimeout: time.Minute}, wire)
		p := s.dialRaw(t, handshake("/"))
		p.send(frame(finText, `{"id":1,"connect":{}}`))
		p.replies(1)
		flooded := make(chan error, 1)
		go func() {
			_, err := p.Write(append(bytes.Repeat(frame(finPing, strings.Repeat("p", 125)), 100_000), frame(finPing, "last")...))
			flooded <- err
		}()
		if err := await.Receive(t, flooded, "end of the flood"); err != nil {
			t.Fatal(err)
		}
		for {
			first, payload, err := p.message()
			if err != nil || first != finPong {
				t.Fatalf("%x %q, %v; want %v", first, payload, err, finPong)
			}
			if string(payload) == "last" {
				break
			}
		}
		p.send(frame(finText, `{"id":2,"history":{"channel":"a"}}`))
		if r := p.replies(1)[0]; r.ID != 2 {
			t.Errorf("%+v; want ID 2", r)
		}
	})
}

// TestFloodBehindTheEnd: what comes after a violation is thrown away for the sake of
// the close frame, but not without end.
func TestFloodBehindTheEnd(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{CloseTimeout: time.Hour}, wire)
		for name, violation := range map[string][]byte{
			"length":   {0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0},
			"opcode":   frame(bitFin|0x3, "x"),
			"unmasked": []byte("\x81\x02{}"),
		} {
			p := s.dial(t, "/")
			p.send(violation)
			if first, _, err := p.message(); err != nil || first != bitFin|opClose {
				t.Fatalf("%s: %x, %v; want %v", name, first, err, bitFin|opClose)
			}
			p.floodUntilCut(make([]byte, 64<<10))
			p.session.expectGone(t, nil)
		}
	})
}

// TestLateRestOfALargeMessage: its sender gets to read why it was refused.
func TestLateRestOfALargeMessage(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{CloseTimeout: time.Hour}, wire)
		p := s.dial(t, "/")
		p.send(frame(finText, strings.Repeat("x", 2<<20)))
		p.expectClose(closeTooBig)
		p.send(frame(finClose, "\x03\xf1"))
		p.expectEnd()
		_ = p.Close()
		p.session.expectGone(t, nil)
	})
}
