package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"

	"centrifugo/centrifuge"
	"centrifugo/server/internal/config"
)

// Levels beside slog's own (server-interface 6.3).
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

// newLogger logs JSON lines to log.file or, where that is not set, to stderr:
// as text when somebody is looking at it, otherwise as JSON.
func newLogger(c config.Log, stderr *os.File) (*slog.Logger, func() error, error) {
	var w io.Writer = stderr
	closer := func() error { return nil }
	json := !terminal(stderr)
	if c.File != "" {
		f, err := os.OpenFile(c.File, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, nil, fmt.Errorf("opening log: %w", err)
		}
		w, closer, json = f, f.Close, true
	}
	opts := &slog.HandlerOptions{Level: slogLevel(c.Level), ReplaceAttr: upstreamKeys}
	if json {
		return slog.New(slog.NewJSONHandler(w, opts)), closer, nil
	}
	opts.ReplaceAttr = nil
	return slog.New(slog.NewTextHandler(w, opts)), closer, nil
}

// upstreamKeys writes "message" and lower-case levels, as log pipelines made for
// this kind of server expect (server-interface 6.8).
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

// writePID writes the process's number, and returns what takes it away again.
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
