package app

import "centrifugo/centrifuge/transport/websocket"

func (a *App) newWebSocket() *transport {
	c := a.config.WebSocket
	if c.Disabled {
		return nil
	}
	h := websocket.NewHandler(a.node, websocket.Config{
		CheckOrigin: a.allowedOrigin, MessageSizeLimit: c.MessageSizeLimit,
		DecompressedSizeLimit: c.DecompressedMessageSizeLimit, Compression: c.Compression,
		CompressionMinSize: c.CompressionMinSize, CompressionLevel: c.CompressionLevel, WriteTimeout: c.WriteTimeout,
		OnError:   func(err error) { a.log.Error("websocket", "error", err) },
		OnRefused: a.connectionRefused,
	})
	return &transport{path: path(c.HandlerPrefix), handler: h, drain: h.Drain, close: h.Close}
}
