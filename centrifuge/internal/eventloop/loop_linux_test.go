//go:build linux

package eventloop

import (
	"errors"
	"net"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"centrifugo/internal/await"
)

// A paused socket must not be reported again and again because its peer has
// finished, or because the connection is no more. When it is resumed, what came
// before is read, and then the end is noticed.
func TestPausedSocketIsQuietAndKeepsWhatCame(t *testing.T) {
	l := newLoop(t, Config{Pollers: 1})
	r := newRecorder()
	r.hook = func(b []byte) (int, bool) { return len(b), string(b) != "x" }
	client := connect(t, l, plain, r).(*net.TCPConn)
	start(t, r, "")
	send(t, client, "x")
	r.expect(t, "x")
	for r.socket.(*polledSocket).flow.state.Load() != paused { // set right after Data
	}
	send(t, client, "unread")
	_ = client.CloseWrite()
	if n := pendingEvents(t, l.pollers[0]); n != 0 {
		t.Fatalf("%d events of a paused socket; want 0", n)
	}
	if got := len(r.closed); got != 0 {
		t.Fatalf("the end of a stream is not the end of a paused connection: len(r.closed) = %v; want 0", got)
	}
	_ = client.SetLinger(0)
	_ = client.Close() // resets the connection
	for s := r.socket.(*polledSocket); ; {
		s.mu.Lock()
		hung := s.hung
		s.mu.Unlock()
		if hung {
			break
		}
		runtime.Gosched()
	}
	if n := pendingEvents(t, l.pollers[0]); n != 0 {
		t.Fatalf("%d events of a paused socket that was reset; want 0", n)
	}
	r.socket.WantWrite(true) // changes nothing while it is paused
	if n := pendingEvents(t, l.pollers[0]); n != 0 || len(r.closed) != 0 {
		t.Fatalf("%d events, %d ends; want 0 and none", n, len(r.closed))
	}
	r.socket.Resume()
	r.expect(t, "unread")
	if err := await.Receive(t, r.closed, "end"); err == nil {
		t.Fatal("closed without a reason; want an error")
	}
}

// pendingEvents waits a little for events and counts them.
func pendingEvents(t *testing.T, p *poller) (n int) {
	t.Helper()
	err := p.raw.Control(func(fd uintptr) {
		err := error(unix.EINTR)
		for errors.Is(err, unix.EINTR) { // a signal of Go's runtime came first
			n, err = unix.EpollWait(int(fd), make([]unix.EpollEvent, 8), 50)
		}
		if err != nil {
			t.Errorf("epoll_wait: %v; want no error", err)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// An event that was on its way when its socket was closed must not reach the
// next owner of the descriptor.
func TestEventOfAnEarlierOwnerIsDropped(t *testing.T) {
	var table table
	old := &polledSocket{fd: 7}
	table.add(old)
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: 7, Pad: int32(old.generation)}
	table.remove(old)
	if found := table.find(nil, []unix.EpollEvent{event}); len(found) != 0 {
		t.Fatal("found a removed socket; want none")
	}
	next := &polledSocket{fd: 7}
	table.add(next)
	if found := table.find(nil, []unix.EpollEvent{event}); len(found) != 0 {
		t.Fatal("found the descriptor's next owner; want none")
	}
	event.Pad = int32(next.generation)
	if found := table.find(nil, []unix.EpollEvent{event}); len(found) != 1 || found[0].socket != next {
		t.Fatalf("did not find the owner; want len(found) 1 and found[0].socket %v", next)
	}
}

// The socket is part of what an idle connection costs.
func TestSocketSize(t *testing.T) {
	if size := unsafe.Sizeof(polledSocket{}); size > 64 {
		t.Errorf("a socket has %d bytes; want at most 64", size)
	}
	if size := unsafe.Sizeof(secureSocket{}); size > 176 {
		t.Errorf("a secure one has %d bytes; want at most 176", size)
	}
}
