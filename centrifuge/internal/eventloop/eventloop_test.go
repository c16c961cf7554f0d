package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"centrifugo/internal/await"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const waitLimit = 2 * time.Minute

// recorder is a handler that keeps its events. Its hook decides about Data.
type recorder struct {
	socket   Socket
	data     chan []byte
	writable chan struct{}
	closed   chan error
	hook     func(b []byte) (n int, more bool)
	progress func() // nil for nothing
}

func newRecorder() *recorder {
	return &recorder{data: make(chan []byte, 1024), writable: make(chan struct{}, 1024), closed: make(chan error, 1024)}
}

func (r *recorder) Data(b []byte) (int, bool) {
	n, more := len(b), true
	if r.hook != nil {
		n, more = r.hook(b)
	}
	r.data <- bytes.Clone(b[:n])
	return n, more
}
func (r *recorder) Writable() {
	select {
	case r.writable <- struct{}{}:
	default: // it is said again while it is wanted
	}
}
func (r *recorder) Progress() {
	if r.progress != nil {
		r.progress()
	}
}
func (r *recorder) Closed(err error) { r.closed <- err }

func (r *recorder) expect(t *testing.T, want string) {
	t.Helper()
	var got []byte
	for len(got) < len(want) {
		got = append(got, await.Receive(t, r.data, "data")...)
	}
	if string(got) != want {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// pair returns both ends of a TCP connection.
func pair(t testing.TB) (server, client *net.TCPConn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return s.(*net.TCPConn), c.(*net.TCPConn)
}

func newLoop(t testing.TB, config Config) *Loop {
	t.Helper()
	l, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l
}

// peer is the other end of a connection.
type peer interface {
	net.Conn
	CloseWrite() error
}

// kind of socket.
type kind struct {
	name   string
	add    func(*Loop, net.Conn, Handler) (Socket, error)
	secure bool
}

var (
	plain    = kind{"plain", (*Loop).Add, false}
	secure   = kind{"secure", (*Loop).Add, true}
	threaded = kind{"threaded", (*Loop).AddThreaded, false}
)

// allKinds runs f for each kind of socket.
func allKinds(t *testing.T, f func(*testing.T, kind)) {
	for _, k := range []kind{plain, secure, threaded, {"secure-threaded", (*Loop).AddThreaded, true}} {
		t.Run(k.name, func(t *testing.T) { f(t, k) })
	}
}

// pair returns both ends of a connection of this kind.
func (k kind) pair(t testing.TB) (server net.Conn, client peer) {
	s, c := pair(t)
	if !k.secure {
		return s, c
	}
	return securePair(t, s, c, nil)
}

// connect puts one end of a connection into l and returns the other.
func connect(t testing.TB, l *Loop, k kind, r *recorder) peer {
	t.Helper()
	server, client := k.pair(t)
	var err error
	if r.socket, err = k.add(l, server, r); err != nil {
		t.Fatal(err)
	}
	return client
}

func start(t testing.TB, r *recorder, first string) {
	t.Helper()
	if err := r.socket.Start([]byte(first)); err != nil {
		t.Fatal(err)
	}
}

func send(t testing.TB, c net.Conn, s string) {
	t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		t.Fatal(err)
	}
}

func TestExchange(t *testing.T) {
	allKinds(t, func(t *testing.T, k kind) {
		r := newRecorder()
		client := connect(t, newLoop(t, Config{BufferSize: 64}), k, r)
		start(t, r, "first ")
		r.expect(t, "first ")
		long := strings.Repeat("0123456789", 1000) // many buffers
		send(t, client, long)
		r.expect(t, long)
		if n, err := r.socket.Write([]byte("hello")); n != 5 || err != nil {
			t.Fatalf("Write: %d, %v; want 5", n, err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(client, got); err != nil || string(got) != "hello" {
			t.Fatalf("client got %q, %v; want \"hello\"", got, err)
		}
		_ = client.CloseWrite()
		if err := await.Receive(t, r.closed, "end"); !errors.Is(err, io.EOF) {
			t.Fatalf("closed with %v; want %v", err, io.EOF)
		}
		if _, err := r.socket.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Write after the end: %v; want %v", err, net.ErrClosed)
		}
		r.socket.Close()
		r.socket.Resume()
		r.socket.WantWrite(true)
		if err := r.socket.CloseWrite(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseEndsConnectionAndIsSilent(t *testing.T) {
	allKinds(t, func(t *testing.T, k kind) {
		for _, started := range []bool{false, true} {
			l := newLoop(t, Config{})
			r := newRecorder()
			client := connect(t, l, k, r)
			if started {
				start(t, r, "")
			}
			r.socket.Close()
			r.socket.Close()
			if n, err := client.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
				t.Fatalf("client read %d, %v; want 0 and %v", n, err, io.EOF)
			}
			if err := r.socket.Start(nil); !started && !errors.Is(err, net.ErrClosed) {
				t.Fatalf("Start after Close: %v; want %v", err, net.ErrClosed)
			}
			l.Close()
			if got := len(r.closed); got != 0 {
				t.Fatalf("Close was reported to its caller: len(r.closed) = %v; want 0", got)
			}
		}
	})
}

func TestPauseAndResume(t *testing.T) {
	allKinds(t, func(t *testing.T, k kind) {
		r := newRecorder()
		r.hook = func(b []byte) (int, bool) { return 1, false } // byte by byte
		client := connect(t, newLoop(t, Config{}), k, r)
		start(t, r, "abc")
		for i, want := range []string{"a", "b", "c"} {
			r.expect(t, want)
			if got := len(r.data); got != 0 {
				t.Fatalf("data came while paused: len(r.data) = %v; want 0", got)
			}
			if i == 2 {
				send(t, client, "de")
			}
			resumeWhenPaused(r)
		}
		r.expect(t, "d")
		resumeWhenPaused(r)
		r.expect(t, "e")
		// The end of the stream waits as data would.
		_ = client.CloseWrite()
		if got := len(r.closed); got != 0 {
			t.Fatalf("end came while paused: len(r.closed) = %v; want 0", got)
		}
		resumeWhenPaused(r)
		if err := await.Receive(t, r.closed, "end"); !errors.Is(err, io.EOF) {
			t.Fatalf("closed with %v; want %v", err, io.EOF)
		}
	})
}

// resumeWhenPaused resumes whether or not the reader has taken note of the
// pause: both orders must do.
// What came before the end of a connection is read, however it ended and though
// the handler wanted nothing for a while, or wrote in vain.
func TestWhatCameBeforeTheEndIsRead(t *testing.T) {
	ends := map[string]func(peer){
		"half close": func(p peer) { _ = p.CloseWrite() },
		"close":      func(p peer) { _ = p.Close() },
		"reset": func(p peer) {
			tcp, ok := p.(*net.TCPConn)
			if !ok {
				tcp = p.(*tls.Conn).NetConn().(*net.TCPConn)
			}
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		},
	}
	allKinds(t, func(t *testing.T, k kind) {
		for name, end := range ends {
			for _, writes := range []bool{false, true} {
				t.Run(fmt.Sprint(name, writes), func(t *testing.T) {
					l := newLoop(t, Config{Pollers: 1})
					r := newRecorder()
					r.hook = func(b []byte) (int, bool) { return 1, b[0] != 'x' }
					client := connect(t, l, k, r)
					start(t, r, "")
					send(t, client, "x")
					r.expect(t, "x")
					send(t, client, "1")
					send(t, client, "2")
					end(client)
					for range 100 {
						if !writes {
							break
						}
						if _, err := r.socket.Write([]byte("w")); err != nil {
							if name != "half close" && !isEnded(err) {
								t.Errorf("a write after the end: %v; want one of the end", err)
							}
							break
						}
					}
					r.hook = nil
					resumeWhenPaused(r)
					r.expect(t, "12")
					if err := await.Receive(t, r.closed, "end"); err == nil {
						t.Error("closed without a reason; want an error")
					}
				})
			}
		}
	})
}

func resumeWhenPaused(r *recorder) { r.socket.Resume() }

func TestResumeWithinData(t *testing.T) {
	allKinds(t, func(t *testing.T, k kind) {
		r := newRecorder()
		r.hook = func(b []byte) (int, bool) {
			r.socket.Resume() // before the loop can know of the pause
			return 1, false
		}
		client := connect(t, newLoop(t, Config{}), k, r)
		start(t, r, "")
		send(t, client, "abcdef")
		r.expect(t, "abcdef")
		send(t, client, "ghi")
		r.expect(t, "ghi")
	})
}

// A full socket accepts less than it is given and reports when it is writable. The
// rest is written again.
func TestWritable(t *testing.T) {
	for _, k := range []kind{plain, secure} {
		t.Run(k.name, func(t *testing.T) {
			r := newRecorder()
			client := connect(t, newLoop(t, Config{}), k, r)
			if r.socket.Blocking() {
				t.Skip("no sockets here that do not block")
			}
			start(t, r, "")
			var sent bytes.Buffer
			chunk := make([]byte, 64<<10)
			n := len(chunk)
			var err error
			for i := byte(0); n == len(chunk); i++ {
				for j := range chunk {
					chunk[j] = i + byte(j>>8)
				}
				sent.Write(chunk)
				if n, err = r.socket.Write(chunk); err != nil {
					t.Fatal(err)
				}
			}
			again, err := r.socket.Write(chunk[n:])
			if n += again; n == len(chunk) || err != nil {
				t.Fatalf("a full socket took %d, %v; want a part", again, err)
			}
			if got := len(r.writable); got != 0 {
				t.Fatalf("Writable was called without WantWrite: len(r.writable) = %v; want 0", got)
			}
			r.socket.WantWrite(true)
			received := make(chan []byte)
			go func() {
				b := make([]byte, sent.Len()+1)
				_, _ = io.ReadFull(client, b)
				received <- b
			}()
			for rest := append(chunk[n:], 'y'); len(rest) > 0; {
				await.Receive(t, r.writable, "writable socket")
				if n, err = r.socket.Write(rest); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			r.socket.WantWrite(false)
			if !bytes.Equal(await.Receive(t, received, "what was written"), append(sent.Bytes(), 'y')) {
				t.Fatal("other bytes came than were written; want the same")
			}
		})
	}
}

func TestBlockingWriteTimesOut(t *testing.T) {
	r := newRecorder()
	connect(t, newLoop(t, Config{WriteTimeout: 20 * time.Millisecond}), threaded, r)
	start(t, r, "")
	chunk := make([]byte, 1<<20)
	for {
		if _, err := r.socket.Write(chunk); err != nil {
			var timeout net.Error
			if !errors.As(err, &timeout) || !timeout.Timeout() {
				t.Fatal(err)
			}
			return
		}
	}
}

func TestPanicClosesOnlyItsConnection(t *testing.T) {
	allKinds(t, func(t *testing.T, k kind) {
		panics := make(chan any, 8)
		l := newLoop(t, Config{Pollers: 1, Panicked: func(v any, stack []byte) {
			if !bytes.Contains(stack, []byte("eventloop_test.go")) {
				t.Errorf("stack does not show the handler: %s; want \"eventloop_test.go\" in it", stack)
			}
			panics <- v
		}})
		bad, good := newRecorder(), newRecorder()
		bad.hook = func(b []byte) (int, bool) { panic("at the disco") }
		badClient, goodClient := connect(t, l, k, bad), connect(t, l, k, good)
		start(t, bad, "")
		start(t, good, "")
		send(t, badClient, "x")
		if v := await.Receive(t, panics, "panic"); v != "at the disco" {
			t.Fatalf("panic was %v; want \"at the disco\"", v)
		}
		if err := await.Receive(t, bad.closed, "end"); !errors.Is(err, ErrPanic) {
			t.Fatalf("closed with %v; want %v", err, ErrPanic)
		}
		if _, err := badClient.Read(make([]byte, 1)); err == nil {
			t.Fatal("connection lives on; want an error")
		}
		send(t, goodClient, "still here")
		good.expect(t, "still here")
	})
}

func TestLoopCloseTellsAll(t *testing.T) {
	allKinds(t, func(t *testing.T, k kind) {
		l := newLoop(t, Config{})
		var all []*recorder
		for i := range 8 {
			r := newRecorder()
			connect(t, l, k, r)
			if i%2 == 0 {
				start(t, r, "")
			}
			all = append(all, r)
		}
		l.Close()
		l.Close()
		for i, r := range all {
			if err := await.Receive(t, r.closed, "end"); !errors.Is(err, ErrClosed) {
				t.Fatalf("socket %d closed with %v; want %v", i, err, ErrClosed)
			}
		}
		server, _ := k.pair(t)
		defer func() { _ = server.Close() }()
		if _, err := k.add(l, server, newRecorder()); !errors.Is(err, ErrClosed) {
			t.Fatalf("Add after Close: %v; want %v", err, ErrClosed)
		}
	})
}

// tagged is a handler that gets only bytes of its own connection, or fails.
type tagged struct {
	t      *testing.T
	tag    byte
	socket Socket
	heard  atomic.Int64
	done   sync.WaitGroup
}

func (h *tagged) Data(b []byte) (int, bool) {
	for _, c := range b {
		if c != h.tag {
			h.t.Errorf("connection %d heard %d; want its own number", h.tag, c)
		}
	}
	if h.heard.Add(int64(len(b))) >= 64 {
		h.socket.Close()
		h.done.Done()
	}
	return len(b), true
}
func (h *tagged) Writable()    { h.socket.WantWrite(false) }
func (h *tagged) Progress()    {}
func (h *tagged) Closed(error) { h.done.Done() }

// Descriptors are closed and reused all the time while other goroutines write
// to, resume and close the sockets that had them before.
func TestDescriptorReuse(t *testing.T) {
	t.Run("plain", func(t *testing.T) { reuseDescriptors(t, plain, 200) })
	t.Run("secure", func(t *testing.T) { reuseDescriptors(t, secure, 40) })
}

func reuseDescriptors(t *testing.T, k kind, rounds int) {
	l := newLoop(t, Config{Pollers: 2})
	if testing.Short() {
		rounds /= 10
	}
	var workers sync.WaitGroup
	for w := range 8 {
		workers.Go(func() {
			for i := range rounds {
				tag := byte(w*31 + i + 1)
				server, client := k.pair(t)
				h := &tagged{t: t, tag: tag}
				h.done.Add(1)
				var err error
				if h.socket, err = l.Add(server, h); err != nil {
					t.Error(err)
					return
				}
				if err := h.socket.Start(nil); err != nil {
					t.Error(err)
					return
				}
				var late sync.WaitGroup
				for range 2 {
					late.Go(func() { // goes on after the close
						for range 50 {
							_, _ = h.socket.Write([]byte{tag})
							h.socket.WantWrite(true)
							h.socket.Resume()
						}
						h.socket.Close()
					})
				}
				_, _ = client.Write(bytes.Repeat([]byte{tag}, 64))
				read, _ := io.ReadAll(client)
				for _, c := range read {
					if c != tag {
						t.Errorf("client %d got %d; want its own number", tag, c)
					}
				}
				late.Wait()
				_ = client.Close()
			}
		})
	}
	workers.Wait()
}

func TestReadAllocatesNothing(t *testing.T) {
	r := &counter{came: make(chan struct{}, 1)}
	server, client := pair(t)
	s, err := newLoop(t, Config{}).Add(server, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(nil); err != nil {
		t.Fatal(err)
	}
	message := []byte("pong")
	if n := testing.AllocsPerRun(200, func() {
		_, _ = client.Write(message)
		<-r.came
	}); n != 0 {
		t.Fatalf("%v allocations for a read; want 0", n)
	}
}

type counter struct {
	came     chan struct{}
	progress int
}

func (c *counter) Data(b []byte) (int, bool) { c.came <- struct{}{}; return len(b), true }
func (c *counter) Writable()                 {}
func (c *counter) Progress()                 { c.progress++ }
func (c *counter) Closed(error)              {}

func BenchmarkRoundTrip(b *testing.B) {
	for _, k := range []kind{plain, secure, threaded} {
		b.Run(k.name, func(b *testing.B) {
			r := &counter{came: make(chan struct{}, 1)}
			server, client := k.pair(b)
			s, err := k.add(newLoop(b, Config{}), server, r)
			if err != nil {
				b.Fatal(err)
			}
			if err := s.Start(nil); err != nil {
				b.Fatal(err)
			}
			message := []byte("pong")
			b.ReportAllocs()
			for b.Loop() {
				_, _ = client.Write(message)
				<-r.came
			}
		})
	}
}
