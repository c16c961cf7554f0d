//go:build linux

package main

import (
	"context"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []float64
		want   float64
	}{{[]float64{3}, 3}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 2, 9}, 3}, {nil, math.NaN()}, {[]float64{1, math.NaN(), 2}, math.NaN()}} {
		if got := median(tt.values); got != tt.want && !(math.IsNaN(got) && math.IsNaN(tt.want)) {
			t.Errorf("%v: %v; want %v", tt.values, got, tt.want)
		}
	}
}

// rounds makes samples of one figure.
func rounds(values map[string][]float64) samples {
	s := make(samples)
	for side, all := range values {
		for _, v := range all {
			s[side] = append(s[side], sample{"x": v})
		}
	}
	return s
}

func TestFigures(t *testing.T) {
	s := rounds(map[string][]float64{"a": {11, 30, 24}, "floor": {10, 20, 20}})
	ratio := over("a", "floor", "x")
	for name, tt := range map[string]struct {
		figure  figure
		value   float64
		reached string
	}{
		"of each round":  {figure{value: ratio, limit: 1.2, places: 2}, 1.2, "yes"},
		"of medians":     {figure{value: ratio, limit: 1.1, places: 2, together: true}, 1.2, "**no**"},
		"as it is shown": {figure{value: just("a", "x"), limit: 23.6, places: 0}, 24, "**no**"},
		"rounded":        {figure{value: func(lookup) float64 { return 1.1549 }, limit: 1.15, places: 2}, 1.1549, "yes"},
		"at least":       {figure{value: just("a", "x"), limit: 24, least: true}, 24, "yes"},
		"too little":     {figure{value: just("a", "x"), limit: 25, least: true}, 24, "**no**"},
		"shown":          {figure{value: just("a", "x"), limit: shown}, 24, ""},
		"negative":       {figure{value: func(lookup) float64 { return -1 }, signed: true}, -1, "yes"},
	} {
		m := tt.figure.of(s)
		if m.err != nil || math.Abs(m.value-tt.value) > 1e-9 || tt.figure.reached(m.value) != tt.reached {
			t.Errorf("%s: %+v, reached %q; want %v, %q", name, m, tt.figure.reached(m.value), tt.value, tt.reached)
		}
	}
	f := figure{value: ratio}
	if m := f.of(s); m.low != 1.1 || m.high != 1.5 {
		t.Errorf("from %v to %v; want 1.1 and 1.5", m.low, m.high)
	}
}

// TestMissing: what did not come out is never taken for something reached.
func TestMissing(t *testing.T) {
	s := rounds(map[string][]float64{"a": {1, 0}, "b": {2, 3}})
	for name, value := range map[string]func(lookup) float64{
		"metric": just("a", "y"), "side": just("c", "x"), "one round": over("b", "a", "x"),
		"zero": func(lookup) float64 { return 0 }, "negative": func(lookup) float64 { return -1 },
	} {
		f := figure{work: name, value: value, limit: 100}
		if m := f.of(s); m.err == nil {
			t.Errorf("%s: %+v; want an error", name, m)
		}
	}
	f := figure{value: func(lookup) float64 { return 1 }}
	if m := f.of(samples{}); m.err == nil {
		t.Errorf("no rounds: %+v; want an error", m)
	}
}

const toolReport = `{"ok":true,"clients":10,"subscriptions":30,"duration_s":4,"connect":{"count":10,"seconds":2},"loss":{"expected":7,"received":7},
"publish":{"count":50},"server":{"rss_connected_bytes":5,"cpu_user_s":1,"cpu_system_s":1.5},"load":{"cpu_s":2},"timeline":[{"at_s":1}],"failures":[]}`

func TestParseReport(t *testing.T) {
	s, err := parseReport([]byte(toolReport))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"connect.count": 10, "load.cores": .5, publicationCPU: 50_000, "connect.subscriptions_per_second": 15} {
		if s[name] != want {
			t.Errorf("%s is %v, want %v", name, s[name], want)
		}
	}
	for name, replace := range map[string][2]string{
		"failed":   {`"ok":true`, `"ok":false`},
		"lost":     {`"received":7`, `"received":6`},
		"no CPU":   {`"cpu_s":2`, `"x":2`},
		"no count": {`"count":10`, `"x":10`},
		"no JSON":  {`{"ok"`, `"ok"`},
	} {
		text := strings.Replace(toolReport, replace[0], replace[1], 1)
		if _, err := parseReport([]byte(text)); err == nil || text == toolReport {
			t.Errorf("%s was taken; want an error", name)
		}
	}
}

