package handshake

import (
	"errors"
	"io"
	"net"
	"testing"

	"centrifugo/internal/await"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// listen listens, and dials connections.
func listen(t *testing.T, config Config) (l net.Listener, dial func() net.Conn) {
	t.Helper()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l = Listener(tcp, config)
	t.Cleanup(func() { _ = l.Close() })
	return l, func() net.Conn {
		c, err := net.Dial("tcp", tcp.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
}

// first reads a byte, and keeps a connection whose byte is k.
func first(c net.Conn) net.Conn {
	b := make([]byte, 1)
	if _, err := io.ReadFull(c, b); err != nil || b[0] == 'k' {
		_ = c.Close()
		return nil
	}
	return c
}

// A connection with which Do is busy does not keep others waiting; those that Do has kept are
// not returned.
func TestOthersDoNotWait(t *testing.T) {
	l, dial := listen(t, Config{Do: first})
	dial() // says nothing
	kept := dial()
	_, _ = kept.Write([]byte("k"))
	ready := dial()
	_, _ = ready.Write([]byte("r"))
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	if c.RemoteAddr().String() != ready.LocalAddr().String() {
		t.Errorf("Accept() returned %v; want the connection that is ready, %v", c.RemoteAddr(), ready.LocalAddr())
	}
}

// Connections that do not need Do are returned at once.
func TestNeeded(t *testing.T) {
	l, dial := listen(t, Config{Do: first, Needed: func(net.Conn) bool { return false }})
	dial()
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = c.Close()
}

// No more than AtOnce connections are dealt with at a time.
func TestAtOnce(t *testing.T) {
	busy := make(chan net.Conn, 10)
	l, dial := listen(t, Config{AtOnce: 2, Do: func(c net.Conn) net.Conn {
		busy <- c
		return first(c)
	}})
	slow := []net.Conn{dial(), dial(), dial()}
	await.Receive(t, busy, "call of Do")
	await.Receive(t, busy, "call of Do")
	if len(busy) > 0 {
		t.Error("a third call of Do has begun; want two at most")
	}
	for _, c := range slow {
		_, _ = c.Write([]byte("r"))
	}
	for range slow {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
	}
}

// Close ends the calls of Do and closes what was not returned.
func TestClose(t *testing.T) {
	busy := make(chan net.Conn, 2)
	l, dial := listen(t, Config{Do: func(c net.Conn) net.Conn {
		busy <- c
		return first(c)
	}})
	slow, ready := dial(), dial()
	_, _ = ready.Write([]byte("r"))
	await.Receive(t, busy, "call of Do")
	await.Receive(t, busy, "call of Do")
	if err := l.Close(); err != nil {
		t.Errorf("Close() = %v", err)
	}
	for _, c := range []net.Conn{slow, ready} {
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("a connection that was not returned is open")
		}
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept() = %v; want ErrClosed", err)
	}
}
