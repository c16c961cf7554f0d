package loadtest

import (
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// spareFiles are descriptors that a worker needs beside its clients and publishers.
const spareFiles = 64

// checkFiles raises the limit of open files as far as it can be and says when
// that is not enough for n sockets.
func checkFiles(n int) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("reading the limit of open files: %w", err)
	}
	if limit.Cur < limit.Max {
		limit.Cur = limit.Max
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			return fmt.Errorf("raising the limit of open files to %d: %w", limit.Max, err)
		}
	}
	if uint64(n)+spareFiles > limit.Cur { //nolint:gosec // not negative
		return fmt.Errorf("%d sockets in one process exceed its limit of %d open files: raise it (ulimit -n), use more --workers or fewer --clients", n, limit.Cur)
	}
	return nil
}

// checkPorts says when n connections from each source address to one server
// need more ports than the system gives.
func checkPorts(n int) error {
	text, err := os.ReadFile("/proc/sys/net/ipv4/ip_local_port_range")
	if err != nil {
		return nil //nolint:nilerr // then connecting will tell
	}
	var first, last int
	if _, err := fmt.Sscan(strings.TrimSpace(string(text)), &first, &last); err != nil {
		return nil //nolint:nilerr // likewise
	}
	if n > last-first {
		return fmt.Errorf("%d connections from one address exceed the %d ports of the system: use more --source-addresses, for example 127.0.0.1-127.0.0.20", n, last-first)
	}
	return nil
}

// ownCPU returns what this process has used.
func ownCPU() time.Duration {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
