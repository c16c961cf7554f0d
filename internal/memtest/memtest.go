// Package memtest measures the memory and the processor time of a process in tests.
package memtest

import "runtime"

// Heap returns the bytes of the heap objects that are reachable. It collects garbage
// twice: the first collection runs finalizers and empties pools, the second frees what
// these kept. Differences are meaningful only while no other goroutine allocates.
func Heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc) //nolint:gosec // far below 2^63
}
