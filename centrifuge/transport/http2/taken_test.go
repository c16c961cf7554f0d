package http2

import (
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"testing"

	"centrifugo/centrifuge/internal/eventloop"
	"centrifugo/internal/await"

	xhttp2 "golang.org/x/net/http2"
)

// transport is a transport that has taken a stream over.
type transport struct {
	socket   eventloop.Socket
	writable chan struct{}
	closed   chan error
	writing  func() // called by Writable; nil for none
}

func (t *transport) Data(b []byte) (int, bool) { panic("Data was called") }
func (t *transport) Progress()                 { panic("Progress was called") }
func (t *transport) Closed(err error)          { t.closed <- err }

func (t *transport) Writable() {
	if t.writing != nil {
		t.writing()
	}
	select {
	case t.writable <- struct{}{}:
	default:
	}
}

// taking serves requests whose streams are taken over.
func taking(t *testing.T) (*server, <-chan *transport) {
	taken := make(chan *transport, 200)
	s := polled(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = http.NewResponseController(w).Flush()
		to := &transport{writable: make(chan struct{}, 1), closed: make(chan error, 2)}
		socket, err := w.(eventloop.Taker).Take(to)
		if err != nil {
			t.Errorf("Take() = %v", err)
			return
		}
		to.socket = socket
		if err := socket.Start(nil); err != nil {
			t.Errorf("Start() = %v", err)
		}
		taken <- to
	})
	return s, taken
}

// data reads the next DATA frame of a stream.
func (p *peer) data(stream uint32) (string, bool) {
	f := p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameData && f.Header().StreamID == stream })
	if f == nil {
		p.t.Fatal("the connection has ended")
	}
	return string(f.(*xhttp2.DataFrame).Data()), f.(*xhttp2.DataFrame).StreamEnded()
}

// A stream that was taken over is written within the windows of the client, and ends like a
// response.
func TestTakenStream(t *testing.T) {
	s, taken := taking(t)
	p := s.dial(t, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 5})
	p.request(1)
	to := await.Receive(t, taken, "stream")
	if n, err := to.socket.Write([]byte("1234567")); n != 5 || err != nil {
		t.Errorf("Write() = %d, %v; want the 5 bytes of the window", n, err)
	}
	to.socket.WantWrite(true)
	if got, _ := p.data(1); got != "12345" {
		t.Errorf("the client got %q; want 12345", got)
	}
	p.try(p.frame.WriteWindowUpdate(1, 10))
	await.Receive(t, to.writable, "Writable")
	if n, err := to.socket.Write([]byte("67")); n != 2 || err != nil {
		t.Errorf("Write() = %d, %v; want 2", n, err)
	}
	to.socket.WantWrite(false)
	if got, end := p.data(1); got != "67" || end {
		t.Errorf("the client got %q, end %v; want 67", got, end)
	}
	if err := to.socket.CloseWrite(); err != nil {
		t.Errorf("CloseWrite() = %v", err)
	}
	if got, end := p.data(1); got != "" || !end {
		t.Errorf("the client got %q, end %v; want the end", got, end)
	}
	if err := await.Receive(t, to.closed, "Closed"); err != io.EOF { //nolint:errorlint // that one
		t.Errorf("Closed(%v); want EOF", err)
	}
	if n, err := to.socket.Write([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("Write() after the end = %d, %v; want ErrClosed", n, err)
	}
	to.socket.Close()
	p.request(3) // the connection goes on
	await.Receive(t, taken, "another stream")
}

