//go:build linux

// Command measure runs the server and the floor in turn, several rounds, under
// the load of "centrifugo bench", and writes medians and ratios beside what they
// must reach: bench/RESULTS.md holds only what it printed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

// measurement is one run of the program.
type measurement struct {
	server, floor, dir string // the binaries, and where files may be put
	rounds             int
	seconds            int // of each paced run
	certificate        settings
}

func main() {
	m := &measurement{}
	flag.StringVar(&m.server, "binary", "bin/centrifugo", "the server, and the tool that loads it")
	out := flag.String("out", "", "file to write the report to, with growth.svg beside it; standard output if empty, without the plot")
	costs := flag.String("costs", "", "file to write the costs to that bench/cmd/model computes with; none if empty")
	flag.IntVar(&m.rounds, "rounds", 5, "rounds of each measurement, at most: some that take long have fewer")
	flag.IntVar(&m.seconds, "seconds", 5, "length of each paced run")
	only := flag.String("only", "", "regular expression: measure only works with such names")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := m.run(ctx, *out, *costs, *only); err != nil {
		log.Fatal(err)
	}
}

func (m *measurement) run(ctx context.Context, out, costs, only string) error {
	if m.rounds < 1 || m.seconds < 1 {
		return errors.New("rounds and seconds are at least 1")
	}
	wanted, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	if m.server, err = filepath.Abs(m.server); err != nil {
		return err
	}
	if m.dir, err = os.MkdirTemp("", "measure"); err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(m.dir) }()
	m.floor = filepath.Join(m.dir, "floor")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", m.floor, "./bench/floor").CombinedOutput(); err != nil {
		return fmt.Errorf("building the floor: %w\n%s", err, text)
	}
	if m.certificate, err = newCertificate(); err != nil {
		return err
	}
	began := time.Now()
	var done []outcome
	for _, w := range works(m) {
		if !wanted.MatchString(w.name) {
			continue
		}
		done = append(done, m.measure(ctx, w))
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	if len(done) == 0 {
		return fmt.Errorf("no work has a name like %q", only)
	}
	log.Printf("%d works in %v", len(done), time.Since(began).Round(time.Second))
	if costs != "" {
		if err := writeCosts(costs, done); err != nil {
			return err
		}
	}
	return m.write(out, done)
}

// write writes the report, and fails when a work did.
func (m *measurement) write(out string, done []outcome) error {
	report, plot := m.report(done), plots(done)
	if out == "" {
		fmt.Print(report)
	} else {
		if err := os.WriteFile(out, []byte(report), 0o644); err != nil {
			return err
		}
		if plot != "" {
			if err := os.WriteFile(filepath.Join(filepath.Dir(out), plotFile), []byte(plot), 0o644); err != nil {
				return err
			}
		}
	}
	var errs []error
	for _, o := range done {
		if o.err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", o.work.name, o.err))
		}
	}
	return errors.Join(errs...)
}
