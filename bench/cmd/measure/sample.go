//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
)

// sample is the figures of one run by name, such as "server.cpu_us_per_delivery".
type sample map[string]float64

// samples are those of each side, round by round.
type samples map[string][]sample

// lookup returns a figure of a side: that of one round, or the median of all.
// It is NaN, and so is what is made of it, when the figure is missing.
type lookup func(side, metric string) float64

// round returns the lookup of one round.
func (s samples) round(i int) lookup {
	return func(side, metric string) float64 {
		if i >= len(s[side]) {
			return math.NaN()
		}
		v, ok := s[side][i][metric]
		if !ok {
			return math.NaN()
		}
		return v
	}
}

// medians is the lookup of the medians of all rounds.
func (s samples) medians(side, metric string) float64 {
	var values []float64
	for i := range s[side] {
		values = append(values, s.round(i)(side, metric))
	}
	return median(values)
}

// rounds is how many there are of every side.
func (s samples) rounds() int {
	n := math.MaxInt
	for _, all := range s {
		n = min(n, len(all))
	}
	if len(s) == 0 {
		return 0
	}
	return n
}

// median is NaN when there are no values, or one of them is none.
func median(values []float64) float64 {
	if len(values) == 0 || slices.ContainsFunc(values, math.IsNaN) {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// flatten adds the numbers of a JSON document under the path to each of them.
func (s sample) flatten(path string, value any) {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			if path != "" {
				name = path + "." + name
			}
			s.flatten(name, inner)
		}
	case float64:
		s[path] = v
	}
}

// derive adds a quotient, if there is something to divide by.
func (s sample) derive(name string, a, b float64) {
	if b > 0 {
		s[name] = a / b
	}
}

// figure is one row of what must be reached.
type figure struct {
	work  string
	limit float64 // NaN: it is shown, and nothing is asked
	least bool    // the limit is the least rather than the most
	unit  string
	// places behind the point.
	places int
	// value is made of the figures of one round; the median of the rounds counts.
	value func(lookup) float64
	// together: value is made of the medians of all rounds instead, once.
	together bool
	// signed: a value that is zero or negative is one, not a sign that it is missing.
	signed bool
	// remark says more, of the medians; may be nil.
	remark func(lookup) string
}

// shown makes a figure of which nothing is asked.
var shown = math.NaN()

// measured is what came out for a figure.
type measured struct {
	value, low, high float64 // low and high of the rounds
	remark           string
	err              error // there is none: something that it is made of is missing
}

// of evaluates a figure.
func (f *figure) of(s samples) (m measured) {
	var values []float64
	if f.together {
		values = []float64{f.value(s.medians)}
	} else {
		for i := range s.rounds() {
			values = append(values, f.value(s.round(i)))
		}
	}
	m.value = median(values)
	if math.IsNaN(m.value) || math.IsInf(m.value, 0) || !f.signed && m.value <= 0 {
		m.err = fmt.Errorf("%s: no figure came out", f.work)
		return m
	}
	m.low, m.high = slices.Min(values), slices.Max(values)
	if f.remark != nil {
		m.remark = f.remark(s.medians)
	}
	return m
}

func (f *figure) number(v float64) string {
	return fmt.Sprintf("%.*f%s", f.places, v, f.unit)
}

func (f *figure) asked() string {
	switch {
	case math.IsNaN(f.limit):
		return "(shown)"
	case f.least:
		return "≥ " + f.number(f.limit)
	}
	return "≤ " + f.number(f.limit)
}

// reached compares what is written, so that 1.15x reaches 1.15x.
func (f *figure) reached(v float64) string {
	if math.IsNaN(f.limit) {
		return ""
	}
	scale := math.Pow(10, float64(f.places))
	v = math.Round(v*scale) / scale
	if f.least && v >= f.limit || !f.least && v <= f.limit {
		return "yes"
	}
	return "**no**"
}
