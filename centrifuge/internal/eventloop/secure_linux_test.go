//go:build linux

package eventloop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"centrifugo/internal/await"
)

// echo sends back what comes. It pauses at random, in the middle of what it is
// given too, and goes on from another goroutine or at once.
type echo struct {
	socket  Socket
	closed  chan error
	resumes sync.WaitGroup

	// Owned by the reader.
	random *rand.Rand

	// Guarded by mu.
	mu  sync.Mutex
	out []byte
}

func (e *echo) Data(b []byte) (n int, more bool) {
	n, more = len(b), true
	choice := e.random.IntN(8)
	if choice < 2 {
		n, more = e.random.IntN(len(b)+1), false
	}
	e.mu.Lock()
	e.out = append(e.out, b[:n]...)
	e.mu.Unlock()
	clear(b[:n]) // whoever keeps it is found out
	e.Writable()
	switch choice {
	case 0:
		e.socket.Resume()
	case 1:
		e.resumes.Go(e.socket.Resume)
	}
	return n, more
}

func (e *echo) Writable() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.out) > 0 {
		n, err := e.socket.Write(e.out)
		if err != nil {
			return // Closed says why
		}
		e.out = e.out[n:]
	}
	e.socket.WantWrite(len(e.out) > 0)
}

func (e *echo) Progress() {}

func (e *echo) Closed(err error) { e.closed <- err }

// relay passes on what one connection sends to another in pieces of up to size
// bytes, and what comes back as it is.
func relay(from, to *net.TCPConn, size int, all *sync.WaitGroup) {
	all.Go(func() {
		random := rand.New(rand.NewPCG(uint64(size), 2))
		b := make([]byte, size)
		for {
			n, err := from.Read(b[:1+random.IntN(size)])
			if err != nil {
				_ = to.CloseWrite()
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
	})
	all.Go(func() {
		_, _ = io.Copy(from, to)
		_ = from.CloseWrite()
	})
}

// What goes in comes out, with TLS or without, whatever its version, the cipher,
// and the pieces it comes in; with pauses, and with a kernel that does not take
// everything.
func TestStream(t *testing.T) {
	settings := map[string]func(server, client *tls.Config){
		"plain": nil,
		"1.3":   func(server, _ *tls.Config) { server.MinVersion = tls.VersionTLS13 },
		"1.2":   func(_, client *tls.Config) { client.MaxVersion = tls.VersionTLS12 },
		"1.2 CBC": func(_, client *tls.Config) {
			client.MaxVersion = tls.VersionTLS12
			client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
		},
		"1.2 ChaCha20": func(_, client *tls.Config) {
			client.MaxVersion = tls.VersionTLS12
			client.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
		},
	}
	for name, adapt := range settings {
		for pieces, size := range map[string]struct{ piece, buffer, total int }{
			"bytes": {1, 16, 2000}, "pieces": {700, 333, 200_000}, "as it is": {64 << 10, 0, 3_000_000},
		} {
			t.Run(name+"/"+pieces, func(t *testing.T) {
				t.Parallel()
				var relays sync.WaitGroup
				server, middleOut := pair(t)
				middleIn, client := pair(t)
				relay(middleIn, middleOut, size.piece, &relays)
				var accepted, dialed = net.Conn(server), peer(client)
				if adapt != nil {
					accepted, dialed = securePair(t, server, client, adapt)
				}
				exchange(t, newLoop(t, Config{BufferSize: size.buffer}), accepted, dialed, size.total)
				_ = client.Close()
				relays.Wait()
				_ = middleIn.Close()
			})
		}
	}
}

func exchange(t *testing.T, l *Loop, accepted net.Conn, dialed peer, total int) {
	random := rand.New(rand.NewPCG(1, uint64(total)))
	e := &echo{closed: make(chan error, 1), random: rand.New(rand.NewPCG(3, 4))}
	var err error
	if e.socket, err = l.Add(accepted, e); err != nil {
		t.Fatal(err)
	}
	if e.socket.Blocking() {
		t.Fatalf("the socket is a %T; want one that does not block", e.socket)
	}
	sent := make([]byte, total)
	for i := range sent {
		sent[i] = byte(random.Uint32())
	}
	const ahead = 7 // bytes that came before the socket did
	if err := e.socket.Start(bytes.Clone(sent[:ahead])); err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		for rest := sent[ahead:]; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(40_000))
			if _, err := dialed.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
	})
	got := make([]byte, total)
	if n, err := io.ReadFull(dialed, got); err != nil {
		t.Fatalf("after %d bytes: %v", n, err)
	}
	if !bytes.Equal(got, sent) {
		t.Fatalf("%d bytes came back that differ from the %d sent; want the same", len(got), len(sent))
	}
	writer.Wait()
	if err := dialed.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if err := await.Receive(t, e.closed, "end"); !errors.Is(err, io.EOF) {
		t.Fatalf("closed with %v; want %v", err, io.EOF)
	}
	if n, err := dialed.Read(got); n != 0 || !errors.Is(err, io.EOF) {
		t.Fatalf("%d, %v after the end; want 0 and %v", n, err, io.EOF)
	}
	e.resumes.Wait()
}

