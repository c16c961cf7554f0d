package server

import (
	"os/exec"
	"strings"
	"testing"

	"centrifugo/server/internal/app/apptest"
)

// With a limit of open files, the server logs the number of possible connections at the
// start, and can hold that many.
func TestFewOpenFiles(t *testing.T) {
	t.Parallel()
	args := append([]string{"-c", `ulimit -n 256 && exec "$0" "$@"`, binary}, loopback...)
	p := launchCommand(t, open, exec.Command("/bin/sh", args...))
	p.awaitAddress(p.path("stderr"))
	possible := 0
	for _, entry := range logEntries(p.path("stderr")) {
		if n, ok := entry["connections_possible"].(float64); ok {
			possible = int(n)
		}
	}
	if possible != 224 || !strings.Contains(p.output(), "open_files\":256") {
		t.Fatalf("%d connections are said to be possible, want 224: %s", possible, p.output())
	}
	for n := range possible {
		if reply := ask(t, p.dial(t, apptest.Dialer{}), `{"id":1,"connect":{}}`); !strings.Contains(reply, `"connect"`) {
			t.Fatalf("connection %d: %s; want %q in it", n, reply, `"connect"`)
		}
	}
	p.terminate()
}

// The program that make build makes needs no library of the system.
func TestStaticBinary(t *testing.T) {
	text, err := exec.Command("make", "-n", "-C", "..", "build").Output()
	if err != nil {
		t.Skipf("make: %v", err)
	}
	if !strings.Contains(string(text), "CGO_ENABLED=0 ") {
		t.Errorf("make build runs %s; want \"CGO_ENABLED=0 \" in it", text)
	}
}
