package server

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"centrifugo/server/internal/app/apptest"
)

// binary is the program under test, built once. It is the real one: without the
// race detector, whose memory would hide a leak.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	if *asFloor {
		fmt.Fprintln(os.Stderr, serveFloor())
		os.Exit(1)
	}
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "centrifugo")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "centrifugo")
	build := exec.Command("go", "build", "-o", binary, "../cmd/centrifugo")
	if output, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the server: %v\n%s", err, output)
		return 1
	}
	code := m.Run()
	if err := goleak.Find(apptest.Linked()); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}
