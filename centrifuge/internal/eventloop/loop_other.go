//go:build !linux

package eventloop

import "net"

// poller and table have no content here: every socket is threaded.
type (
	poller struct{}
	table  struct{}
)

func (l *Loop) startPollers() error { return nil }

func (l *Loop) stopPollers() {}

func (l *Loop) addPolled(net.Conn, Handler) (_ Socket, polled bool, _ error) { return nil, false, nil }

// Beneath returns c: nothing is polled here.
func Beneath(c net.Conn) net.Conn { return c }

// HasPrefix returns false: nothing is polled here.
func HasPrefix(net.Conn, string) (bool, error) { return false, nil }

// KeepsTLSBuffers returns false: a TLS connection has a goroutine here.
func KeepsTLSBuffers() bool { return false }
