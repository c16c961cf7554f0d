package websocket

import (
	"net"

	"centrifugo/centrifuge/internal/eventloop"
)

// Listener prepares the connections of l for TLS without a goroutine for each:
//
//	listener = tls.NewListener(websocket.Listener(listener), config)
//
// or server.ServeTLS(websocket.Listener(listener), cert, key). A Handler reads the TLS
// connections of any other listener with a goroutine each. Leave Listener out to have
// that: it takes about 11 KB more per idle connection and does not depend on internals
// of crypto/tls. Listener has an effect on TCP connections on Linux; all others are
// returned unchanged. A connection with a method Raw() *net.TCPConn counts as the TCP connection
// that Raw returns, and keeps its own RemoteAddr: a listener that reads a header before the
// first byte of the connection, such as one for the PROXY protocol, returns these. Its
// other methods must do what those of the TCP connection do.
func Listener(l net.Listener) net.Listener { return listener{l} }

// KeepsTLSBuffers reports whether idle TLS connections of a Listener take about 5 KB more
// than necessary: their read buffers are freed only with Go releases on which that was
// verified, and the running release is not one of them.
func KeepsTLSBuffers() bool { return eventloop.KeepsTLSBuffers() }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // a listener's errors are looked at by type
	}
	return eventloop.Beneath(c), nil
}
