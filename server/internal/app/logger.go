package app

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
	"centrifugo/server/internal/requestid"
)

// Levels beside slog's own (server.md 6.3).
const (
	levelTrace = slog.LevelDebug - 4
	levelFatal = slog.LevelError + 4
	levelNone  = slog.LevelError + 8
)

func slogLevel(name string) slog.Level {
	switch name {
	case "none":
		return levelNone
	case "trace":
		return levelTrace
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	case "fatal":
		return levelFatal
	}
	return slog.LevelInfo
}

func nodeLogLevel(name string) centrifuge.LogLevel {
	switch name {
	case "none", "fatal":
		return centrifuge.LogNone
	case "trace":
		return centrifuge.LogTrace
	case "debug":
		return centrifuge.LogDebug
	case "warn":
		return centrifuge.LogWarn
	case "error":
		return centrifuge.LogError
	}
	return centrifuge.LogInfo
}

// logging is the log of the server, with the parts that a reload changes.
type logging struct {
	*slog.Logger
	level *slog.LevelVar
	file  *logFile // nil if the log goes to stderr
}

// newLogger returns a log that writes JSON lines to log.file or, if that is not set, to
// stderr. On a terminal it writes text.
func newLogger(c config.Log, stderr *os.File) (*logging, error) {
	l := &logging{level: new(slog.LevelVar)}
	l.level.Set(slogLevel(c.Level))
	var w io.Writer = stderr
	json := !terminal(stderr)
	if c.File != "" {
		var err error
		if l.file, err = openLogFile(c.File, stderr); err != nil {
			return nil, err
		}
		w, json = l.file, true
	}
	opts := &slog.HandlerOptions{Level: l.level, ReplaceAttr: upstreamKeys}
	if json {
		l.Logger = slog.New(requestid.Log(slog.NewJSONHandler(w, opts)))
		return l, nil
	}
	opts.ReplaceAttr = nil
	l.Logger = slog.New(requestid.Log(slog.NewTextHandler(w, opts)))
	return l, nil
}

// reopen opens the file of the log again, which may have been moved away.
func (l *logging) reopen() error {
	if l.file == nil {
		return nil
	}
	return l.file.reopen()
}

// lost returns the number of lines that could not be written.
func (l *logging) lost() uint64 {
	if l.file == nil {
		return 0
	}
	return l.file.lost.Load()
}

func (l *logging) close() error {
	if l.file == nil {
		return nil
	}
	return l.file.close()
}

// upstreamKeys writes "message" and lower-case levels, as existing log pipelines for this
// kind of server expect (server.md 6.8).
func upstreamKeys(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.MessageKey:
		a.Key = "message"
	case slog.LevelKey:
		names := map[string]string{"DEBUG-4": "trace", "DEBUG": "debug", "INFO": "info", "WARN": "warn", "ERROR": "error", "ERROR+4": "fatal"}
		if name, ok := names[a.Value.String()]; ok {
			a.Value = slog.StringValue(name)
		}
	}
	return a
}

func terminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// writePID writes the process id to a file and returns a function that removes the file.
func writePID(file string) (remove func(), err error) {
	if file == "" {
		return func() {}, nil
	}
	text := strconv.Itoa(os.Getpid()) + "\n"
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil { //nolint:gosec // others may read it
		return nil, errors.Join(errors.New("pid_file"), err)
	}
	return func() { _ = os.Remove(file) }, nil
}
