//go:build !linux

package loadtest

import (
	"errors"
	"time"
)

// usage is what a process has used.
type usage struct {
	user, system time.Duration
	rss          int64 // bytes
}

// errNoProcess says that other processes cannot be sampled.
var errNoProcess = errors.New("sampling a process is not available on this system")

func processUsage(int) (usage, error) { return usage{}, errNoProcess }
