package websocket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"

	"centrifugo/centrifuge"
	"centrifugo/internal/await"
	"centrifugo/protocol"
)

// testCloseTimeout is short where a test waits for it.
const testCloseTimeout = 200 * time.Millisecond

func frames(messages ...string) []*protocol.Encoded {
	batch := make([]*protocol.Encoded, len(messages))
	for i, m := range messages {
		batch[i] = &protocol.Encoded{Bytes: []byte(m), Kind: protocol.KindPushPublication}
	}
	return batch
}

func write(t testing.TB, p *peer, batch []*protocol.Encoded) (pending int) {
	t.Helper()
	pending, err := p.session.transport.Write(context.Background(), batch)
	if err != nil {
		t.Fatal(err)
	}
	return pending
}

func TestWrite(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		long := strings.Repeat("x", 70000)
		for _, c := range []struct {
			path  string
			batch []*protocol.Encoded
			first byte
			want  string
		}{
			{"/", frames(`{"a":1}`), finText, `{"a":1}`},
			{"/", frames(`{"a":1}`, `{}`, `{"b":2}`), finText, "{\"a\":1}\n{}\n{\"b\":2}"},
			{"/", frames(long), finText, long},
			{"/", frames(long, "y"), finText, long + "\ny"},
			{"/", []*protocol.Encoded{{Bytes: []byte("reply"), Kind: protocol.KindConnect}}, finText, "reply"},
			{"/?format=protobuf", frames("abc"), finBinary, "\x03abc"},
			{"/?format=protobuf", frames("abc", "", "de"), finBinary, "\x03abc\x00\x02de"},
			{"/?format=protobuf", frames(strings.Repeat("x", 200)), finBinary, "\xc8\x01" + strings.Repeat("x", 200)},
		} {
			p := s.dial(t, c.path)
			if info := p.session.transport.Info(); info.Blocking != wire.blocks() {
				t.Fatalf("Blocking is %v; want %v", info.Blocking, wire.blocks())
			}
			for range 2 { // the second time from what the first has cached
				if pending := write(t, p, c.batch); pending != 0 {
					go func() { <-p.session.writable }()
				}
				p.expect(c.first, c.want)
			}
			if pending := write(t, p, nil); pending != 0 {
				t.Fatalf("%d bytes pending; want 0", pending)
			}
		}
	})
}

// TestOtherWireForm checks that a message which another transport has framed
// before is still compressed, once for all WebSocket connections.
func TestOtherWireForm(t *testing.T) {
	s := newServer(t, Config{Compression: true}, false)
	p := s.dial(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
	f := frames(strings.Repeat("event", 100))
	event := f[0].Wire(protocol.WireEvent, buildEvent)
	write(t, p, f)
	first, got, err := p.message()
	if err != nil || first != finText|bitRSV1 || inflated(t, got) != string(f[0].Bytes) {
		t.Fatalf("message() = %x, %q, %v; want a compressed message", first, got, err)
	}
	again := s.handler.deflater.deflated(f[0], false)
	if &again[0] != &s.handler.deflater.deflated(f[0], false)[0] {
		t.Error("the message was compressed twice; want once")
	}
	if got := f[0].Wire(protocol.WireEvent, buildEvent); got != event {
		t.Errorf("the form of the other transport was built twice: f[0].Wire(protocol.WireEvent, buildEvent) = %v; want %v", got, event)
	}
}

// buildEvent frames a message as a server-sent event.
func buildEvent(message []byte) *protocol.WireMessage {
	const header, end = "data: ", "\n\n"
	event := append(make([]byte, 0, len(header)+len(message)+len(end)), header...)
	return &protocol.WireMessage{Bytes: append(append(event, message...), end...), Header: len(header)}
}

func TestSlowReader(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		p := s.dial(t, "/")
		block := strings.Repeat("0123456789", 6000)
		sent, pending := 0, 0
		for pending == 0 {
			pending = write(t, p, frames(block))
			sent++
		}
		if pending >= len(block)+maxServerHeader {
			t.Fatalf("%d bytes pending of %d; want less than %v", pending, len(block), len(block)+maxServerHeader)
		}
		// Pings whose answers are not read cost one pong, not a thousand.
		p.send(bytes.Repeat(frame(finPing, strings.Repeat("p", 100)), 1000), frame(finPing, "last"), frame(finText, "mark"))
		p.session.expect(t, "mark")
		if err := p.session.transport.Ping(); err != nil {
			t.Fatal(err)
		}
		if more := write(t, p, frames("tail", "end")); more <= pending || more > pending+100 {
			t.Fatalf("%d bytes pending; want more than %d, by at most 100", more, pending)
		}
		for range sent {
			p.expect(finText, block)
		}
		p.expect(finPing, "")
		p.expect(finText, "tail\nend")
		p.expect(finPong, "last")
		await.Receive(t, p.session.writable, "Writable")
		for pending := write(t, p, nil); pending != 0; pending = write(t, p, nil) {
			await.Receive(t, p.session.writable, "Writable")
		}
		write(t, p, frames("after"))
		p.expect(finText, "after")
	})
}

