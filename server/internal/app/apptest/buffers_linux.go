package apptest

import (
	"errors"
	"syscall"
)

// segment is the size of the segments that a client takes, in bytes: the send buffer that Linux
// gives the server is proportional to it, and megabytes on the loopback interface.
const segment = 1400

// limitBuffers is a Control of a net.Dialer.
func limitBuffers(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = errors.Join(syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, readBuffer),
			syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_MAXSEG, segment))
	})
	return errors.Join(err, failed)
}
