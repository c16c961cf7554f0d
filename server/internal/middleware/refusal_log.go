package middleware

import (
	"log/slog"
	"net/http"
	"time"

	"centrifugo/internal/logsample"
	"centrifugo/server/internal/requestid"
)

// refusalLines bounds the lines of a kind in a second. Any client can provoke them.
const refusalLines = 10

// RefusalLog logs requests that are answered with an HTTP status that refuses them.
// It is safe for concurrent use.
type RefusalLog struct {
	// Static after construction
	log     *slog.Logger
	message string
	sampler *logsample.Sampler
}

// NewRefusalLog returns a log whose lines have a message.
func NewRefusalLog(log *slog.Logger, message string) *RefusalLog {
	return &RefusalLog{log: log, message: message, sampler: logsample.New(refusalLines, time.Second)}
}

// Refusal describes why a request was refused.
type Refusal struct {
	Level  slog.Level
	Status int
	Reason string
	// Kind, with the status, is what lines are counted by. It must not come from the request.
	Kind string
	// More is appended to the line.
	More []slog.Attr
}

// Refused logs a request, unless there were too many lines of the kind. The line has
// no query, which may hold a key.
func (l *RefusalLog) Refused(r *http.Request, refusal Refusal) {
	ok, suppressed := l.sampler.Take(logsample.Key{Message: refusal.Kind, Code: uint32(refusal.Status)}) //nolint:gosec // an HTTP status
	if !ok {
		return
	}
	attrs := append([]slog.Attr{
		slog.String("remote", r.RemoteAddr), slog.String("path", r.URL.Path),
		slog.Int("status", refusal.Status), slog.String("reason", refusal.Reason),
	}, refusal.More...)
	if suppressed > 0 {
		attrs = append(attrs, slog.Uint64("suppressed", suppressed))
	}
	l.log.LogAttrs(requestid.For(r), refusal.Level, l.message, attrs...)
}