// What waits for one connection must not get into what waits for another,
// though both wait for the same shared frame, or were joined in one buffer.
func TestBacklogsAreApart(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		block := strings.Repeat("0123456789", 3000)
		for name, batch := range map[string][]*protocol.Encoded{"shared": frames(block), "joined": frames(block, block)} {
			t.Run(name, func(t *testing.T) {
				peers := []*peer{s.dial(t, "/"), s.dial(t, "/")}
				sent := make([]int, len(peers))
				for i, p := range peers {
					sent[i] = 1
					for ; write(t, p, batch) == 0; sent[i]++ {
					}
				}
				for i, p := range peers {
					write(t, p, frames(strings.Repeat(strconv.Itoa(i), 4)))
				}
				for range 10 { // other use of the buffers that messages are joined in
					write(t, s.dial(t, "/"), frames(strings.Repeat("#", 2*len(block)), "#"))
				}
				for i, p := range peers {
					for range sent[i] {
						p.expect(finText, string(serverPayload(appendJoined(nil, batch, false))))
					}
					p.expect(finText, strings.Repeat(strconv.Itoa(i), 4))
				}
			})
		}
	})
}

func TestCloseByServer(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{CloseTimeout: testCloseTimeout}, wire)
		t.Run("answered", func(t *testing.T) {
			p := s.dial(t, "/")
			write(t, p, frames("last words"))
			p.session.transport.Close(3012, "no pong")
			p.session.transport.Close(3000, "again")
			p.expect(finText, "last words")
			if reason := p.expectClose(3012); reason != "no pong" {
				t.Fatalf("reason %q; want \"no pong\"", reason)
			}
			// What comes before the answer is not for the session.
			p.send(frame(finText, "late"), frame(finPing, "late"), frame(finClose, "\x0b\xc4"))
			p.expectEnd()
			p.session.expectGone(t, &CloseError{Code: 3012})
			if got := len(p.session.messages); got != 0 {
				t.Fatalf("message after Close: len(p.session.messages) = %v; want 0", got)
			}
			if pending, err := p.session.transport.Write(context.Background(), frames("x")); pending != 0 || err != nil {
				t.Fatalf("Write after Close: %d, %v; want 0", pending, err)
			}
			if err := p.session.transport.Ping(); err != nil {
				t.Fatalf("Ping after Close: %v", err)
			}
		})
		t.Run("not answered", func(t *testing.T) {
			p := s.dial(t, "/")
			p.session.transport.Close(3503, "force disconnect")
			p.expectClose(3503)
			p.expectEnd()
			p.session.expectGone(t, errCloseTimeout)
		})
		t.Run("without code", func(t *testing.T) {
			p := s.dial(t, "/")
			p.session.transport.Close(0, "")
			p.expect(finClose, "")
			p.send(frame(finClose, ""))
			p.expectEnd()
			p.session.expectGone(t, &CloseError{Code: closeNoStatus})
		})
		for _, code := range []uint32{1, 999, 1004, 1005, 1006, 1015, 2999, 5000, 65535, 66536, 70000, 1<<32 - 1} {
			t.Run(fmt.Sprintf("reserved code %d", code), func(t *testing.T) {
				p := s.dial(t, "/")
				p.session.transport.Close(code, "why")
				p.expect(finClose, "")
				p.send(frame(finClose, ""))
				p.expectEnd()
			})
		}
		t.Run("answered with nonsense", func(t *testing.T) {
			p := s.dial(t, "/")
			p.session.transport.Close(3001, "shutdown")
			p.expectClose(3001)
			p.send(frame(finText|0x10, ""))
			p.expectEnd()
			p.session.expectGone(t, &CloseError{Code: closeProtocolError})
		})
	})
}

