//go:build linux

package websocket

import (
	"context"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"centrifugo/centrifuge"
)

// held is a session that keeps what the core would at least keep.
type held struct {
	refused
	ctx       context.Context
	transport centrifuge.Transport
}

// What an idle connection costs the process. The clients are bare descriptors,
// which cost it nothing; what a session of the core adds is not in it.
func TestIdleConnectionMemory(t *testing.T) {
	const budget = 1536 // bytes of heap and stacks, the context of the request included
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	connections := min(9500, int(limit.Cur)/2-100)
	if testing.Short() {
		connections = min(connections, 2000)
	}
	accepted := make(chan *held, connections)
	s := &server{}
	s.serve(t, func(ctx context.Context, transport centrifuge.Transport) (session, error) {
		h := &held{ctx: ctx, transport: transport}
		accepted <- h
		return h, nil
	}, Config{}, false)
	sessions := make([]*held, 0, connections)
	heapBefore, rssBefore := used(t)
	for range connections {
		fd := bareClient(t, s.http.Listener.Addr().(*net.TCPAddr))
		defer func() { _ = unix.Close(fd) }()
		sessions = append(sessions, receive(t, accepted, "session"))
	}
	heapAfter, rssAfter := used(t)
	heap := (heapAfter - heapBefore) / connections
	t.Logf("%d idle connections: %d bytes of heap and stacks each, %d bytes of RSS each",
		connections, heap, (rssAfter-rssBefore)/connections)
	if heap > budget && !raceEnabled {
		t.Errorf("%d bytes each, budget %d", heap, budget)
	}
	runtime.KeepAlive(sessions)
}

// used returns the bytes of heap and stacks in use, and the resident set.
func used(t *testing.T) (heap, rss int) {
	t.Helper()
	runtime.GC()
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	statm, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	var total, resident int
	if _, err := fmt.Sscan(string(statm), &total, &resident); err != nil {
		t.Fatal(err)
	}
	return int(m.HeapAlloc + m.StackInuse), resident * os.Getpagesize()
}

// bareClient makes a WebSocket connection without help of the net package.
func bareClient(t *testing.T, address *net.TCPAddr) int {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte(handshake("/"))); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1024)
	n, err := unix.Read(fd, answer)
	if err != nil || !strings.HasPrefix(string(answer[:n]), "HTTP/1.1 101 ") {
		t.Fatalf("%q %v", answer[:max(n, 0)], err)
	}
	return fd
}
