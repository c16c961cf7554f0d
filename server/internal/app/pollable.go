package app

import (
	"net"
	"runtime"

	"centrifugo/centrifuge/transport/websocket"
)

// pollable prepares a listener of TLS connections for the event loop, unless
// http_server.tls_threaded is set.
func (a *App) pollable(listener net.Listener) net.Listener {
	if a.config.HTTPServer.TLSThreaded {
		return listener
	}
	if a.tlsBuffersKept {
		a.tlsBuffersKept = false // logged once
		a.log.Warn("TLS read buffers are not freed with this Go release: about 5 KB more per idle connection", "go", runtime.Version())
	}
	return websocket.Listener(listener)
}
