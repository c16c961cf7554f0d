//go:build linux

package main

import (
	"fmt"
	"io"
	"log"
	"maps"
	"os/exec"
	"slices"
	"strconv"
	"strings"
)

// codecRow is what one benchmark of package protocol printed, round by round.
type codecRow struct{ ns, bytes, allocs []float64 }

// codec compares encoding and decoding with the standard packages, on the same
// messages in one run.
func (m *measurement) codec(w io.Writer) error {
	cmd := exec.Command("go", "test", "./protocol", "-run", "^$", "-bench", "Nested|EncodeReply|DecodeReply|DecodeSubscribe|DecodePublish", "-benchtime", "100ms", "-count", strconv.Itoa(m.rounds))
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("benchmarks of protocol: %w\n%s", err, out)
	}
	log.Print("codec: done")
	rows := parseBenchmarks(string(out))
	if _, err := fmt.Fprintf(w, "## Encoding and decoding\n\nMedians of `%s`. Nested is the publication in the envelope of V1, with which the protocol was introduced; Reply is the same publication in V2; Publish and Subscribe are commands as the server decodes them.\n\n| | ours: ns, B, allocs | standard: ns, B, allocs | times faster |\n|---|---|---|---|\n", strings.Join(cmd.Args, " ")); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(rows)) {
		std, ok := rows[strings.Replace(name, "/ours/", "/std/", 1)]
		if !strings.Contains(name, "/ours/") || !ok {
			continue
		}
		ours := rows[name]
		label := strings.Replace(name, "/ours", "", 1)
		if _, err := fmt.Fprintf(w, "| %s | %s | %s | %.1f |\n", label, ours, std, median(std.ns)/median(ours.ns)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(w)
	return err
}

func (r *codecRow) String() string {
	return fmt.Sprintf("%.0f, %.0f, %.0f", median(r.ns), median(r.bytes), median(r.allocs))
}

// parseBenchmarks reads lines like "BenchmarkX/y-2  100  12.3 ns/op  0 B/op  0 allocs/op".
func parseBenchmarks(out string) map[string]*codecRow {
	rows := make(map[string]*codecRow)
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		name, ok := strings.CutPrefix(line, "Benchmark")
		if !ok || len(fields) < 8 {
			continue
		}
		name, _, _ = strings.Cut(strings.Fields(name)[0], "-")
		r := rows[name]
		if r == nil {
			r = &codecRow{}
			rows[name] = r
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				continue
			}
			switch fields[i+1] {
			case "ns/op":
				r.ns = append(r.ns, v)
			case "B/op":
				r.bytes = append(r.bytes, v)
			case "allocs/op":
				r.allocs = append(r.allocs, v)
			}
		}
	}
	return rows
}
