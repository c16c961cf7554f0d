package app

import "centrifugo/centrifuge/transport/webtransport"

// newWebTransport returns nil for a transport that is not enabled. The connections come
// over HTTP/3 (newHTTP3).
func (a *App) newWebTransport() *transport {
	c := a.config.WebTransport
	if !c.Enabled {
		return nil
	}
	settings := webtransport.Config{
		CheckOrigin: a.allowedOrigin, MessageSizeLimit: c.MessageSizeLimit,
		OnError:   func(err error) { a.log.Error("webtransport", "error", err) },
		OnRefused: a.connectionRefused,
	}
	a.webTransport = webtransport.NewHandler(a.node, settings)
	return &transport{
		path: path(c.HandlerPrefix), handler: a.webTransport, drain: a.webTransport.Drain, close: a.webTransport.Close, config: settings,
	}
}
