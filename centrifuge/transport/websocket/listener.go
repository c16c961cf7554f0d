package websocket

import (
	"net"

	"centrifugo/centrifuge/internal/eventloop"
)

// Listener prepares the connections of l for TLS without a goroutine for each:
//
//	listener = tls.NewListener(websocket.Listener(listener), config)
//
// or server.ServeTLS(websocket.Listener(listener), cert, key). Beneath a
// tls.Conn of another listener a Handler cannot reach, and reads it with a
// goroutine. It matters for TCP on Linux; elsewhere connections stay as they are.
func Listener(l net.Listener) net.Listener { return listener{l} }

type listener struct{ net.Listener }

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err //nolint:wrapcheck // a listener's errors are looked at by type
	}
	return eventloop.Beneath(c), nil
}
