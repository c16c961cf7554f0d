// Package freeport gives ports to servers that are told where to listen, in tests and
// measurements.
//
// Its ports are below the range from which Linux takes the ports of outgoing connections and
// of listeners on port 0 (net.ipv4.ip_local_port_range, 32768 to 60999 by default), so that
// nothing of either kind takes one before its server does. Each is even. Who has a port
// listens on the odd one above it, which keeps other processes from getting the same.
package freeport

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

const (
	first = 11000 // above 10080, which browsers refuse to connect to
	pairs = (32768 - first) / 2
)

// next is the pair that is tried next. A port that was given back is not used again soon,
// since clients of its last server may still try to connect.
var next atomic.Uint32

func init() { next.Store(rand.Uint32N(pairs)) } //nolint:gosec // any order will do

// Reserve returns a port of the loopback interface on which nothing listens, neither with TCP
// nor with UDP. No other caller gets it until release is called. It may be called by several
// goroutines.
func Reserve() (port int, release func(), err error) {
	for range pairs {
		port = first + 2*int(next.Add(1)%pairs)
		held, err := net.Listen("tcp", address(port+1))
		if err != nil {
			continue
		}
		if isFree(port) {
			return port, func() { _ = held.Close() }, nil
		}
		_ = held.Close()
	}
	return 0, nil, errors.New("no port is free")
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", address(port))
	if err != nil {
		return false
	}
	_ = l.Close()
	packets, err := net.ListenPacket("udp", address(port))
	if err != nil {
		return false
	}
	_ = packets.Close()
	return true
}

func address(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
