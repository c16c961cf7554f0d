package websocket

import (
	"bytes"
	"strings"
	"testing"
)

// Before the connect command is answered a connection has a budget of its own,
// smaller than the configured limits.
func TestBeforeConnect(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	fragments := func(n int) []byte {
		in := frame(opText, "")
		for range n - 2 {
			in = append(in, frame(opContinuation, "")...)
		}
		return append(in, frame(finCont, "y")...)
	}
	controls := func(first byte, n int) []byte { return bytes.Repeat(frame(first, ""), n) }
	bomb := func(n int) []byte { return frame(finText|bitRSV1, deflate(t, text(n))) }
	for _, c := range []struct {
		name string
		in   []byte
		want string // the message that arrives before connect
		code uint16 // otherwise
	}{
		{name: "largest message", in: frame(finText, text(earlyMessage)), want: text(earlyMessage)},
		{name: "message too large", in: frame(finText, text(earlyMessage+1)), code: closeTooBig},
		{name: "too large in fragments", in: join(frame(opText, text(earlyMessage)), frame(finCont, "x")), code: closeTooBig},
		{name: "largest when inflated", in: bomb(earlyMessage), want: text(earlyMessage)},
		{name: "too large when inflated", in: bomb(earlyMessage + 1), code: closeTooBig},
		{name: "most fragments", in: fragments(earlyFrames), want: "y"},
		{name: "too many fragments", in: fragments(earlyFrames + 1), code: closePolicy},
		{name: "most pongs", in: join(controls(finPong, earlyFrames), frame(finText, "z")), want: "z"},
		{name: "too many pongs", in: controls(finPong, earlyFrames+1), code: closePolicy},
		{name: "pongs between fragments", in: join(frame(opText, "a"), controls(finPong, earlyFrames), frame(finCont, "b")), want: "ab"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := Config{MessageSizeLimit: 1 << 20, Compression: true}
			s := newServer(t, config, false)
			s.receive = func(*testSession, []byte) bool { return true }
			s.fresh = true
			p := s.dial(t, "/", deflateOfferLine)
			p.send(c.in)
			if c.code == 0 {
				p.session.expect(t, c.want)
			} else {
				p.expectClose(c.code)
			}
			// The same is fine once it has connected.
			s.fresh = false
			p = s.dial(t, "/", deflateOfferLine)
			p.send(c.in, frame(finPing, "alive"))
			p.expect(finPong, "alive")
		})
	}
}

// Pings count like pongs, and each is answered until there were too many.
func TestPingsBeforeConnect(t *testing.T) {
	s := newServer(t, Config{}, false)
	s.fresh = true
	p := s.dial(t, "/")
	for range earlyFrames {
		p.send(frame(finPing, ""))
		p.expect(finPong, "")
	}
	p.send(frame(finPing, ""))
	p.expectClose(closePolicy)
}

// A connection leaves its early budget with the message that follows connect.
func TestBudgetGrowsWithConnect(t *testing.T) {
	s := newServer(t, Config{MessageSizeLimit: 1 << 20}, false)
	s.fresh = true
	s.receive = func(session *testSession, _ []byte) bool {
		session.fresh.Store(false)
		return true
	}
	p := s.dial(t, "/")
	p.send(frame(finText, "connect"))
	p.session.expect(t, "connect")
	long := strings.Repeat("x", 1<<20)
	p.send(frame(finText, long))
	p.session.expect(t, long)
}