func TestParseBenchmarks(t *testing.T) {
	s := parseBenchmarks("goos: linux\nBenchmarkMerge/single-8 \t 100\t 12.5 ns/op\t 3 B/op\t 0 allocs/op\nBenchmarkX-y/z-2 10 1 ns/op 5.5 MB/s\nBenchmarkMerge/single-8\nPASS\nok x 1.2s\n")
	want := sample{"Merge/single ns/op": 12.5, "Merge/single B/op": 3, "Merge/single allocs/op": 0, "X-y/z ns/op": 1, "X-y/z MB/s": 5.5}
	if len(s) != len(want) {
		t.Errorf("%v; want length %v", s, len(want))
	}
	for name, v := range want {
		if got, ok := s[name]; !ok || got != v {
			t.Errorf("%s is %v, want %v", name, got, v)
		}
	}
}

func TestOwner(t *testing.T) {
	const serve, ours, lane = "net/http.(*conn).serve", "centrifugo/server/internal/apihttp.(*Handler).ServeHTTP", "centrifugo/centrifuge/internal/fanout.(*lane).run"
	for want, stacks := range map[string][][]string{
		ownedBySockets: {
			{"internal/runtime/syscall/linux.Syscall6", "syscall.write", "internal/poll.(*FD).Write", "net.(*conn).Write", "bufio.(*Writer).Flush", serve},
			{"golang.org/x/sys/unix.write", "centrifugo/centrifuge/internal/eventloop.(*socket).Write", lane},
			{"runtime.netpoll", "runtime.findRunnable", "runtime.schedule", "runtime.mcall"},
		},
		ownedByHTTP:      {{"runtime.mallocgc", "net/textproto.(*Reader).ReadMIMEHeader", "net/http.readRequest", serve}, {"net/http.(*response).WriteHeader", ours, serve}},
		ownedByUs:        {{"runtime.mallocgc", "centrifugo/protocol.AppendReply", lane}, {"strings.Index", ours, "net/http.serverHandler.ServeHTTP", serve}},
		ownedByScheduler: {{"runtime.futex", "runtime.notesleep", "runtime.stopm", "runtime.findRunnable", "runtime.schedule"}},
		ownedByCollector: {{"runtime.scanobject", "runtime.gcDrain", "runtime.gcBgMarkWorker"}, {"runtime.gcAssistAlloc", "runtime.mallocgc", ours, serve}},
		ownedByOthers:    {{"runtime.memmove"}, nil},
	} {
		for _, stack := range stacks {
			if got := owner(stack); got != want {
				t.Errorf("%v is of %s, want %s", stack, got, want)
			}
		}
	}
}

func TestMerge(t *testing.T) {
	a := settings{"client": settings{"x": 1, "y": 2}, "z": 3}
	b := merge(a, settings{"client": settings{"y": 4}, "w": 5})
	if got := b["client"].(settings); got["x"] != 1 || got["y"] != 4 || b["z"] != 3 || b["w"] != 5 {
		t.Errorf("%v; want 1, 4, 3 and 5", b)
	}
	if a["client"].(settings)["y"] != 2 || len(a) != 2 {
		t.Errorf("the first was changed: %v; want 2 and length 2", a)
	}
}

