package app

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/server/internal/config"
)

// After logrotate has moved the file, SIGHUP makes the server write a new one, even if it
// refuses the configuration.
func TestLogFileIsOpenedAgain(t *testing.T) {
	for name, settings := range map[string]string{"good configuration": anonymous, "bad configuration": `"nothing": 1`} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "log")
			log := `, "log": {"file": ` + strconv.Quote(file) + `}`
			i := start(t, anonymous+log)
			i.log = file
			i.awaitLogged("info", "serving", "")
			if err := os.Rename(file, file+".1"); err != nil {
				t.Fatal(err)
			}
			i.configure(settings + log)
			i.hangUp()
			await.Until(t, "the new file", func() bool { _, err := os.Stat(file); return err == nil && len(i.entries()) > 0 })
			if i.logged("info", "serving", "") {
				t.Error("the new file has old lines; want none")
			}
			if err := i.stop(); err != nil || !i.logged("info", "stopped", "") {
				t.Errorf("the last line is not in the new file: %v; want it there", err)
			}
		})
	}
}

// If the directory was removed, the server still logs to the old file.
func TestLogFileCannotBeOpenedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	settings := anonymous + `, "log": {"file": ` + strconv.Quote(filepath.Join(dir, "log")) + `}`
	i := start(t, settings)
	if err := os.Rename(dir, dir+".1"); err != nil {
		t.Fatal(err)
	}
	i.log = filepath.Join(dir+".1", "log")
	i.hangUp()
	i.awaitLogged("error", "log file not reopened, the old one stays in use", "no such file")
}

// Lines that a full disk cannot hold are counted and reported on stderr.
func TestFullDisk(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("no /dev/full")
	}
	i := start(t, anonymous+`, "log": {"file": "/dev/full"}, "prometheus": {"enabled": true}`)
	const metric = "centrifugo_log_lost_lines_count "
	lost := func() string {
		_, text := i.request(http.MethodGet, i.external(), "/metrics", "")
		_, value, _ := strings.Cut(text, "\n"+metric)
		value, _, _ = strings.Cut(value, "\n")
		return value
	}
	await.Until(t, "the count", func() bool { n, err := strconv.Atoi(lost()); return err == nil && n >= 2 })
	if err := errors.Join(i.stop(), i.app.logging.close()); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(i.log)
	if err != nil || strings.Count(string(text), "log lines are lost (1 now, 1 in all)") != 1 || !strings.Contains(string(text), "no space left on device") {
		t.Errorf("stderr has %q, %v; want 1 and \"no space left on device\" in it", text, err)
	}
	if !strings.Contains(string(text), "log lines were lost (") {
		t.Errorf("the end does not tell of the rest: %q; want \"log lines were lost (\" in it", text)
	}
}

// After a line that was written in part, the next one starts on a new line.
func TestTornLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	l, err := openLogFile(file, devNull(t))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.file.WriteString(`{"half`); err != nil {
		t.Fatal(err)
	}
	l.torn = true
	if _, err := l.Write([]byte("{}\n")); err != nil {
		t.Fatal(err)
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "{\"half\n{}\n" {
		t.Errorf("%q, %v; want \"{\\\"half\\n{}\\n\"", text, err)
	}
}

// Without errors no line is lost or reported.
func TestNothingLost(t *testing.T) {
	log, err := newLogger(config.Log{File: filepath.Join(t.TempDir(), "log")}, devNull(t))
	if err != nil {
		t.Fatal(err)
	}
	log.Info("words")
	if n := log.lost(); n != 0 {
		t.Errorf("%d lost; want 0", n)
	}
	if err := log.close(); err != nil {
		t.Error(err)
	}
}