// A full socket gets its close frame behind what waits, or none at all.
func TestCloseOfASlowReader(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		p := s.dial(t, "/")
		block := strings.Repeat("0123456789", 6000)
		sent := 1
		for ; write(t, p, frames(block)) == 0; sent++ {
		}
		p.session.transport.Close(3008, "slow")
		p.session.transport.Resume()
		for range sent {
			p.expect(finText, block)
		}
		p.expectClose(3008)
		p.send(frame(finClose, "\x0b\xc0"))
		p.session.expectGone(t, &CloseError{Code: 3008})
	})
}

// The peer's close frame is answered behind what waits.
func TestCloseByASlowReader(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		p := s.dial(t, "/")
		block := strings.Repeat("0123456789", 6000)
		sent := 1
		for ; write(t, p, frames(block)) == 0; sent++ {
		}
		p.send(frame(finClose, "\x03\xe8"), frame(finClose, "\x03\xe9"))
		c := p.session.transport.(*conn)
		await.Until(t, "the poller to read the close frame", func() bool { return c.stateIs(stateLeaving) })
		for range sent {
			p.expect(finText, block)
		}
		p.expectClose(1000)
		p.expectEnd()
		p.session.expectGone(t, errLeft)
	})
}

func TestPeerVanishes(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		t.Run("end of stream", func(t *testing.T) {
			p := s.dial(t, "/")
			p.send(frame(finText, "first"))
			_ = p.Close()
			p.session.expect(t, "first")
			p.session.expectGone(t, io.EOF)
		})
		t.Run("half of it", func(t *testing.T) {
			p := s.dial(t, "/")
			p.send(frame(finText, "a"), frame(finText, "cut off")[:9])
			if err := p.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				t.Fatal(err)
			}
			p.session.expect(t, "a")
			p.session.expectGone(t, io.EOF)
			p.expectEnd()
		})
		t.Run("half close behind a close frame", func(t *testing.T) {
			p := s.dial(t, "/")
			p.send(frame(finClose, "\x03\xe9"))
			_ = p.Conn.(interface{ CloseWrite() error }).CloseWrite()
			p.expectClose(1001)
			p.expectEnd()
			p.session.expectGone(t, &CloseError{Code: 1001})
		})
	})
}

func TestWriteToAVanishedPeer(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		p := s.dial(t, "/")
		tcp := p.Conn
		if c, ok := tcp.(interface{ NetConn() net.Conn }); ok {
			tcp = c.NetConn()
		}
		_ = tcp.(*net.TCPConn).SetLinger(0)
		_ = tcp.Close()
		p.session.expectGone(t, nil)
		if pending, err := p.session.transport.Write(context.Background(), frames("x")); pending != 0 || err != nil {
			t.Fatalf("%d bytes are pending, %v: the session was told of the end; want 0", pending, err)
		}
	})
}

func TestFirstFramesBehindTheHandshake(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		first := join(frame(finText, "one"), frame(finText, strings.Repeat("2", 3000)), frame(finText, "three")[:4])
		p := s.dialRaw(t, handshake("/", "X-Session: first")+string(first))
		p.session = await.Receive(t, s.session("first"), "session")
		p.send(frame(finText, "three")[4:])
		p.session.expect(t, "one", strings.Repeat("2", 3000), "three")
	})
}

func TestNativePing(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		p := newServerOn(t, Config{}, wire).dial(t, "/?cf_ws_frame_ping_pong=true")
		if err := p.session.transport.Ping(); err != nil {
			t.Fatal(err)
		}
		p.expect(finPing, "")
		p.send(frame(finPong, ""))
		await.Receive(t, p.session.pongs, "pong")
	})
}

func TestBackPressure(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		s.receive = func(*testSession, []byte) bool { return false }
		p := s.dial(t, "/")
		p.send(frame(finText, "a"), frame(finText, "b"), frame(opText, "c"), frame(finCont, "c"))
		for _, m := range []string{"a", "b", "cc"} {
			p.session.expect(t, m)
			if got := len(p.session.messages); got != 0 {
				t.Fatalf("message while paused: len(p.session.messages) = %v; want 0", got)
			}
			p.session.transport.Resume()
		}
		p.send(frame(finText, "d"))
		p.session.expect(t, "d")
		// A paused connection can be closed, and receives the answer.
		p.session.transport.Close(3000, "x")
		p.send(frame(finClose, "\x0b\xb8"))
		p.expectClose(3000)
		p.session.expectGone(t, &CloseError{Code: 3000})
	})
}

