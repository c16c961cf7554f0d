package loadtest

import (
	"encoding/json"
	"fmt"
	"html/template"
	"math"
	"strings"
)

// The drawing area of a chart, in units of its view box.
const (
	chartWidth, chartHeight    = 640.0, 250.0
	plotLeft, plotRight        = 62.0, 10.0
	plotTop, plotBottom        = 10.0, 26.0
	plotWidth                  = chartWidth - plotLeft - plotRight
	plotHeight                 = chartHeight - plotTop - plotBottom
	linearTicks, smallestRange = 5, 1e-9
)

// series is one line of a chart.
type series struct {
	Name  string
	class string // that the style sheet gives a colour
	value func(*Point) float64
}

// chart is a plot over the time of a run.
type chart struct {
	Title, Note string
	Series      []series
	logarithmic bool    // a value of 0 is then a gap in the line
	unit        float64 // that ticks are round numbers of
	format      func(float64) string
	points      []Point
	from, to    float64 // seconds
	low, high   float64
	ticks       []float64
}

func newChart(title, note string, points []Point, logarithmic bool, format func(float64) string, lines ...series) *chart {
	c := &chart{Title: title, Note: note, Series: lines, logarithmic: logarithmic, unit: 1, format: format, points: points}
	if len(points) > 0 {
		c.from, c.to = 0, points[len(points)-1].AtS
	}
	c.to = math.Max(c.to, c.from+smallestRange)
	c.scale()
	return c
}

// binary makes the ticks round numbers of kilobytes or megabytes.
func (c *chart) binary() *chart {
	for c.unit*1024 < c.high {
		c.unit *= 1024
	}
	c.ticks = nil
	c.scale()
	return c
}

// empty says that there is nothing to see.
func (c *chart) empty() bool { return c.high <= 0 }

// scale finds the range of the values, and where to put lines across.
func (c *chart) scale() {
	low, high := math.Inf(1), 0.0
	for i := range c.points {
		for _, s := range c.Series {
			v := s.value(&c.points[i])
			high = math.Max(high, v)
			if v > 0 {
				low = math.Min(low, v)
			}
		}
	}
	if high <= 0 {
		return
	}
	if c.logarithmic {
		c.scaleLogarithmic(low, high)
		return
	}
	step := niceStep(high/linearTicks/c.unit) * c.unit
	c.high = math.Ceil(high/step) * step
	for i := 0; float64(i)*step <= c.high*1.0001; i++ {
		c.ticks = append(c.ticks, float64(i)*step)
	}
}

// scaleLogarithmic puts lines at 1, 2 and 5 times powers of ten, or only at the
// powers when there are many of them.
func (c *chart) scaleLogarithmic(low, high float64) {
	steps := []float64{1, 2, 5}
	if high/low > 1e3 {
		steps = steps[:1]
	}
	var all []float64
	for power := math.Floor(math.Log10(low)); power <= math.Log10(high)+1; power++ {
		for _, n := range steps {
			all = append(all, n*math.Pow(10, power))
		}
	}
	for i, v := range all {
		if i+1 < len(all) && all[i+1] <= low || i > 0 && all[i-1] >= high && len(c.ticks) > 1 {
			continue
		}
		c.ticks = append(c.ticks, v)
	}
	c.low, c.high = c.ticks[0], c.ticks[len(c.ticks)-1]
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

func (c *chart) x(seconds float64) float64 {
	return plotLeft + (seconds-c.from)/(c.to-c.from)*plotWidth
}

func (c *chart) y(v float64) float64 {
	share := v / c.high
	if c.logarithmic {
		share = (math.Log(v) - math.Log(c.low)) / (math.Log(c.high) - math.Log(c.low))
	}
	return plotTop + (1-share)*plotHeight
}

// SVG draws the chart. The texts in it are numbers and names of our own.
func (c *chart) SVG() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, chartWidth, chartHeight, template.HTMLEscapeString(c.Title))
	c.drawPhases(&b)
	for _, v := range c.ticks {
		y := c.y(v)
		fmt.Fprintf(&b, `<line class="grid" x1="%g" x2="%g" y1="%.1f" y2="%.1f"/><text class="tick" text-anchor="end" x="%g" y="%.1f">%s</text>`,
			plotLeft, chartWidth-plotRight, y, y, plotLeft-7, y+4, c.format(v))
	}
	step := niceStep((c.to - c.from) / 8)
	for i := 0; float64(i)*step <= c.to; i++ {
		fmt.Fprintf(&b, `<text class="tick" text-anchor="middle" x="%.1f" y="%g">%g s</text>`, c.x(float64(i)*step), chartHeight-8, math.Round(float64(i)*step*1000)/1000)
	}
	for _, s := range c.Series {
		fmt.Fprintf(&b, `<path class="line %s" d="%s"/>`, s.class, c.path(s))
	}
	b.WriteString(`<line class="cursor" y1="10" y2="224" x1="-9" x2="-9"/></svg>`)
	return template.HTML(b.String()) //nolint:gosec // built above
}

// drawPhases shades what was not measured.
func (c *chart) drawPhases(b *strings.Builder) {
	for i := 0; i < len(c.points); {
		j, phase := i, c.points[i].Phase
		for j < len(c.points) && c.points[j].Phase == phase {
			j++
		}
		from, to := c.from, c.points[j-1].AtS
		if i > 0 {
			from = c.points[i-1].AtS
		}
		if phase != phaseMeasure {
			fmt.Fprintf(b, `<rect class="phase" x="%.1f" y="%g" width="%.1f" height="%g"><title>%s</title></rect>`,
				c.x(from), plotTop, c.x(to)-c.x(from), plotHeight, template.HTMLEscapeString(phase))
		}
		i = j
	}
}

// path is the line of a series; without a value it has a gap, and a value alone is a dot.
func (c *chart) path(s series) string {
	var b strings.Builder
	move := true
	for i := range c.points {
		v := s.value(&c.points[i])
		if c.logarithmic && v <= 0 {
			move = true
			continue
		}
		x, y := c.x(c.points[i].AtS), c.y(v)
		if move {
			fmt.Fprintf(&b, "M%.1f %.1fh.1", x, y)
		}
		fmt.Fprintf(&b, "L%.1f %.1f", x, y)
		move = false
	}
	return b.String()
}

// Data is what the page shows of a moment under the pointer: where it is, and
// what to say of each series, as JSON.
func (c *chart) Data() (string, error) {
	xs, labels := []float64{}, [][]string{}
	for i := range c.points {
		p := &c.points[i]
		xs = append(xs, math.Round(c.x(p.AtS)*10)/10)
		label := []string{fmt.Sprintf("%.2f s, %s", p.AtS, p.Phase)}
		for _, s := range c.Series {
			v := s.value(p)
			if c.logarithmic && v <= 0 {
				label = append(label, "none")
				continue
			}
			label = append(label, c.format(v))
		}
		labels = append(labels, label)
	}
	text, err := json.Marshal(map[string]any{"x": xs, "labels": labels, "width": chartWidth})
	if err != nil {
		return "", fmt.Errorf("writing values of a chart: %w", err)
	}
	return string(text), nil
}

// Class is the colour of a series.
func (s series) Class() string { return s.class }
