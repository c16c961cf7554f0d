//go:build unix

package memtest

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// CPU returns the processor time that the process has used. Unlike the time of day it does
// not grow while others have the cores.
func CPU(t testing.TB) time.Duration {
	t.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		t.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
