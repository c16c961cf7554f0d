//go:build !race

package websocket

// raceEnabled: the race detector's own memory is not to be counted.
const raceEnabled = false