// TestMeasure: every side runs in every round, in turn, and a failure says so in the report.
func TestMeasure(t *testing.T) {
	var order []string
	run := func(name string, fail error) runner {
		return func(context.Context, *measurement) (sample, error) {
			order = append(order, name)
			return sample{"x": float64(len(order))}, fail
		}
	}
	w := work{
		name: "w", title: "W", rounds: 2, columns: []column{{"x", "x", 0, 10}, {"y", "y", 0, 0}},
		sides:   []side{{name: "a", run: run("a", nil)}, {name: "b", run: run("b", nil), times: 2}},
		figures: []figure{{work: "a to b", limit: 1, unit: "x", value: over("a", "b", "x")}, {work: "missing", limit: 1, value: just("a", "y")}},
	}
	m := &measurement{rounds: 5, seconds: 1}
	o := m.measure(t.Context(), w)
	if got := strings.Join(order, ""); got != "abbabb" || o.err == nil {
		t.Errorf("ran %s, %v; want \"abbabb\"", got, o.err)
	}
	report := m.report([]outcome{o})
	for _, want := range []string{"| a to b | ≤ 1x |", "| missing | ≤ 1 | failed: missing: no figure came out | **no** |", "| a | 25 | NaN |", "| b | 40 | NaN |"} {
		if !strings.Contains(report, want) {
			t.Errorf("%q is not there; want it in\n%s", want, report)
		}
	}
	w.sides[1].run = run("b", errors.New("lost |\nall"))
	o = m.measure(t.Context(), w)
	if report := m.report([]outcome{o}); o.err == nil || !strings.Contains(report, "| a to b | ≤ 1x | failed: b: lost / all | **no** |") {
		t.Errorf("%v\n%s; want %q in it", o.err, report, "| a to b | ≤ 1x | failed: b: lost / all | **no** |")
	}
}

// TestWorks: names are unique, what is asked can be read, and -only finds each.
func TestWorks(t *testing.T) {
	m := &measurement{seconds: 5}
	names := make(map[string]bool)
	asked := 0
	for _, w := range works(m) {
		if names[w.name] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(w.name) || w.title == "" || w.note == "" || len(w.sides) == 0 {
			t.Errorf("%q; want a name of its own of a-z, 0-9 and -, a title, a note and sides", w.name)
		}
		names[w.name] = true
		sides := make(map[string]bool)
		for _, s := range w.sides {
			if sides[s.name] {
				t.Errorf("%s: two sides are %s; want a name each", w.name, s.name)
			}
			sides[s.name] = true
		}
		for i := range w.figures {
			if f := &w.figures[i]; !math.IsNaN(f.limit) {
				asked++
			}
		}
	}
	if asked < 24 {
		t.Errorf("only %d figures are asked for; want at least 24", asked)
	}
}

func TestPlots(t *testing.T) {
	g := growth{work: work{chart: &chart{title: "T", unit: "µs", axis: "n"}}, what: "g", metric: "x", sizes: []int{10, 2000}, floor: func(int) runner { return nil }, run: func(int) runner { return nil }}
	w := g.complete()
	s := rounds(map[string][]float64{"10": {4}, "2,000": {5}, "floor, 10": {2}, "floor, 2,000": {4}})
	for i, want := range []float64{1.25, 2, 1.6} {
		if m := w.figures[i].of(s); m.err != nil || math.Abs(m.value-want) > 1e-9 {
			t.Errorf("%s: %+v; want %v", w.figures[i].work, m, want)
		}
	}
	svg := plots([]outcome{{work: w, samples: s}, {work: work{name: "without"}}})
	decoder := xml.NewDecoder(strings.NewReader(svg))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s; want valid XML", err, svg)
		}
	}
	for _, want := range []string{">2,000</text>", ">5.00</text>", "dashed", "flat within 15 %"} {
		if !strings.Contains(svg, want) {
			t.Errorf("%q is not there; want it in\n%s", want, svg)
		}
	}
	if plots([]outcome{{work: w, err: errors.New("failed")}}) != "" {
		t.Error("a plot of nothing; want none")
	}
}

func TestParseInfo(t *testing.T) {
	const info = "# CPU\r\nused_cpu_sys:1.25\r\nused_cpu_user:0.5\r\nused_cpu_sys_children:9\r\n\r\n# Commandstats\r\ncmdstat_xrange:calls=12,usec=30,usec_per_call=2.5\r\n"
	got, err := parseInfo([]byte(info))
	if err != nil || got["cpu"] != 1.75 || got["xrange"] != 12 || len(got) != 2 {
		t.Errorf("parseInfo = %v, %v; want cpu 1.75, xrange 12", got, err)
	}
	for _, bad := range []string{"", "Could not connect", "used_cpu_sys:x"} {
		if got, err := parseInfo([]byte(bad)); err == nil {
			t.Errorf("parseInfo(%q) = %v; want an error", bad, got)
		}
	}
}
