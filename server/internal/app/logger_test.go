package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"centrifugo/server/internal/config"
)

func TestLogLevels(t *testing.T) {
	levels := []string{"trace", "debug", "info", "warn", "error", "fatal"}
	for n, name := range append(levels, "none") {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			log, err := newLogger(config.Log{Level: name, File: file}, devNull(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, level := range levels {
				log.Log(t.Context(), slogLevel(level), "words", "key", "value")
			}
			if err := log.close(); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, entry := range readLog(t, file) {
				got = append(got, entry["level"].(string))
				if at, err := time.Parse(time.RFC3339Nano, entry["time"].(string)); err != nil || time.Since(at) > time.Hour {
					t.Errorf("time %v, %v; want one of this hour", entry["time"], err)
				}
				if entry["message"] != "words" || entry["key"] != "value" || len(entry) != 4 {
					t.Errorf("entry %v; want \"words\", \"value\" and length 4", entry)
				}
			}
			if want := levels[min(n, len(levels)):]; strings.Join(got, " ") != strings.Join(want, " ") {
				t.Errorf("logged %v, want %v", got, want)
			}
		})
	}
}

// Logs go to stderr as JSON unless it is a terminal. A log file is appended to.
func TestLogFormat(t *testing.T) {
	dir := t.TempDir()
	plain, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = plain.Close() }()
	if terminal(plain) {
		t.Error("terminal of a file = true; want false")
	}
	log, err := newLogger(config.Log{Level: "info"}, plain)
	if err != nil {
		t.Fatal(err)
	}
	log.Info("words")
	if entries := readLog(t, plain.Name()); len(entries) != 1 || entries[0]["message"] != "words" {
		t.Errorf("stderr: %v; want length 1 and \"words\"", entries)
	}
	file := filepath.Join(dir, "log")
	for range 2 {
		log, err := newLogger(config.Log{Level: "info", File: file}, plain)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("words")
		if err := log.close(); err != nil {
			t.Fatal(err)
		}
	}
	if entries := readLog(t, file); len(entries) != 2 {
		t.Errorf("the file has %d lines after two runs: %v; want 2", len(entries), entries)
	}
	if entries := readLog(t, plain.Name()); len(entries) != 1 {
		t.Errorf("stderr got lines that belong to the file: %v; want length 1", entries)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("others may read the log: %v, %v; want no access", info.Mode(), err)
	}
}

// The entries of the node are written to the same log.
func TestNodeLogs(t *testing.T) {
	i := start(t, anonymous+`, "log": {"level": "debug"}`)
	if code := i.refusedWith("rubbish"); code != 3501 {
		t.Errorf("closed with %d; want 3501", code)
	}
	i.awaitLogged("info", "malformed command", "")
}
