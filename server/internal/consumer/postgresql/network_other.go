//go:build !linux

package postgresql

import "syscall"

// limitUnacknowledged is a Control of net.Dialer. Elsewhere the kernel's own limit counts.
func limitUnacknowledged(string, string, syscall.RawConn) error { return nil }
