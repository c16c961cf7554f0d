package app

import (
	"context"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// After a burst the runtime keeps freed memory for minutes: it collects an idle heap
// every two minutes and returns memory slowly, so that a busy program does not have to
// allocate it again. A server that has become idle returns memory within a minute:
// idleMemory checks every idleInterval and acts once after a burst.
const (
	idleInterval = 10 * time.Second
	// idleRate is how many bytes a server may allocate in an interval and count as idle:
	// pings, a health check, a collection of metrics.
	idleRate = 4 << 20
	// idleWorth is how many bytes must have been allocated since memory was returned
	// before it is returned again, because a collection costs CPU, more with many
	// connections.
	idleWorth = 64 << 20
)

// idleMemory decides when an idle server returns memory to the operating system.
type idleMemory struct {
	seen  uint64 // total bytes allocated at the last check
	given uint64 // total bytes allocated when memory was returned
}

// due is called once in an interval with the total of bytes allocated. It returns true
// if the interval was idle and enough was allocated since memory was returned.
func (m *idleMemory) due(allocated uint64) bool {
	idle := allocated-m.seen <= idleRate
	m.seen = allocated
	if !idle || allocated-m.given < idleWorth {
		return false
	}
	m.given = allocated
	return true
}

// giveMemoryBack returns memory when the server is idle, until ctx is done.
func giveMemoryBack(ctx context.Context) {
	ticker := time.NewTicker(idleInterval)
	defer ticker.Stop()
	sample := []runtimemetrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	var memory idleMemory
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			runtimemetrics.Read(sample)
			if sample[0].Value.Kind() == runtimemetrics.KindUint64 && memory.due(sample[0].Value.Uint64()) {
				debug.FreeOSMemory()
			}
		}
	}
}
