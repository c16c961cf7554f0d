//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package app

// openFiles is not known here.
func openFiles() uint64 { return 0 }
