package postgresql

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// unacknowledgedLimit is how long the kernel waits for the acknowledgement of a statement. Probes
// of idle connections do not help then, and its default is a quarter of an hour.
const unacknowledgedLimit = 20 * time.Second

// limitUnacknowledged is a Control of net.Dialer.
func limitUnacknowledged(network, _ string, c syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var failed error
	if err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(unacknowledgedLimit.Milliseconds())) //nolint:gosec // a descriptor
	}); err != nil {
		return err //nolint:wrapcheck // the dialer says of what
	}
	return failed //nolint:wrapcheck // the dialer says of what
}
