//go:build linux

package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// plotFile is written beside the report.
const plotFile = "growth.svg"

// chart is one of the growth plots: a figure of each size.
type chart struct {
	title, unit, axis string
	metric            string
	sizes             []int // of which each is the name of a side, as thousands writes it
	floor             bool  // there are sides of the floor too
}

// The plots stand side by side, each as wide as this.
const (
	panelWidth, panelHeight = 330.0, 260.0
	plotLeft, plotTop       = 52.0, 44.0
	plotWidth, plotHeight   = 262.0, 160.0
)

// plots draws the charts of the works that have one, as an SVG document; it is
// empty when there is none.
func plots(done []outcome) string {
	var panels []string
	for _, o := range done {
		if o.work.chart != nil && o.err == nil {
			panels = append(panels, o.work.chart.panel(o.samples))
		}
	}
	if len(panels) == 0 {
		return ""
	}
	var b strings.Builder
	width := panelWidth * float64(len(panels))
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" width="%g" height="%g" font-family="sans-serif" font-size="12" fill="#333">`+"\n", width, panelHeight, width, panelHeight)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="#fff"/>`+"\n", width, panelHeight)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%g 0)">%s</g>`+"\n", panelWidth*float64(i), p)
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// panel draws one chart: sizes are spread evenly, since each is some times the
// one before; the band is what counts as flat.
func (c *chart) panel(s samples) string {
	var b strings.Builder
	of := func(name func(int) string) (values []float64) {
		for _, n := range c.sizes {
			values = append(values, s.medians(name(n), c.metric))
		}
		return values
	}
	values, floor := of(thousands), []float64(nil)
	if c.floor {
		floor = of(floorOf)
	}
	low := slices.Min(values)
	high := math.Max(slices.Max(append(floor, values...)), low*flat)
	step := niceStep(high / 4)
	top := step * math.Ceil(high*1.05/step)
	x := func(i int) float64 { return plotLeft + plotWidth*(float64(i)+.5)/float64(len(values)) }
	y := func(v float64) float64 { return plotTop + plotHeight*(1-v/top) }
	line := func(values []float64, style string) {
		var points []string
		for i, v := range values {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(v)))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke-width="2" %s/>`, strings.Join(points, " "), style)
	}
	fmt.Fprintf(&b, `<text x="%g" y="20" font-size="14" font-weight="bold">%s, %s</text>`, plotLeft, c.title, c.unit)
	fmt.Fprintf(&b, `<rect x="%g" y="%.1f" width="%g" height="%.1f" fill="#dcebf7"><title>flat within %.0f %%</title></rect>`, plotLeft, y(low*flat), plotWidth, y(low)-y(low*flat), (flat-1)*100)
	for v := 0.0; v <= top*1.001; v += step {
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%g</text>`, plotLeft, plotLeft+plotWidth, y(v), y(v), plotLeft-6, y(v)+4, math.Round(v*1e6)/1e6)
	}
	if c.floor {
		line(floor, `stroke="#999" stroke-dasharray="5 4"`)
		fmt.Fprintf(&b, `<text x="%g" y="36" fill="#777">dashed: the floor</text>`, plotLeft)
	}
	line(values, `stroke="#1f6fb2"`)
	for i, v := range values {
		fmt.Fprintf(&b, `<circle cx="%.1f" cy="%.1f" r="4" fill="#1f6fb2"/><text x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, x(i), y(v), x(i), y(v)-9, digits(v))
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text>`, x(i), plotTop+plotHeight+18, thousands(c.sizes[i]))
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">%s</text>`, plotLeft+plotWidth/2, plotTop+plotHeight+38, c.axis)
	return b.String()
}

// digits writes three that count.
func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

// niceStep rounds up to 1, 2 or 5 times a power of ten.
func niceStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 5} {
		if v <= n*power*1.0001 {
			return n * power
		}
	}
	return 10 * power
}
