//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"
)

// report writes what was measured.
func (m *measurement) report(done []outcome) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Results\n\nWritten by `make bench` (`go run ./bench/cmd/measure -rounds %d -seconds %d`) on %s.\n\n", m.rounds, m.seconds, time.Now().UTC().Format("2006-01-02"))
	fmt.Fprintf(&b, "Machine: %s. Load, server and floor share it, over loopback. The server has its default configuration, plus what admits the load; payloads have 128 bytes and are JSON unless stated otherwise.\n\n", machine())
	b.WriteString("Figures are medians of the rounds; a ratio compares figures of the same round. In parentheses: the lowest and the highest of the rounds. What each figure means is in [docs/performance.md](../docs/performance.md).\n\n")
	b.WriteString("| Work | must reach | measured | reached |\n|---|---|---|---|\n")
	for _, o := range done {
		o.writeRows(&b)
	}
	b.WriteString("\n")
	if plots(done) != "" {
		fmt.Fprintf(&b, "![Growth](%s)\n\n", plotFile)
	}
	for _, o := range done {
		o.writeDetail(&b)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// writeRows writes the figures of an outcome beside what they must reach.
func (o *outcome) writeRows(b *strings.Builder) {
	for i := range o.work.figures {
		f := &o.work.figures[i]
		r := measured{err: o.err}
		if i < len(o.rows) {
			r = o.rows[i]
		}
		if r.err != nil {
			fmt.Fprintf(b, "| %s | %s | failed: %s | **no** |\n", f.work, f.asked(), strings.NewReplacer("\n", " ", "|", "/").Replace(r.err.Error()))
			continue
		}
		text := f.number(r.value)
		if len(o.samples[o.work.sides[0].name]) > 1 && !f.together {
			text += fmt.Sprintf(" (%.*f – %.*f)", f.places, r.low, f.places, r.high)
		}
		if r.remark != "" {
			text += "; " + r.remark
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s |\n", f.work, f.asked(), text, f.reached(r.value))
	}
}

// writeDetail writes the medians of every side.
func (o *outcome) writeDetail(b *strings.Builder) {
	if len(o.samples) == 0 {
		return
	}
	fmt.Fprintf(b, "## %s\n\n%s\n\n", o.work.title, o.work.note)
	if o.work.detail != nil {
		fmt.Fprintf(b, "%s\n", o.work.detail(o.samples))
		return
	}
	b.WriteString("|")
	for _, c := range o.work.columns {
		b.WriteString(" | " + c.head)
	}
	b.WriteString(" |\n|---" + strings.Repeat("|---", len(o.work.columns)) + "|\n")
	for _, s := range o.work.sides {
		if len(o.samples[s.name]) == 0 {
			continue
		}
		b.WriteString("| " + s.name)
		for _, c := range o.work.columns {
			b.WriteString(" | " + c.show(sample{c.metric: o.samples.medians(s.name, c.metric)}))
		}
		b.WriteString(" |\n")
	}
	b.WriteString("\n")
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
