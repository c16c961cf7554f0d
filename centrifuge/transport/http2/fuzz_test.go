package http2

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"centrifugo/centrifuge/transport/internal/transporttest"

	xhttp2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// FuzzFrames reads anything in parts of any size. Nothing panics, and what is kept is bounded
// by what is declared at most: a frame, the windows, the header.
func FuzzFrames(f *testing.F) {
	frames := func(write func(*xhttp2.Framer, []byte)) []byte {
		var b, block bytes.Buffer
		encoder := hpack.NewEncoder(&block)
		for _, field := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", "a"}, {":path", "/"}, {"cookie", "a"}, {"cookie", "b"}, {"trailer", "x"}} {
			_ = encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
		}
		b.WriteString(preface)
		framer := xhttp2.NewFramer(&b, nil)
		framer.AllowIllegalWrites = true
		_ = framer.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 10})
		write(framer, block.Bytes())
		return b.Bytes()
	}
	f.Add(frames(func(*xhttp2.Framer, []byte) {}), uint8(1))
	f.Add(frames(func(w *xhttp2.Framer, block []byte) {
		_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndHeaders: true, PadLength: 3, Priority: xhttp2.PriorityParam{StreamDep: 7}})
		_ = w.WriteDataPadded(1, false, []byte("body"), []byte{0, 0})
		_ = w.WriteWindowUpdate(1, 100)
		_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:0], EndHeaders: true, EndStream: true})
		_ = w.WriteRSTStream(1, xhttp2.ErrCodeCancel)
	}), uint8(7))
	f.Add(frames(func(w *xhttp2.Framer, block []byte) {
		_ = w.WriteHeaders(xhttp2.HeadersFrameParam{StreamID: 3, BlockFragment: block[:2], EndStream: true})
		_ = w.WriteContinuation(3, true, block[2:])
		_ = w.WritePing(false, [8]byte{1})
		_ = w.WriteGoAway(0, xhttp2.ErrCodeNo, nil)
		_ = w.WriteSettings(xhttp2.Setting{ID: xhttp2.SettingHeaderTableSize})
	}), uint8(200))
	f.Fuzz(func(t *testing.T, input []byte, part uint8) {
		c := newTestConn(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(w, r.Body)
		})
		defer c.drop(io.EOF)
		for rest := input; len(rest) > 0; {
			n := min(int(part)+1, len(rest))
			c.Data(rest[:n])
			rest = rest[n:]
			if kept := len(c.partial); kept > frameHeaderSize+maxFrame {
				t.Fatalf("%d bytes of a frame are kept", kept)
			}
			c.mu.Lock()
			kept := 0
			for _, s := range c.streams {
				if s.exchange != nil {
					kept += len(s.exchange.body.data)
				}
			}
			streams, waiting, abandoned := len(c.streams), len(c.waiting), len(c.abandoned)
			c.mu.Unlock()
			if kept > windowConn || streams > c.server.config.MaxStreams || waiting > streams || abandoned > maxAbandoned {
				t.Fatalf("kept: %d bytes of bodies, %d streams, %d that wait, %d that are abandoned", kept, streams, waiting, abandoned)
			}
		}
	})
}

// newTestConn returns a connection whose socket accepts everything.
func newTestConn(handler http.HandlerFunc) *conn {
	s := NewServer(Config{Handler: handler, IdleTimeout: time.Hour, HeaderTimeout: time.Hour})
	c := s.newConn(nil, "", &net.TCPAddr{})
	c.writer.Socket = transporttest.Sink{}
	s.group.Begin()
	s.conns[c] = struct{}{}
	return c
}

// What a transport writes to a stream costs no allocation.
func TestWriteAllocations(t *testing.T) {
	c := newTestConn(nil)
	defer c.drop(io.EOF)
	s := &stream{conn: c, id: 1, window: maxWindow, remoteEnded: true}
	s.taken = &taken{stream: s, started: true}
	c.streams[1] = s
	c.window = maxWindow
	message := make([]byte, 200)
	if allocations := testing.AllocsPerRun(1000, func() {
		if n, err := s.taken.Write(message); n != len(message) || err != nil {
			t.Fatal(n, err)
		}
	}); allocations > 0 {
		t.Errorf("%v allocations for a message; want none", allocations)
	}
}
