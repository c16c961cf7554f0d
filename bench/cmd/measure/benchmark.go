//go:build linux

package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// benchmark runs Go benchmarks of a package once. Figures are named by benchmark
// and unit, such as "Merge/single ns/op".
func benchmark(pkg, pattern, length string) runner {
	return func(ctx context.Context, m *measurement) (sample, error) {
		binary := filepath.Join(m.dir, strings.ReplaceAll(strings.Trim(pkg, "./"), "/", "-")+".test")
		if _, err := os.Stat(binary); err != nil { // the first round
			if text, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, pkg).CombinedOutput(); err != nil {
				return nil, fmt.Errorf("building tests of %s: %w\n%s", pkg, err, text)
			}
		}
		cmd := exec.CommandContext(ctx, binary, "-test.run", "^$", "-test.bench", pattern, "-test.benchtime", length, "-test.benchmem")
		cmd.Dir = pkg
		text, err := cmd.CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("benchmarks of %s: %w\n%s", pkg, err, text)
		}
		s := parseBenchmarks(string(text))
		if len(s) == 0 {
			return nil, fmt.Errorf("%s has no benchmark %s", pkg, pattern)
		}
		return s, nil
	}
}

// parseBenchmarks reads lines like "BenchmarkX/y-2  100  12.3 ns/op  0 B/op  0 allocs/op".
func parseBenchmarks(text string) sample {
	s := make(sample)
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 4 {
			continue
		}
		name, ok := strings.CutPrefix(fields[0], "Benchmark")
		if _, err := strconv.Atoi(fields[1]); !ok || err != nil {
			continue
		}
		if i := strings.LastIndexByte(name, '-'); i >= 0 { // the number of cores
			name = name[:i]
		}
		for i := 2; i+1 < len(fields); i += 2 {
			if v, err := strconv.ParseFloat(fields[i], 64); err == nil {
				s[name+" "+fields[i+1]] = v
			}
		}
	}
	return s
}

// codeWorks are benchmarks of parts, without a server.
func codeWorks() []work {
	const length = "100ms"
	const pattern = "Nested|EncodeReply|DecodeReply|DecodeSubscribe|DecodePublish"
	return []work{
		{
			name: "merge", title: "Messages merged into one write",
			note:  "`go test ./centrifuge/transport/websocket -bench BenchmarkMerge`: each iteration queues 100 messages to one connection over a real socket; merged as by default, and with `max_messages_in_frame` 1.",
			sides: []side{{name: "merge", run: benchmark("./centrifuge/transport/websocket", "^BenchmarkMerge$", "300ms")}},
			columns: []column{
				{"merged, µs", "Merge/merged ns/op", 1, 1e-3}, {"allocations", "Merge/merged allocs/op", 0, 0},
				{"single, µs", "Merge/single ns/op", 1, 1e-3}, {"allocations", "Merge/single allocs/op", 0, 0},
			},
			figures: []figure{
				{work: "100 messages merged into one write, to one by one: times faster", limit: 6, least: true, places: 1, unit: "x",
					value: func(at lookup) float64 { return at("merge", "Merge/single ns/op") / at("merge", "Merge/merged ns/op") }},
				{work: "100 messages merged: allocations", limit: 3, signed: true, value: just("merge", "Merge/merged allocs/op")},
			},
		},
		{
			name: "codec", title: "Encoding and decoding",
			note:   "`go test ./protocol -bench '" + pattern + "'`, the standard packages with the same messages. Nested is the publication in the envelope of V1, with which the protocol was introduced; Reply is the same publication in V2; Publish and Subscribe are commands as the server decodes them.",
			sides:  []side{{name: "protocol", run: benchmark("./protocol", pattern, length)}},
			detail: codecTable,
		},
	}
}

// codecTable sets ours beside the standard packages.
func codecTable(s samples) string {
	var b strings.Builder
	b.WriteString("| | ours: ns, B, allocs | standard: ns, B, allocs | times faster |\n|---|---|---|---|\n")
	names := make(map[string]bool)
	for _, round := range s["protocol"] {
		for name := range round {
			ours, ok := strings.CutSuffix(name, " ns/op")
			if _, both := round[strings.Replace(name, "/ours/", "/std/", 1)]; ok && both && strings.Contains(name, "/ours/") {
				names[ours] = true
			}
		}
	}
	all := func(name string) string {
		return fmt.Sprintf("%.0f, %.0f, %.0f", s.medians("protocol", name+" ns/op"), s.medians("protocol", name+" B/op"), s.medians("protocol", name+" allocs/op"))
	}
	for _, ours := range slices.Sorted(maps.Keys(names)) {
		std := strings.Replace(ours, "/ours/", "/std/", 1)
		fmt.Fprintf(&b, "| %s | %s | %s | %.1f |\n", strings.Replace(ours, "/ours", "", 1), all(ours), all(std),
			s.medians("protocol", std+" ns/op")/s.medians("protocol", ours+" ns/op"))
	}
	return b.String()
}
