//go:build race

package memtest

// Race reports whether the race detector is built in: it adds memory and allocations
// of its own, which guards must not count.
const Race = true
