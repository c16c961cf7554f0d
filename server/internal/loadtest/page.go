package loadtest

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("page").Parse(pageText))

// tile is a figure at the head of the page.
type tile struct{ Value, Name string }

// WriteHTML writes a page with plots that needs nothing but itself: no scripts,
// fonts or styles from anywhere else.
func (r *Report) WriteHTML(w io.Writer) error {
	if err := page.Execute(w, map[string]any{"Report": r, "Tiles": r.tiles(), "Charts": r.charts(), "Rows": r.rows(), "Settings": r.settings(), "Errors": r.errorTexts()}); err != nil {
		return fmt.Errorf("writing page: %w", err)
	}
	return nil
}

// charts of the timeline, without those that have nothing to show.
func (r *Report) charts() []*chart {
	points := r.Timeline
	cores := func(v float64) string { return fmt.Sprintf("%.2g", v) }
	all := []*chart{
		newChart("Latency", "from publication to delivery, logarithmic", points, true, span,
			series{"p50", "p50", func(p *Point) float64 { return p.P50MS }}, series{"p90", "p90", func(p *Point) float64 { return p.P90MS }},
			series{"p99", "p99", func(p *Point) float64 { return p.P99MS }}, series{"p99.9", "p999", func(p *Point) float64 { return p.P999MS }}),
		newChart("Deliveries", "a second", points, false, count, series{"deliveries", "one", func(p *Point) float64 { return p.Deliveries }}),
		newChart("Publications", "a second", points, false, count, series{"publications", "one", func(p *Point) float64 { return p.Publications }}),
	}
	if scenario, _ := scenario(r.Scenario); scenario.rounds || scenario.churn > 0 || r.Deliver.Count == 0 {
		all = append(all, newChart("Connections", "made a second", points, false, count, series{"connects", "one", func(p *Point) float64 { return p.Connects }}),
			newChart("Clients", "connected and subscribed", points, false, count, series{"clients", "one", func(p *Point) float64 { return float64(p.Clients) }}))
	}
	all = append(all,
		newChart("Traffic", "bytes a second to the clients", points, false, size, series{"bytes", "one", func(p *Point) float64 { return p.BytesPerS }}).binary(),
		newChart("Memory of the server", "resident", points, false, size, series{"memory", "one", func(p *Point) float64 { return float64(p.RSSBytes) }}).binary())
	lines := []series{{"this program", "three", func(p *Point) float64 { return p.LoadCPU }}}
	if r.Server != nil {
		lines = append([]series{
			{"server, user", "one", func(p *Point) float64 { return p.CPUUser }},
			{"server, system", "two", func(p *Point) float64 { return p.CPUSystem }},
		}, lines...)
	}
	all = append(all, newChart("CPU", "cores", points, false, cores, lines...))
	var shown []*chart
	for _, c := range all {
		if !c.empty() {
			shown = append(shown, c)
		}
	}
	return shown
}

// tiles are the figures that the scenario is about.
func (r *Report) tiles() []tile {
	var tiles []tile
	add := func(when bool, value, name string) {
		if when {
			tiles = append(tiles, tile{value, name})
		}
	}
	add(true, count(float64(r.Clients)), "clients")
	add(r.Deliver.Count > 0, count(r.Deliver.PerSecond)+"/s", "deliveries")
	add(r.Deliver.Latency.Count > 0, span(r.Deliver.Latency.P50MS), "latency p50")
	add(r.Deliver.Latency.Count > 0, span(r.Deliver.Latency.P99MS), "latency p99")
	add(r.Deliver.Count == 0 || r.Recover != nil, count(r.Connect.PerSecond)+"/s", "connections")
	add(r.Loss.Expected > 0, count(float64(r.Loss.Lost)), "deliveries lost")
	if f := r.Server; f != nil {
		add(r.Deliver.Count > 0 && r.Recover == nil, fmt.Sprintf("%.2f µs", f.CPUUSPerDelivery), "server CPU a delivery")
		add(f.RSSPerClientBytes > 0, size(f.RSSPerClientBytes), "server memory a client")
	}
	return tiles
}

// settings are the options of the run that are no secret.
func (r *Report) settings() [][2]string {
	rate := count(r.Rate) + "/s"
	if r.Rate == 0 {
		rate = "as fast as it goes"
	}
	return [][2]string{
		{"transport", r.Transport}, {"address", r.Address}, {"started", r.Started}, {"encoding", r.Encoding}, {"permessage-deflate", fmt.Sprint(r.Deflate)},
		{"channels", fmt.Sprint(r.Channels)}, {"subscriptions", fmt.Sprint(r.Subscriptions)}, {"publishers", fmt.Sprint(r.Publishers)}, {"rate", rate},
		{"payload", fmt.Sprintf("%d bytes", r.PayloadBytes)}, {"workers", fmt.Sprint(r.Workers)},
		{"warmup", fmt.Sprintf("%g s", r.WarmupS)}, {"measured", fmt.Sprintf("%.1f s", r.DurationS)},
	}
}

func (r *Report) errorTexts() [][2]string {
	var texts [][2]string
	for _, e := range r.Errors {
		texts = append(texts, [2]string{fmt.Sprint(e.Count), e.text()})
	}
	return texts
}
