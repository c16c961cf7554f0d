package centrifuge

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
)

// LogLevel orders log entries by weight.
type LogLevel uint8

// The levels.
const (
	LogDefault LogLevel = iota // LogInfo, or LogWarn without a LogHandler
	LogTrace
	LogDebug
	LogInfo
	LogWarn
	LogError
	LogNone
)

// LogEntry is one thing that happened.
type LogEntry struct {
	Level   LogLevel
	Message string
	Fields  map[string]any
}

// LogHandler receives entries, from any goroutine. It must not block for long. If
// it panics, the entry's message goes to standard error.
type LogHandler func(LogEntry)

// SlogHandler returns a LogHandler that writes to logger. Trace entries have
// the level slog.LevelDebug-4.
func SlogHandler(logger *slog.Logger) LogHandler {
	levels := map[LogLevel]slog.Level{
		LogTrace: slog.LevelDebug - 4, LogDebug: slog.LevelDebug, LogInfo: slog.LevelInfo,
		LogWarn: slog.LevelWarn, LogError: slog.LevelError,
	}
	return func(e LogEntry) {
		ctx, level := context.Background(), levels[e.Level]
		if !logger.Enabled(ctx, level) {
			return
		}
		attrs := make([]slog.Attr, 0, len(e.Fields))
		for key, value := range e.Fields {
			attrs = append(attrs, slog.Any(key, value))
		}
		logger.LogAttrs(ctx, level, e.Message, attrs...)
	}
}

// logger filters by level before an entry is built.
type logger struct {
	handler LogHandler
	level   *atomic.Uint32 // a LogLevel
}

func newLogger(handler LogHandler, level LogLevel) logger {
	usual := LogInfo
	if handler == nil {
		// The default of slog may be set after the node was made.
		handler, usual = func(e LogEntry) { SlogHandler(slog.Default())(e) }, LogWarn
	}
	if level == LogDefault {
		level = usual
	}
	l := logger{handler, new(atomic.Uint32)}
	l.level.Store(uint32(level))
	return l
}

func (l logger) enabled(level LogLevel) bool { return uint32(level) >= l.level.Load() }

// SetLogLevel replaces Config.LogLevel; LogDefault means LogInfo. It is safe for
// concurrent use.
func (n *Node) SetLogLevel(level LogLevel) {
	if level == LogDefault {
		level = LogInfo
	}
	n.logger.level.Store(uint32(level))
}

// log takes the fields as key, value, key, value.
func (l logger) log(level LogLevel, message string, fields ...any) {
	if !l.enabled(level) {
		return
	}
	entry := LogEntry{Level: level, Message: message, Fields: make(map[string]any, len(fields)/2)}
	for i := 0; i+1 < len(fields); i += 2 {
		if key, ok := fields[i].(string); ok {
			entry.Fields[key] = fields[i+1]
		}
	}
	defer func() {
		if p := recover(); p != nil {
			fmt.Fprintf(os.Stderr, "centrifuge: the log handler panicked (%v) at entry %q\n", p, message)
		}
	}()
	l.handler(entry)
}
