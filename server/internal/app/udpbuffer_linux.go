package app

import (
	"net"
	"os"
	"syscall"
)

// minUDPBuffer is the size of a receive buffer below which packets of many clients are
// lost in bursts, in bytes. The kernel reports twice what programs asked for.
const minUDPBuffer = 2 << 20

// ownWarnings keeps quic-go from writing its warning to the standard log, which is not ours.
func ownWarnings() {
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // an error leaves one line more
}

// warnOfBuffer logs a receive buffer that is too small, once QUIC has asked for a larger
// one.
func (a *App) warnOfBuffer(packets *net.UDPConn) {
	raw, err := packets.SyscallConn()
	if err != nil {
		return
	}
	size := 0
	_ = raw.Control(func(fd uintptr) { // without a size there is nothing to say
		size, _ = syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF)
	})
	if size > 0 && size < 2*minUDPBuffer {
		a.log.Warn("UDP receive buffer of HTTP/3 is small, packets may be lost under load",
			"bytes", size/2, "to_raise", "sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000")
	}
}
