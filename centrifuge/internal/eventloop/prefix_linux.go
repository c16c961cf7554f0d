//go:build linux

package eventloop

import (
	"errors"
	"fmt"
	"net"

	"golang.org/x/sys/unix"
)

// HasPrefix reports whether what c receives begins with prefix. It waits until that is known
// and reads nothing. It returns an error at the read deadline of c, or if c was closed. A
// connection that cannot be polled has no prefix.
func HasPrefix(c net.Conn, prefix string) (ok bool, _ error) {
	tcp, isTCP := c.(*net.TCPConn)
	if from, attributed := c.(Attributed); attributed {
		tcp, isTCP = from.Raw(), true
	}
	if !isTCP {
		return false, nil
	}
	raw, err := tcp.SyscallConn()
	if err != nil {
		return false, fmt.Errorf("looking at the first bytes: %w", err)
	}
	b := make([]byte, len(prefix))
	err = raw.Read(func(fd uintptr) (known bool) {
		n, _, err := unix.Recvfrom(int(fd), b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		for errors.Is(err, unix.EINTR) {
			n, _, err = unix.Recvfrom(int(fd), b, unix.MSG_PEEK|unix.MSG_DONTWAIT)
		}
		switch {
		case errors.Is(err, unix.EAGAIN):
			return false
		case err != nil || n == 0: // whoever reads finds out
			return true
		}
		ok = n == len(prefix) && string(b) == prefix
		return ok || string(b[:n]) != prefix[:n]
	})
	if err != nil {
		return false, fmt.Errorf("looking at the first bytes: %w", err)
	}
	return ok, nil
}
