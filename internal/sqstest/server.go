// Package sqstest starts emulators of AWS SQS for tests. They listen on free ports of the loopback
// interface and end with the test that started them.
package sqstest

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"
)

// Start starts an emulator and returns its address, such as http://127.0.0.1:4566. Without Node.js and
// what setup.sh installs the test is skipped, and fails if the variable DOCTEST_REQUIRE names node.
func Start(t testing.TB) (endpoint string) {
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
	cmd, port := exec.Command("node", "server.mjs"), &await.Output{}
	cmd.Dir, cmd.Stdout = dir, port
	emulator := testprocess.New(t, syscall.SIGKILL)
	emulator.Start(cmd)
	if !emulator.Answers("the port of the emulator", func() bool { return strings.HasSuffix(port.String(), "\n") }) {
		t.Fatalf("the emulator has ended: %s%s", port, emulator)
	}
	return "http://127.0.0.1:" + strings.TrimSpace(port.String())
}
