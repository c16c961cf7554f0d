//go:build !linux

package websocket

// runtimeHasPollers says that plain TCP connections are not Blocking here.
const runtimeHasPollers = false
