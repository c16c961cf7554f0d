// Package sqstest starts emulators of AWS SQS, and of the service that gives credentials, for tests.
// They listen on free ports of the loopback interface and end with the test that started them.
package sqstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
)

// Server is an emulator. Its methods are for the goroutine of the test.
type Server struct {
	// Endpoint is its address, such as http://127.0.0.1:4566.
	Endpoint string

	// Static after construction.
	process *testprocess.Process
	printed *await.Output
}

// Start starts an emulator. Without Node.js and what setup.sh installs the test is skipped, and
// fails if the variable DOCTEST_REQUIRE names node.
func Start(t testing.TB) *Server {
	t.Helper()
	_, file, _, _ := runtime.Caller(0)
	dir := filepath.Dir(file)
	_, err := exec.LookPath("node")
	if err == nil {
		_, err = os.Stat(filepath.Join(dir, "node_modules", "fauxqs"))
	}
	switch {
	case err == nil:
	case slices.Contains(strings.Fields(os.Getenv("DOCTEST_REQUIRE")), "node"):
		t.Fatalf("internal/sqstest/setup.sh installs the emulator: %v", err)
	default:
		t.Skipf("SKIPPED: internal/sqstest/setup.sh installs the emulator: %v", err)
	}
	s := &Server{process: testprocess.New(t, syscall.SIGKILL), printed: &await.Output{}}
	port := strconv.Itoa(testprocess.FreePort(t))
	cmd := exec.Command("node", "server.mjs", port) //nolint:gosec // a number
	cmd.Dir, cmd.Stdout = dir, s.printed
	s.process.Start(cmd)
	s.awaitLine(t, 0)
	s.Endpoint = "http://127.0.0.1:" + port
	return s
}

// Stop cuts all connections and refuses others, as a crash does. The queues stay, as those of the
// service do.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	s.toggle(t)
}

// Restart makes a stopped server listen again, at the same address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.toggle(t)
}

func (s *Server) toggle(t testing.TB) {
	t.Helper()
	before := s.lines()
	s.process.Signal(syscall.SIGUSR2)
	s.awaitLine(t, before)
}

// awaitLine waits until the emulator has printed more lines than before.
func (s *Server) awaitLine(t testing.TB, before int) {
	t.Helper()
	s.process.Await("the emulator to print a line", func() bool { return s.lines() > before })
}

func (s *Server) lines() int { return strings.Count(s.printed.String(), "\n") }
