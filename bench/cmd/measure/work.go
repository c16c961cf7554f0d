//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"strings"
	"time"
)

// work is something that is measured.
type work struct {
	name    string // for -only and the progress
	title   string
	note    string // what is done, and how it is counted
	rounds  int    // at most; 0 means all that are asked for
	sides   []side // run in turn in each round
	columns []column
	figures []figure
	chart   *chart // of the growth plots; may be nil
	// detail replaces the table of the columns; may be nil.
	detail func(samples) string
}

// side is one way to run a work.
type side struct {
	name  string
	run   runner
	times int // in each round; 0 means 1
}

// runner runs a side once.
type runner func(ctx context.Context, m *measurement) (sample, error)

// column is a figure of every side in the table of a work.
type column struct {
	head, metric string
	places       int     // behind the point
	scale        float64 // the figure is shown multiplied by it; 0 means 1
}

// show writes the column's figure of a sample; a missing one shows as NaN.
func (c *column) show(s sample) string {
	v, ok := s[c.metric]
	switch {
	case !ok:
		v = math.NaN()
	case c.scale != 0:
		v *= c.scale
	}
	return fmt.Sprintf("%.*f", c.places, v)
}

// outcome is what came of a work.
type outcome struct {
	work    work
	samples samples
	rows    []measured // of the figures; none when a side has failed
	err     error
}

// measure runs all rounds of a work. A side that fails ends the work, but not
// the others.
func (m *measurement) measure(ctx context.Context, w work) outcome {
	o := outcome{work: w, samples: make(samples)}
	rounds := m.rounds
	if w.rounds > 0 {
		rounds = min(rounds, w.rounds)
	}
	for i := range rounds {
		for _, s := range w.sides {
			for range max(s.times, 1) {
				began := time.Now()
				got, err := s.run(ctx, m)
				if err != nil {
					o.err = fmt.Errorf("%s: %w", s.name, err)
					log.Printf("%s: FAILED: %v", w.name, o.err)
					return o
				}
				o.samples[s.name] = append(o.samples[s.name], got)
				log.Printf("%s %d/%d: %s: %s(%.0f s)", w.name, i+1, rounds, s.name, w.brief(got), time.Since(began).Seconds())
			}
		}
	}
	for i := range w.figures {
		row := w.figures[i].of(o.samples)
		o.rows, o.err = append(o.rows, row), errors.Join(o.err, row.err)
	}
	if o.err != nil {
		log.Printf("%s: FAILED: %v", w.name, o.err)
	}
	return o
}

// brief is the columns of one run, for the progress.
func (w *work) brief(s sample) string {
	var b strings.Builder
	for _, c := range w.columns {
		fmt.Fprintf(&b, "%s %s; ", c.head, c.show(s))
	}
	return b.String()
}
