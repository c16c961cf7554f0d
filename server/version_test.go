package server

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
)

// A release is stamped by the linker, as .goreleaser.yaml and the Makefile do it.
func TestVersionIsStamped(t *testing.T) {
	program := filepath.Join(t.TempDir(), "stamped")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program,
		"-ldflags", "-X centrifugo/server.Version=9.8.7 -X centrifugo/server.commit=abc -X centrifugo/server.date=2026-01-02T03:04:05Z", "../cmd/centrifugo")
	if output, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building: %v\n%s", err, output)
	}
	output, err := exec.CommandContext(t.Context(), program, "version", "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var got struct{ Version, Commit, Date string }
	if err := json.Unmarshal(output, &got); err != nil {
		t.Fatalf("%s: %v", output, err)
	}
	if got.Version != "9.8.7" || got.Commit != "abc" || got.Date != "2026-01-02T03:04:05Z" {
		t.Errorf("got %s, want version 9.8.7, commit abc, of 2026-01-02T03:04:05Z", output)
	}
}
