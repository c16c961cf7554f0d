// Package sqstest starts emulators of AWS SQS for tests. They listen on free ports of the loopback
// interface and end with the test that started them.
package sqstest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
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
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "node", "server.mjs")
	cmd.Dir, cmd.SysProcAttr = dir, attributes()
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		cancel()
		t.Fatalf("starting the emulator: %v", err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatalf("the emulator ended: %v", lines.Err())
	}
	return "http://127.0.0.1:" + lines.Text()
}
