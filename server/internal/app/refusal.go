package app

import (
	"bytes"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"centrifugo/internal/logsample"
)

// refusalLines is how many refused connections of a kind are logged in a second:
// anybody can provoke them.
const refusalLines = 10

// maxLoggedOrigin bounds an Origin header in the log.
const maxLoggedOrigin = 256

// connectionRefused logs and counts a connection that was answered with an HTTP
// status. What the operator may have to change is a warning.
func (a *App) connectionRefused(r *http.Request, status int, reason string) {
	a.metrics.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	ok, suppressed := a.refusals.Take(logsample.Key{Message: reason, Code: uint32(status)}) //nolint:gosec // an HTTP status
	if !ok {
		return
	}
	level := slog.LevelInfo
	attrs := []slog.Attr{
		slog.String("remote", r.RemoteAddr), slog.String("path", r.URL.Path), slog.Int("status", status), slog.String("reason", reason),
	}
	switch status {
	case http.StatusForbidden:
		level = slog.LevelWarn
		origin := r.Header.Get("Origin")
		attrs = append(attrs, slog.String("origin", origin[:min(len(origin), maxLoggedOrigin)]),
			slog.String("to_allow", "add the origin to client.allowed_origins"))
	case http.StatusServiceUnavailable:
		level = slog.LevelWarn
	}
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	a.log.LogAttrs(r.Context(), level, "connection refused", attrs...)
}

// serverLog takes the lines of an http.Server. It accepts no connection while the
// process has no descriptors left, which is an error; the rest is about single
// connections.
type serverLog struct {
	// Static after construction.
	log      *slog.Logger
	accepted *logsample.Sampler
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, accepted: logsample.New(1, time.Second)}
}

// Write implements io.Writer.
func (s *serverLog) Write(line []byte) (int, error) {
	text := string(bytes.TrimSpace(line))
	if !bytes.HasPrefix(line, []byte("http: Accept error")) {
		s.log.Debug("http server", "error", text)
		return len(line), nil
	}
	if ok, suppressed := s.accepted.Take(logsample.Key{}); ok {
		s.log.Error("accepting connections", "error", text, "suppressed", suppressed)
	}
	return len(line), nil
}
