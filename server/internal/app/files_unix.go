//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package app

import "syscall"

// openFiles is how many files and sockets the process may have open; zero for not
// known. The Go runtime has raised the limit as far as it may.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:gosec,unconvert // signed on some systems, never negative
}
