package app

import (
	"centrifugo/centrifuge/transport/websocket"
	"centrifugo/server/internal/config"
)

func (a *App) newWebSocket() *transport {
	c := a.config.WebSocket
	if c.Disabled {
		return nil
	}
	return a.webSocketTransport(c.HandlerPrefix, a.webSocketSettings(c.WebSocketFrames))
}

func (a *App) newUniWebSocket() *transport {
	c := a.config.UniWebSocket
	if !c.Enabled {
		return nil
	}
	settings := a.webSocketSettings(c.WebSocketFrames)
	settings.Unidirectional = true
	settings.JoinPushes, settings.NoDisconnectPush = c.JoinPushMessages, c.DisableDisconnectPush
	settings.NoClosingHandshake = c.DisableClosingHandshake
	return a.webSocketTransport(c.HandlerPrefix, settings)
}

func (a *App) webSocketTransport(prefix string, settings websocket.Config) *transport {
	h := websocket.NewHandler(a.node, settings)
	return &transport{path: path(prefix), handler: h, drain: h.Drain, close: h.Close, config: settings}
}

func (a *App) webSocketSettings(c config.WebSocketFrames) websocket.Config {
	return websocket.Config{
		CheckOrigin: a.allowedOrigin, MessageSizeLimit: c.MessageSizeLimit,
		DecompressedSizeLimit: c.DecompressedMessageSizeLimit, Compression: c.Compression,
		CompressionMinSize: c.CompressionMinSize, CompressionLevel: c.CompressionLevel, WriteTimeout: c.WriteTimeout,
		ScheduledWrites: a.config.HTTPServer.ScheduledWrites,
		OnError:         func(err error) { a.log.Error("websocket", "error", err) },
		OnRefused:       a.connectionRefused,
	}
}
