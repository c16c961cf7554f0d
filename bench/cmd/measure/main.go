//go:build linux

// Command measure runs the server and the floor in turn, several rounds, and
// writes medians and ratios: bench/RESULTS.md holds only what it printed.
package main

import (
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

func main() {
	binary := flag.String("binary", "bin/centrifugo", "the server")
	out := flag.String("out", "", "file to write the report to, standard output if empty")
	rounds := flag.Int("rounds", 5, "rounds of each measurement")
	seconds := flag.Int("seconds", 10, "length of each paced run")
	flag.Parse()
	if err := run(*binary, *out, *rounds, time.Duration(*seconds)*time.Second); err != nil {
		log.Fatal(err)
	}
}

func run(binary, out string, rounds int, d time.Duration) error {
	dir, err := os.MkdirTemp("", "measure")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	floor := filepath.Join(dir, "floor")
	if text, err := exec.Command("go", "build", "-o", floor, "./bench/floor").CombinedOutput(); err != nil {
		return fmt.Errorf("building the floor: %w\n%s", err, text)
	}
	m := &measurement{server: binary, floor: floor, dir: dir, rounds: rounds, length: d}
	var report strings.Builder
	fmt.Fprintf(&report, "# Results\n\nWritten by `make bench` (`go run ./bench/cmd/measure -rounds %d -seconds %d`) on %s.\n\n", rounds, int(d.Seconds()), time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(&report, "Machine: %s. Load, server and floor share it, over loopback; every figure is the median of the rounds, and ratios are of figures of one run.\n\n", machine())
	for _, step := range []func(io.Writer) error{m.codec, m.idle, m.fanout, m.saturated} {
		if err := step(&report); err != nil {
			return err
		}
	}
	if out == "" {
		fmt.Print(report.String())
		return nil
	}
	return os.WriteFile(out, []byte(report.String()), 0o644) //nolint:gosec // for everybody to read
}

func machine() string {
	model := "unknown processor"
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	kernel := "unknown kernel"
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		kernel = "Linux " + strings.TrimSpace(string(text))
	}
	return fmt.Sprintf("%d cores of %s, %s, %s", runtime.NumCPU(), model, kernel, runtime.Version())
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[len(sorted)/2]
}