func TestPanicStaysInItsConnection(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{Pollers: 1}, wire)
		s.receive = func(_ *testSession, m []byte) bool {
			if string(m) == "boom" {
				panic("boom")
			}
			return true
		}
		bad, good := s.dial(t, "/"), s.dial(t, "/")
		bad.send(frame(finText, "boom"))
		bad.session.expectGone(t, nil)
		if err := await.Receive(t, s.errors, "error"); !strings.Contains(err.Error(), "boom") {
			t.Fatal(err)
		}
		good.send(frame(finText, "fine"))
		good.session.expect(t, "fine")
	})
}

func TestRefusedByTheNode(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		refuse := make(chan error, 1)
		s.accepting = func(centrifuge.Transport) error { return <-refuse }
		for _, c := range []struct {
			err    error
			path   string
			code   uint16
			reason string
		}{
			{centrifuge.ErrShutdown, "/", 3001, "shutdown"},
			{centrifuge.ErrShutdown, "/?cf_protocol_version=v1", 3001, `{"reason":"shutdown","reconnect":true}`},
			{centrifuge.DisconnectConnectionLimit, "/", 3504, "connection limit"},
			{errors.New("other"), "/", 3004, "internal server error"},
		} {
			refuse <- c.err
			p := s.dialRaw(t, handshake(c.path))
			if p.answer.StatusCode != http.StatusSwitchingProtocols {
				t.Fatalf("status %s; want 101", p.answer.Status)
			}
			if reason := p.expectClose(c.code); reason != c.reason {
				t.Fatalf("reason %q; want %v", reason, c.reason)
			}
			p.send(frame(finText, "ignored"), frame(finClose, ""))
			p.expectEnd()
		}
	})
}

// The core may close a connection before Accept has returned.
func TestClosedWhileAccepted(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		s.accepting = func(transport centrifuge.Transport) error {
			transport.Resume()
			if _, err := transport.Write(context.Background(), frames("early")); err != nil {
				return err
			}
			transport.Close(3503, "force disconnect")
			return nil
		}
		p := s.dial(t, "/")
		p.expect(finText, "early")
		p.expectClose(3503)
		p.send(frame(finClose, "\x0d\xaf"))
		p.session.expectGone(t, &CloseError{Code: 3503})
	})
}

// A connection that ends before it has its session tells it once.
func TestClosedDuringAccept(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		s.accepting = func(transport centrifuge.Transport) error {
			transport.(*conn).drop(io.EOF)
			return nil
		}
		p := s.dial(t, "/")
		p.expectEnd()
		p.session.expectGone(t, net.ErrClosed)
	})
}

func TestHandlerClose(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		p := s.dial(t, "/")
		s.handler.Close()
		p.session.expectGone(t, nil)
		if p := s.dialRaw(t, handshake("/")); p.answer.StatusCode != http.StatusServiceUnavailable {
			t.Fatalf("status %s; want 503", p.answer.Status)
		}
	})
}

// Everything may happen at once; Closed comes once.
func TestRaces(t *testing.T) {
	allWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{CloseTimeout: 20 * time.Millisecond, Compression: true}, wire)
		rounds := 60
		for range rounds {
			p := s.dial(t, "/", "Sec-WebSocket-Extensions: permessage-deflate")
			var all sync.WaitGroup
			batch := frames(strings.Repeat("x", 500), "y")
			all.Go(func() {
				for range 20 {
					_, _ = p.session.transport.Write(context.Background(), batch)
				}
			})
			all.Go(func() { _ = p.session.transport.Ping() })
			all.Go(func() { p.session.transport.Resume() })
			all.Go(func() { p.session.transport.Close(3000, "") })
			all.Go(func() {
				_, _ = p.Write(join(frame(finText, "a"), frame(finPing, ""), frame(finClose, "\x03\xe8")))
				_ = p.Close()
			})
			all.Wait()
			p.session.expectGone(t, nil)
		}
	})
}

