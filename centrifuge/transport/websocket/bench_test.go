package websocket

import (
	"context"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/centrifuge/transport/internal/transporttest"
	"centrifugo/protocol"
)

// silent is a session that does nothing.
type silent struct{ refused }

func newSinkConn(request request) *conn {
	h := newHandler(nil, Config{Compression: request.deflate})
	return &conn{handler: h, writer: eventloop.Writer{Socket: transporttest.Sink{}}, request: request, session: silent{}}
}

// broadcast is a batch of n frames of 128 bytes.
func broadcast(n int) []*protocol.Encoded {
	messages := make([]string, n)
	for i := range messages {
		messages[i] = strings.Repeat("publication of 32 bytes or thats ", 4)[:128]
	}
	return frames(messages...)
}

func TestHotPathAllocatesNothing(t *testing.T) {
	batchOf := func(c *conn, batch []*protocol.Encoded) func() {
		return func() {
			if _, err := c.Write(context.Background(), batch); err != nil {
				t.Fatal(err)
			}
		}
	}
	in := frame(finText, "{}")
	read := newSinkConn(request{})
	work := make([]byte, len(in))
	for name, f := range map[string]func(){
		"one frame":          batchOf(newSinkConn(request{}), broadcast(1)),
		"one Protobuf frame": batchOf(newSinkConn(request{protobuf: true}), broadcast(1)),
		"one deflated frame": batchOf(newSinkConn(request{deflate: true}), broadcast(1)),
		"one reply":          batchOf(newSinkConn(request{}), []*protocol.Encoded{{Bytes: []byte("{}"), Kind: protocol.KindPublish}}),
		"sixteen frames":     batchOf(newSinkConn(request{}), broadcast(16)),
		"sixteen deflated":   batchOf(newSinkConn(request{deflate: true}), broadcast(16)),
		"reading a message": func() {
			copy(work, in)
			if n, more := read.Data(work); n != len(in) || !more {
				t.Fatalf("Data = %d, %t; want %d, true", n, more, len(in))
			}
		},
		"reading in two pieces": func() {
			copy(work, in)
			read.Data(work[:3])
			read.Data(work[3:])
		},
	} {
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations; want 0", name, n)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	big := frames(strings.Repeat("x", 60000), strings.Repeat("y", 60000), strings.Repeat("z", 60000))
	reply := []*protocol.Encoded{{Bytes: []byte(strings.Repeat("r", 128)), Kind: protocol.KindPublish}}
	for _, c := range []struct {
		name    string
		request request
		batch   []*protocol.Encoded
	}{
		{"one", request{}, broadcast(1)},
		{"reply", request{}, reply},
		{"sixteen", request{}, broadcast(16)},
		{"sixteen-protobuf", request{protobuf: true}, broadcast(16)},
		{"sixteen-deflated", request{deflate: true}, broadcast(16)},
		{"three-of-60k", request{}, big},
	} {
		b.Run(c.name+"/no-socket", func(b *testing.B) {
			conn := newSinkConn(c.request)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(context.Background(), c.batch); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/socket", func(b *testing.B) { benchmarkSocket(b, c.request, c.batch) })
	}
}

// devNull is a socket whose writes are system calls, as those of a connection.
type devNull struct {
	transporttest.Sink
	*os.File
}

func (d devNull) Write(b []byte) (int, error) { return d.File.Write(b) }
func (d devNull) Close()                      {}

// BenchmarkMixedForms delivers a message to 1,000 WebSocket connections, alone
// and beside 10 subscribers of another transport that come first. It reports the
// ratio of the medians of both, which must stay below 1.02. They alternate, so
// that the load of the machine changes both.
func BenchmarkMixedForms(b *testing.B) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	socket := devNull{File: null}
	data := []byte(strings.Repeat(`{"text":"publication"},`, 22))
	for name, request := range map[string]request{"plain": {}, "deflated": {deflate: true}} {
		b.Run(name, func(b *testing.B) {
			conns := make([]*conn, 1000)
			for i := range conns {
				conns[i] = newSinkConn(request)
				conns[i].handler, conns[i].writer.Socket = conns[0].handler, socket
			}
			deliver := func(events int) time.Duration {
				start := time.Now()
				batch := []*protocol.Encoded{{Bytes: data, Kind: protocol.KindPushPublication}}
				for range events {
					if _, err := socket.Write(batch[0].Wire(protocol.WireEvent, buildEvent).Bytes); err != nil {
						b.Fatal(err)
					}
				}
				for _, c := range conns {
					if _, err := c.Write(context.Background(), batch); err != nil {
						b.Fatal(err)
					}
				}
				return time.Since(start)
			}
			var alone, mixed []time.Duration
			for b.Loop() {
				alone, mixed = append(alone, deliver(0)), append(mixed, deliver(10))
			}
			slices.Sort(alone)
			slices.Sort(mixed)
			b.ReportMetric(float64(mixed[len(mixed)/2])/float64(alone[len(alone)/2]), "mixed/alone")
		})
	}
}

// benchmarkSocket writes to a real socket whose peer reads as fast as it can.
func benchmarkSocket(b *testing.B, request request, batch []*protocol.Encoded) {
	s := newServer(b, Config{}, false)
	p := s.dial(b, "/")
	go func() { _, _ = io.Copy(io.Discard, p.Conn) }()
	c := p.session.transport.(*conn)
	c.request = request
	b.ReportAllocs()
	for b.Loop() {
		pending, err := c.Write(context.Background(), batch)
		for pending > 0 && err == nil {
			<-p.session.writable
			pending, err = c.Write(context.Background(), nil)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRead(b *testing.B) {
	for name, message := range map[string]string{"pong": "{}", "publish": strings.Repeat("p", 128), "4k": strings.Repeat("x", 4096)} {
		b.Run(name, func(b *testing.B) {
			in := frame(finText, message)
			c := newSinkConn(request{})
			work := make([]byte, len(in))
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				copy(work, in)
				c.Data(work)
			}
		})
	}
}

// BenchmarkRoundTrip sends a message to a session over loopback.
func BenchmarkRoundTrip(b *testing.B) {
	for name, secure := range map[string]bool{"tcp": false, "tls": true} {
		b.Run(name, func(b *testing.B) {
			s := newServer(b, Config{}, secure)
			came := make(chan struct{})
			s.receive = func(session *testSession, _ []byte) bool {
				came <- struct{}{}
				<-session.messages // free the channel for this message's copy, or the one before
				return true
			}
			p := s.dial(b, "/")
			p.session.messages <- ""
			_ = p.SetDeadline(time.Time{})
			in := frame(finText, "{}")
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Write(in); err != nil {
					b.Fatal(err)
				}
				<-came
			}
		})
	}
}
