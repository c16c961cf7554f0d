//go:build linux

package eventloop

import (
	"testing"

	"golang.org/x/sys/unix"
)

// After GiveUp the kernel has a limit for what the peer does not acknowledge.
func TestWriterGivesUp(t *testing.T) {
	for _, k := range []kind{plain, secure} {
		t.Run(k.name, func(t *testing.T) {
			r := newRecorder()
			connect(t, newLoop(t, Config{}), k, r)
			start(t, r, "")
			w := &Writer{Socket: r.socket}
			w.GiveUp()
			polled, ok := r.socket.(*polledSocket)
			if !ok {
				polled = &r.socket.(*secureSocket).beneath
			}
			limit, err := unix.GetsockoptInt(int(polled.fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT)
			if err != nil || limit != unacknowledgedLimit {
				t.Errorf("TCP_USER_TIMEOUT = %d, %v; want %d", limit, err, unacknowledgedLimit)
			}
			w.Close()
			w.GiveUp() // without effect
		})
	}
}
