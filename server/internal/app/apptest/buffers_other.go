//go:build !linux

package apptest

import "syscall"

// limitBuffers does nothing: tests of slow readers take longer.
func limitBuffers(_, _ string, _ syscall.RawConn) error { return nil }
