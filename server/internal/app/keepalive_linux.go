package app

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// The probes that tell that a peer is gone, as package net sets them.
const (
	keepAliveIdle     = 15 // seconds
	keepAliveInterval = 15 // seconds
	keepAliveCount    = 9
)

// listenConfig sets keep-alive on the listening socket, from which Linux gives
// it to every accepted one (tcp(7)). Package net would make four system calls
// for each connection, a twentieth of what it costs to connect. With reuse, other processes
// of the user may listen on the same address (SO_REUSEPORT, socket(7)).
func listenConfig(reuse bool) *net.ListenConfig {
	return &net.ListenConfig{KeepAlive: -1, Control: func(_, _ string, raw syscall.RawConn) error {
		var failed error
		err := raw.Control(func(fd uintptr) {
			options := []struct{ level, name, value int }{
				{syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPIDLE, keepAliveIdle},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPINTVL, keepAliveInterval},
				{syscall.IPPROTO_TCP, syscall.TCP_KEEPCNT, keepAliveCount},
			}
			if reuse {
				options = append(options, struct{ level, name, value int }{syscall.SOL_SOCKET, unix.SO_REUSEPORT, 1})
			}
			for _, option := range options {
				if failed == nil {
					failed = syscall.SetsockoptInt(int(fd), option.level, option.name, option.value)
				}
			}
		})
		if err != nil {
			return err //nolint:wrapcheck // net says where it happened
		}
		return failed
	}}
}
