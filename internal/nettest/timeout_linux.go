package nettest

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// UserTimeouts returns how long each connection of this process to the port of an address may be
// without an acknowledgement of what was sent (TCP_USER_TIMEOUT); zero means the default of the
// system.
func UserTimeouts(t testing.TB, address string) (timeouts []time.Duration) {
	t.Helper()
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		fd, err := strconv.Atoi(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if peer, err := unix.Getpeername(fd); err != nil || strconv.Itoa(portOf(peer)) != port {
			continue // not a socket, or another one
		}
		ms, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
		if err != nil {
			t.Fatal(err)
		}
		timeouts = append(timeouts, time.Duration(ms)*time.Millisecond)
	}
	return timeouts
}

func portOf(a unix.Sockaddr) int {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return a.Port
	case *unix.SockaddrInet6:
		return a.Port
	}
	return 0
}
