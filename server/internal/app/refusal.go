package app

import (
	"bytes"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/middleware"
)

// maxLoggedOrigin bounds an Origin header in the log, in bytes.
const maxLoggedOrigin = 256

// connectionRefused logs and counts a connection that was answered with an HTTP
// status. The reason is one of a closed list. A refusal that the operator may have to
// act on is a warning.
func (a *App) connectionRefused(r *http.Request, status int, reason string) {
	a.metrics.refused.WithLabelValues(strconv.Itoa(status)).Inc()
	refusal := middleware.Refusal{Level: slog.LevelInfo, Status: status, Reason: reason, Kind: reason}
	switch status {
	case http.StatusForbidden:
		origin := r.Header.Get("Origin")
		refusal.Level = slog.LevelWarn
		refusal.More = []slog.Attr{
			slog.String("origin", origin[:min(len(origin), maxLoggedOrigin)]),
			slog.String("to_allow", "add the origin to client.allowed_origins"),
		}
	case http.StatusServiceUnavailable:
		refusal.Level = slog.LevelWarn
	}
	a.refusals.Refused(r, refusal)
}

// serverLog receives the log lines of an http.Server. A failure to accept connections,
// as when the process has no file descriptors left, is an error; all other lines are
// about single connections and logged for debugging.
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