// However little the peer reads, what is encrypted for it stays bounded, and
// all of it comes, the goodbye included.
func TestSecureSlowReader(t *testing.T) {
	r := newRecorder()
	client := connect(t, newLoop(t, Config{}), secure, r)
	start(t, r, "")
	chunk := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	sent, n := 0, len(chunk)
	var err error
	for ; n == len(chunk); sent += len(chunk) {
		if n, err = r.socket.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	s := r.socket.(*secureSocket)
	s.mu.Lock()
	sealed := len(s.sealed)
	s.mu.Unlock()
	if sealed == 0 || sealed > maxSealed || s.uncounted == 0 || s.uncounted > recordSize {
		t.Fatalf("%d bytes are encrypted and not sent, for %d; want more than 0, at most %v, more than 0 and at most %v",
			sealed, s.uncounted, maxSealed, recordSize)
	}
	s.WantWrite(true)
	received := make(chan int)
	go func() {
		all, _ := io.ReadAll(client) // without an error: the goodbye came
		received <- len(all)
	}()
	for rest := chunk[n:]; len(rest) > 0; rest = rest[n:] {
		await.Receive(t, r.writable, "writable socket")
		if n, err = s.Write(rest); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if got := await.Receive(t, received, "end"); got != sent {
		t.Fatalf("%d bytes came; want %d", got, sent)
	}
}

// How a connection may end.
func TestSecureEnds(t *testing.T) {
	for name, c := range map[string]struct {
		end   func(t *testing.T, client *tls.Conn, tcp *net.TCPConn)
		check func(error) bool
	}{
		"goodbye":         {func(_ *testing.T, c *tls.Conn, _ *net.TCPConn) { _ = c.Close() }, isEOF},
		"without goodbye": {func(_ *testing.T, _ *tls.Conn, tcp *net.TCPConn) { _ = tcp.Close() }, isEOF},
		"reset": {func(_ *testing.T, _ *tls.Conn, tcp *net.TCPConn) {
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}, func(err error) bool { return err != nil && !isEOF(err) }},
		"half a record": {func(t *testing.T, _ *tls.Conn, tcp *net.TCPConn) {
			send(t, tcp, "\x17\x03\x03\x00\x30half")
			_ = tcp.CloseWrite()
		}, isEOF},
		"forged record": {func(t *testing.T, c *tls.Conn, tcp *net.TCPConn) {
			send(t, tcp, "\x17\x03\x03\x00\x30"+strings.Repeat("x", 0x30))
			if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "bad record MAC") {
				t.Errorf("the client was told %v; want an error and \"bad record MAC\" in it", err)
			}
		}, isTLS},
		"no TLS at all": {func(t *testing.T, _ *tls.Conn, tcp *net.TCPConn) { send(t, tcp, "GET / HTTP/1.1\r\n\r\n") }, isTLS},
		"too long":      {func(t *testing.T, _ *tls.Conn, tcp *net.TCPConn) { send(t, tcp, "\x17\x03\x03\xff\xff") }, isTLS},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRecorder()
			client := connect(t, newLoop(t, Config{}), secure, r).(*tls.Conn)
			start(t, r, "")
			send(t, client, "hello")
			r.expect(t, "hello")
			c.end(t, client, client.NetConn().(*net.TCPConn))
			if err := await.Receive(t, r.closed, "end"); !c.check(err) {
				t.Fatalf("closed with %v; want the end of this case", err)
			}
		})
	}
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }
func isTLS(err error) bool { return err != nil && strings.Contains(err.Error(), "tls: ") }

