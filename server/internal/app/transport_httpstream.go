package app

import (
	"net/http"
	"time"

	"centrifugo/centrifuge"
	"centrifugo/centrifuge/transport/httpstream"
	"centrifugo/internal/logsample"
	"centrifugo/server/internal/config"
)

func (a *App) newHTTPStream() *transport {
	c := a.config.HTTPStream
	return a.newStream(c.Enabled, c.HandlerPrefix, httpstream.Config{Wire: httpstream.Stream, MaxRequestBodySize: c.MaxRequestBodySize})
}

func (a *App) newSSE() *transport {
	c := a.config.SSE
	return a.newStream(c.Enabled, c.HandlerPrefix, httpstream.Config{Wire: httpstream.Events, MaxRequestBodySize: c.MaxRequestBodySize})
}

func (a *App) newUniHTTPStream() *transport {
	c := a.config.UniHTTPStream
	return a.newStream(c.Enabled, c.HandlerPrefix, httpstream.Config{
		Wire: httpstream.Stream, Unidirectional: true, MaxRequestBodySize: c.MaxRequestBodySize,
		ConnectStatus: connectStatus(c.ConnectCodeToHTTPResponse),
	})
}

func (a *App) newUniSSE() *transport {
	c := a.config.UniSSE
	return a.newStream(c.Enabled, c.HandlerPrefix, httpstream.Config{
		Wire: httpstream.Events, Unidirectional: true, MaxRequestBodySize: c.MaxRequestBodySize,
		ConnectStatus: connectStatus(c.ConnectCodeToHTTPResponse),
	})
}

// newStream returns nil for a transport that is not enabled.
func (a *App) newStream(enabled bool, prefix string, c httpstream.Config) *transport {
	if !enabled {
		return nil
	}
	a.completeStream(&c)
	h := httpstream.NewHandler(a.node, c)
	return &transport{path: path(prefix), handler: a.cors(h), drain: h.Drain, close: h.Close, config: c, emulation: !c.Unidirectional}
}

func (a *App) completeStream(c *httpstream.Config) {
	c.CheckOrigin, c.OnRefused = a.allowedOrigin, a.connectionRefused
	c.ScheduledWrites = a.config.HTTPServer.ScheduledWrites
	c.OnError = func(err error) { a.log.Error("http stream", "error", err) }
	sampler := logsample.New(positionsLostLinesASecond, time.Second)
	c.OnPositionsLost = func(client *centrifuge.Client, reason string) {
		if ok, suppressed := sampler.Take(logsample.Key{}); ok {
			a.log.Info("positions of a client are lost", "client", client.ID(), "user", client.UserID(), "reason", reason, "suppressed", suppressed)
		}
	}
}

// positionsLostLinesASecond bounds the log lines that clients can provoke by malformed
// Last-Event-ID headers.
const positionsLostLinesASecond = 10

// newEmulation returns the endpoint for the commands of HTTP streams, or nil if no transport
// needs it.
func (a *App) newEmulation() http.Handler {
	for _, t := range a.transports {
		if t.emulation {
			c := httpstream.Config{MaxRequestBodySize: a.config.Emulation.MaxRequestBodySize}
			a.completeStream(&c)
			return a.cors(httpstream.NewEmulation(a.node, c))
		}
	}
	return nil
}

// connectStatus returns the HTTP status for a disconnect code of a refused connect, by the
// first transform of the code (server.md 6.3); nil if transforms are off.
func connectStatus(c config.ConnectCodeToHTTPResponse) func(code uint32) (status int, body string) {
	if !c.Enabled {
		return nil
	}
	return func(code uint32) (int, string) {
		for _, t := range c.Transforms {
			if t.Code == code {
				return t.To.StatusCode, t.To.Body
			}
		}
		return http.StatusInternalServerError, http.StatusText(http.StatusInternalServerError)
	}
}
