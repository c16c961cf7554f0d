package app

import (
	"context"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"time"
)

// After a burst the runtime keeps what it has freed for minutes: it collects an
// idle heap every two minutes and gives memory back slowly, so that a busy program
// does not ask for it again. A server that has become idle gives it back within a
// minute: idleMemory looks every idleInterval, and acts once after work has ended.
const (
	idleInterval = 10 * time.Second
	// idleRate is how many bytes an idle server allocates in an interval at most:
	// pings, a health check, a collection of metrics.
	idleRate = 4 << 20
	// idleWorth is how many bytes were allocated since memory was given back, at
	// least, for doing it again: a collection costs CPU, more with many connections.
	idleWorth = 64 << 20
)

// idleMemory decides when an idle server gives memory back.
type idleMemory struct {
	seen  uint64 // bytes allocated in all at the last look
	given uint64 // and when memory was given back
}

// due is called once in an interval with the bytes allocated in all. The interval
// before must have been idle, and enough must have happened to be worth it.
func (m *idleMemory) due(allocated uint64) bool {
	idle := allocated-m.seen <= idleRate
	m.seen = allocated
	if !idle || allocated-m.given < idleWorth {
		return false
	}
	m.given = allocated
	return true
}

// giveMemoryBack runs until ctx ends.
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
