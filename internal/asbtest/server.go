// Package asbtest serves queues as Azure Service Bus does, for tests. The vendor's emulator is a
// container; this one is a program on Qpid Proton, an implementation of AMQP 1.0. It listens on
// the loopback interface and ends with the test that started it.
package asbtest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
)

// python is the interpreter of the system, for which setup.sh installs Qpid Proton.
const python = "/usr/bin/python3"

// Server is a broker. A queue exists once it is named; one whose name begins with "sessions"
// has sessions.
type Server struct {
	t       testing.TB
	process *testprocess.Process
	program string
	file    string
	lock    time.Duration
	port    string
}

// Start starts a broker that locks messages for a time. Without what setup.sh installs the test is
// skipped.
func Start(t testing.TB, lock time.Duration) *Server {
	t.Helper()
	if err := exec.CommandContext(t.Context(), python, "-c", "import proton").Run(); err != nil {
		t.Skipf("SKIPPED: internal/asbtest/setup.sh installs Qpid Proton: %v", err)
	}
	_, file, _, _ := runtime.Caller(0)
	s := &Server{
		t: t, process: testprocess.New(t, syscall.SIGKILL), program: filepath.Join(filepath.Dir(file), "broker.py"),
		file: filepath.Join(t.TempDir(), "messages.db"), lock: lock, port: strconv.Itoa(testprocess.FreePort(t)),
	}
	s.Restart()
	return s
}

// Restart starts the broker again, on the same port and with the messages it had.
func (s *Server) Restart() {
	s.t.Helper()
	printed := &await.Output{}
	cmd := exec.Command(python, s.program, s.port, s.file, fmt.Sprint(s.lock.Seconds())) //nolint:gosec // of this repository
	cmd.Stdout = printed
	s.process.Start(cmd)
	s.process.Await("the broker to listen", func() bool { return strings.HasSuffix(printed.String(), "\n") })
}

// Kill ends the broker as a crash does.
func (s *Server) Kill() { s.process.End() }

// ConnectionString is what the vendor's libraries connect with. Key is the shared access key; the
// broker accepts "secret".
func (s *Server) ConnectionString(key string) string {
	return "Endpoint=sb://127.0.0.1:" + s.port + ";SharedAccessKeyName=test;SharedAccessKey=" + key + ";UseDevelopmentEmulator=true"
}