// A connection is taken over once, and only when its handshake is complete.
func TestSecureTakeOver(t *testing.T) {
	l := newLoop(t, Config{})
	server, _ := secure.pair(t)
	before := server.RemoteAddr().String()
	r := newRecorder()
	var err error
	if r.socket, err = l.Add(server, r); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Add(server, newRecorder()); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("added twice: %v; want %v", err, net.ErrClosed)
	}
	if after := server.RemoteAddr().String(); after == before || server.LocalAddr() == nil {
		t.Fatalf("address %s is still kept; want another one", after)
	}

	tcp, c := pair(t)
	early := newRecorder()
	config := &tls.Config{Certificates: []tls.Certificate{certificate()}, MinVersion: tls.VersionTLS12}
	if early.socket, err = l.Add(tls.Server(Beneath(tcp), config), early); err != nil {
		t.Fatal(err)
	}
	if !early.socket.Blocking() {
		t.Fatal("the socket is polled in the middle of a handshake; want one that blocks")
	}
	start(t, early, "")
	send(t, tls.Client(c, &tls.Config{InsecureSkipVerify: true}), "late") //nolint:gosec // its own server
	early.expect(t, "late")

	a, b := net.Pipe()
	if got := Beneath(a); got != a {
		t.Fatalf("prepared what is not TCP: Beneath(a) = %v; want %v", got, a)
	}
	_, _ = a.Close(), b.Close()

	// TCP that was prepared for TLS, and has none, is polled as it is.
	tcp, c = pair(t)
	bare := newRecorder()
	if bare.socket, err = l.Add(Beneath(tcp), bare); err != nil || bare.socket.Blocking() {
		t.Fatalf("%T, %v; want one that does not block", bare.socket, err)
	}
	start(t, bare, "")
	send(t, c, "bare")
	bare.expect(t, "bare")
}

// attributed is a connection whose peer is elsewhere.
type attributed struct{ *net.TCPConn }

func (attributed) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(203, 0, 113, 7), Port: 1} }

func (a attributed) Raw() *net.TCPConn { return a.TCPConn }

// A connection that comes from behind a load balancer is polled, with and without TLS.
func TestAttributedIsPolled(t *testing.T) {
	l := newLoop(t, Config{})
	tcp, c := pair(t)
	bare := newRecorder()
	var err error
	if bare.socket, err = l.Add(attributed{tcp}, bare); err != nil || bare.socket.Blocking() {
		t.Fatalf("%T, %v; want a polled socket", bare.socket, err)
	}
	start(t, bare, "")
	send(t, c, "bare")
	bare.expect(t, "bare")

	tcp, c = pair(t)
	server, client := securePair(t, attributed{tcp}, c, nil)
	if got := server.RemoteAddr().String(); got != "203.0.113.7:1" {
		t.Errorf("remote address %s; want 203.0.113.7:1", got)
	}
	r := newRecorder()
	if r.socket, err = l.Add(server, r); err != nil || r.socket.Blocking() {
		t.Fatalf("%T, %v; want a polled socket", r.socket, err)
	}
	start(t, r, "")
	send(t, client, "secure")
	r.expect(t, "secure")
}