// A thousand connections need no goroutine while they are idle; they come and
// go and leave neither descriptors nor (by TestMain) goroutines.
func TestManyConnectionsLeaveNothing(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		s.dial(t, "/") // starts the loop
		before, goroutines := descriptors(t), runtime.NumGoroutine()
		const connections, workers = 1000, 4
		var crews [workers][]*peer
		var all sync.WaitGroup
		for w := range workers {
			all.Go(func() {
				for range connections / workers {
					crews[w] = append(crews[w], s.dial(t, "/"))
				}
			})
		}
		all.Wait()
		// Those of the HTTP server end just after the session came.
		awaitAtMost(t, "goroutines", goroutines, runtime.NumGoroutine)
		for w, peers := range crews {
			all.Go(func() {
				for i, p := range peers {
					p.end(t, (i+w)%3)
				}
			})
		}
		all.Wait()
		// A socket is closed when its last user has left, which may be just after Closed.
		awaitAtMost(t, "descriptors", before+1, func() int { return descriptors(t) }) // the listener's poller may come to it late
	})
}

// end ends a connection in one of three ways.
func (p *peer) end(t *testing.T, way int) {
	p.send(frame(finText, "x"))
	p.session.expect(t, "x")
	switch way {
	case 0:
		_ = p.Close()
	case 1:
		p.send(frame(finClose, ""))
	case 2:
		p.session.transport.Close(3001, "shutdown")
		p.send(frame(finClose, ""))
	}
	p.session.expectGone(t, nil)
	_ = p.Close()
}

// awaitAtMost waits until count is at most most.
func awaitAtMost(t *testing.T, what string, most int, count func() int) {
	t.Helper()
	if !await.Reached(func() bool { return count() <= most }) {
		t.Fatalf("%d %s; want at most %d", count(), what, most)
	}
}

// Whatever comes in place of a handshake, the server is there for the next.
func TestGarbageInPlaceOfTLS(t *testing.T) {
	s := newServerOn(t, Config{}, wireTLS)
	s.http.Config.ErrorLog = log.New(io.Discard, "", 0)
	hello := "\x16\x03\x01\x00\x40\x01\x00\x00\x3c\x03\x03" + strings.Repeat("r", 200)
	for name, garbage := range map[string]string{
		"nothing": "", "plain HTTP": handshake("/"), "zeros": strings.Repeat("\x00", 5000), "half a record": hello[:30],
		"bad hello": hello, "alert": "\x15\x03\x01\x00\x02\x02\x28", "SSLv2": "\x80\x2e\x01\x03\x01" + strings.Repeat("s", 50),
		"too long": "\x16\x03\x01\xff\xff" + strings.Repeat("l", 70000),
	} {
		t.Run(name, func(t *testing.T) {
			c, err := net.Dial("tcp", s.http.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			_ = c.SetDeadline(time.Now().Add(waitLimit))
			_, _ = io.WriteString(c, garbage) // it may be cut short
			_ = c.(*net.TCPConn).CloseWrite()
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("the server still waits: got %v; want another error than %v", err, os.ErrDeadlineExceeded)
			}
		})
	}
	p := s.dial(t, "/")
	p.send(frame(finText, "fine"))
	p.session.expect(t, "fine")
}

func descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip("descriptors cannot be counted here")
	}
	return len(entries)
}

// What an idle connection costs here: this, and 64 bytes of its socket.
func TestConnSize(t *testing.T) {
	if size := unsafe.Sizeof(conn{}); size > 96 {
		t.Fatalf("a connection has %d bytes; want at most 96", size)
	}
}

// The event loop writes what waits while the core adds to it: both agree under the
// connection's lock. The race detector is what judges here.
func TestBacklogIsSharedSafely(t *testing.T) {
	polledWires(t, func(t *testing.T, wire wire) {
		s := newServerOn(t, Config{}, wire)
		p := s.dial(t, "/")
		message := strings.Repeat("x", 16<<20)
		if pending, err := p.session.transport.Write(context.Background(), frames(message)); pending == 0 || err != nil {
			t.Fatalf("%d bytes are pending, %v; want more than 0", pending, err)
		}
		asked := make(chan error, 1)
		go func() {
			for {
				pending, err := p.session.transport.Write(context.Background(), nil)
				if pending == 0 || err != nil {
					asked <- err
					return
				}
				select { // it holds no more than is looked at
				case <-p.session.writable:
				default:
				}
			}
		}()
		p.expect(finText, message)
		if err := await.Receive(t, asked, "end"); err != nil {
			t.Fatal(err)
		}
	})
}
