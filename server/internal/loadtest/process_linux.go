package loadtest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used.
type usage struct {
	user, system time.Duration
	rss          int64 // bytes
}

// processUsage reads proc(5): /proc/PID/stat, whose unit of time is a hundredth
// of a second, and /proc/PID/statm.
func processUsage(pid int) (u usage, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return u, fmt.Errorf("reading process %d: %w", pid, err)
	}
	statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return u, fmt.Errorf("reading process %d: %w", pid, err)
	}
	text := string(stat)
	times := strings.Fields(text[strings.LastIndexByte(text, ')')+1:]) // the name may hold spaces
	pages := strings.Fields(string(statm))
	if len(times) < 13 || len(pages) < 2 {
		return u, fmt.Errorf("reading process %d: malformed", pid)
	}
	user, err1 := strconv.ParseInt(times[11], 10, 64)
	system, err2 := strconv.ParseInt(times[12], 10, 64)
	resident, err3 := strconv.ParseInt(pages[1], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return u, fmt.Errorf("reading process %d: %w", pid, err)
	}
	const tick = 10 * time.Millisecond
	return usage{time.Duration(user) * tick, time.Duration(system) * tick, resident * int64(os.Getpagesize())}, nil
}
