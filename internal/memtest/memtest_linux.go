package memtest

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Used returns the bytes of heap and stacks in use, and the resident set of the process.
func Used(t testing.TB) (heap, rss int) {
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

// Connections returns how many connections with both ends in this process a test may
// open: at most 9500, fewer in short mode or if the process may have fewer descriptors.
func Connections(t testing.TB) int {
	t.Helper()
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	n := min(9500, int(limit.Cur)/2-100)
	if testing.Short() {
		n = min(n, 2000)
	}
	return n
}

// BareClient connects without help of the net package, so that the client's end costs the
// process nothing, sends request and reads a response, which must begin with want. The
// connection lasts until the end of the test.
func BareClient(t testing.TB, address *net.TCPAddr, request, want string) {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: address.Port, Addr: [4]byte(address.IP.To4())}); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(fd, []byte(request)); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1024)
	n, err := unix.Read(fd, answer)
	if err != nil || !strings.HasPrefix(string(answer[:max(n, 0)]), want) {
		t.Fatalf("read %q, %v; want a response with %q", answer[:max(n, 0)], err, want)
	}
}
