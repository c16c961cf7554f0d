package app

import (
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// logFile is a log file that can be reopened. It counts lines that it cannot write and
// reports them on stderr, at most once in lostInterval.
type logFile struct {
	// Static after construction.
	name   string
	stderr io.Writer

	lost atomic.Uint64 // lines that could not be written

	// Guarded by mu.
	mu     sync.Mutex
	file   *os.File
	torn   bool // the last line was written in part
	told   time.Time
	toldOf uint64 // value of lost at told
}

const lostInterval = 10 * time.Second

func openLogFile(name string, stderr io.Writer) (*logFile, error) {
	l := &logFile{name: name, stderr: stderr}
	return l, l.reopen()
}

// reopen opens the file by its name. If it returns an error, the old file stays in use.
func (l *logFile) reopen() error {
	f, err := os.OpenFile(l.name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("opening log: %w", err)
	}
	l.mu.Lock()
	old := l.file
	l.file, l.torn = f, false
	l.mu.Unlock()
	if old != nil {
		_ = old.Close() // its writes have reported their errors
	}
	return nil
}

// Write writes one line. It implements io.Writer.
func (l *logFile) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.torn { // end the broken line
		if _, err := l.file.WriteString("\n"); err != nil {
			l.reportLocked(err)
			return 0, err //nolint:wrapcheck // for slog, which drops it
		}
		l.torn = false
	}
	n, err := l.file.Write(line)
	if err != nil {
		l.torn = n > 0
		l.reportLocked(err)
	}
	return n, err //nolint:wrapcheck // for slog, which drops it
}

func (l *logFile) reportLocked(err error) {
	lost := l.lost.Add(1)
	now := time.Now()
	if !l.told.IsZero() && now.Sub(l.told) < lostInterval {
		return
	}
	_, _ = fmt.Fprintf(l.stderr, "centrifugo: log lines are lost (%d now, %d in all): %v\n", lost-l.toldOf, lost, err)
	l.told, l.toldOf = now, lost
}

// close closes the file. It first reports lines that were lost since the last report.
func (l *logFile) close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if lost := l.lost.Load(); lost > l.toldOf {
		_, _ = fmt.Fprintf(l.stderr, "centrifugo: log lines were lost (%d now, %d in all)\n", lost-l.toldOf, lost)
		l.toldOf = lost
	}
	return l.file.Close() //nolint:wrapcheck // it names the file
}