// Whoever ends a stream, its transport learns of it once, unless it has closed it itself.
func TestTakenStreamEnds(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(s *server, p *peer, to *transport)
		want func(error) bool
	}{
		{"the client resets it", func(_ *server, p *peer, _ *transport) { p.try(p.frame.WriteRSTStream(1, xhttp2.ErrCodeCancel)) },
			func(err error) bool { e, ok := errors.AsType[resetError](err); return ok && e.code == codeCancel }},
		{"the client leaves", func(_ *server, p *peer, _ *transport) { _ = p.tls.Close() }, func(err error) bool { return err == io.EOF }}, //nolint:errorlint // that one
		{"the client breaks a rule", func(_ *server, p *peer, _ *transport) { p.try(p.frame.WriteWindowUpdate(0, 0)) },
			func(err error) bool { _, ok := errors.AsType[connError](err); return ok }},
		{"the server closes", func(s *server, _ *peer, _ *transport) { s.Close() }, func(err error) bool { return errors.Is(err, eventloop.ErrClosed) }},
		{"the transport closes it", func(_ *server, p *peer, to *transport) {
			to.socket.Close()
			f := p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameRSTStream }).(*xhttp2.RSTStreamFrame)
			if f.ErrCode != xhttp2.ErrCodeCancel {
				p.t.Errorf("the client got %v; want CANCEL", f.ErrCode)
			}
		}, nil},
		{"the transport panics", func(_ *server, p *peer, to *transport) {
			to.writing = func() { panic("test") }
			to.socket.WantWrite(true)
		}, func(err error) bool { return errors.Is(err, errPanicked) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, taken := taking(t)
			p := s.dial(t)
			p.request(1)
			to := await.Receive(t, taken, "stream")
			test.end(s, p, to)
			if test.want != nil {
				if err := await.Receive(t, to.closed, "Closed"); !test.want(err) {
					t.Errorf("Closed(%v)", err)
				}
			}
			s.Close()
			select {
			case err := <-to.closed:
				t.Errorf("Closed(%v), though it has ended", err)
			default:
			}
		})
	}
}

// Streams of one connection that have more to write than its socket takes all come to their
// end.
func TestTakenStreamsShareTheSocket(t *testing.T) {
	s, taken := taking(t)
	p := s.dial(t, xhttp2.Setting{ID: xhttp2.SettingInitialWindowSize, Val: 1<<31 - 1})
	p.try(p.frame.WriteWindowUpdate(0, 1<<30))
	const streams, size = 4, 8 << 20
	for i := range streams {
		p.request(uint32(2*i + 1))
		to := await.Receive(t, taken, "stream")
		rest := make([]byte, size)
		to.writing = func() {
			n, err := to.socket.Write(rest)
			if rest = rest[n:]; err == nil && len(rest) == 0 {
				_ = to.socket.CloseWrite()
			}
		}
		to.socket.WantWrite(true)
	}
	got := map[uint32]int{}
	for ended := 0; ended < streams; {
		f := p.until(func(f xhttp2.Frame) bool { return f.Header().Type == xhttp2.FrameData })
		if f == nil {
			t.Fatalf("the connection has ended after %v", got)
		}
		got[f.Header().StreamID] += int(f.Header().Length)
		if f.(*xhttp2.DataFrame).StreamEnded() {
			ended++
		}
	}
	for stream, n := range got {
		if n != size {
			t.Errorf("%d bytes of stream %d; want %d", n, stream, size)
		}
	}
}

// A connection with a stream that was taken over has no goroutine.
func TestIdleConnectionHasNoGoroutine(t *testing.T) {
	s, taken := taking(t)
	s.dial(t).request(1) // starts the event loop
	await.Receive(t, taken, "stream")
	before := runtime.NumGoroutine()
	const connections = 100
	for range connections {
		s.dial(t).request(1)
		await.Receive(t, taken, "stream")
	}
	await.Until(t, "the handlers have returned", func() bool { return runtime.NumGoroutine() < before+connections/2 })
}

// Responses that are complete by themselves cannot be taken over.
func TestTakeRefused(t *testing.T) {
	for name, prepare := range map[string]func(http.ResponseWriter){
		"not sent":   func(http.ResponseWriter) {},
		"no content": func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent); w.(http.Flusher).Flush() },
		"a length": func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "3")
			w.(http.Flusher).Flush()
			_, _ = w.Write([]byte("abc"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t, func(w http.ResponseWriter, _ *http.Request) {
				prepare(w)
				if _, err := w.(eventloop.Taker).Take(nil); err != http.ErrNotSupported { //nolint:errorlint // that one
					t.Errorf("Take() = %v; want ErrNotSupported", err)
				}
			})
			do(t, s.client, http.MethodGet, s.url, nil)
		})
	}
}
