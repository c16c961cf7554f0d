//go:build !linux

package loadtest

import "time"

// checkFiles does nothing: the limit shows when a socket cannot be made.
func checkFiles(int) error { return nil }

// checkPorts does nothing: connecting will tell.
func checkPorts(int) error { return nil }

// ownCPU is not known here.
func ownCPU() time.Duration { return 0 }
