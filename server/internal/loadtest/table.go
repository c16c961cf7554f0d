package loadtest

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// WriteTable writes the report for people.
func (r *Report) WriteTable(w io.Writer) error {
	var b strings.Builder
	over := r.Transport
	if r.HTTP2Streams > 0 {
		over = fmt.Sprintf("%s, HTTP/2 with %d clients a connection", over, r.HTTP2Streams)
	}
	if len(r.Ways) > 0 {
		fmt.Fprintf(&b, "%s: %s, %d publishers, %.1f s\n\n", r.Scenario, r.Address, r.Publishers, r.DurationS)
	} else {
		fmt.Fprintf(&b, "%s over %s: %s, %d clients, %s%s, %.1f s\n\n", r.Scenario, over, r.Address, r.Clients, r.Encoding, map[bool]string{true: " with deflate"}[r.Deflate], r.DurationS)
	}
	for _, row := range r.rows() {
		fmt.Fprintf(&b, "  %-14s %s\n", row[0], row[1])
	}
	b.WriteString("\n")
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "  %d x %s\n", e.Count, e.text())
	}
	if r.OK {
		b.WriteString("  OK\n")
	} else {
		b.WriteString("  FAILED: " + strings.Join(r.Failures, "; ") + "\n")
	}
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("writing table: %w", err)
	}
	return nil
}

// rows of the table: a name and what there is to say. Those without a meaning in
// the scenario are left out.
func (r *Report) rows() [][2]string {
	var rows [][2]string
	row := func(when bool, name, format string, args ...any) {
		if when {
			rows = append(rows, [2]string{name, fmt.Sprintf(format, args...)})
		}
	}
	row(len(r.Ways) == 0, "connected", "%s in %.2f s, %s/s, p50 %s, p99 %s, max %s", count(float64(r.Connect.Count)), r.Connect.Seconds, count(r.Connect.PerSecond),
		span(r.Connect.Latency.P50MS), span(r.Connect.Latency.P99MS), span(r.Connect.Latency.MaxMS))
	published := r.Publish.Count > 0
	row(published, "published", "%s, %s/s, answered in p50 %s, p99 %s, max %s", count(float64(r.Publish.Count)), count(r.Publish.PerSecond),
		span(r.Publish.Latency.P50MS), span(r.Publish.Latency.P99MS), span(r.Publish.Latency.MaxMS))
	row(r.Deliver.Count > 0, "delivered", "%s, %s/s, %s/s", count(float64(r.Deliver.Count)), count(r.Deliver.PerSecond), size(r.Deliver.BytesPerSecond))
	l := r.Deliver.Latency
	row(l.Count > 0, "latency", "p50 %s, p90 %s, p99 %s, p99.9 %s, max %s", span(l.P50MS), span(l.P90MS), span(l.P99MS), span(l.P999MS), span(l.MaxMS))
	row(r.Loss.Expected > 0, "loss", "%d of %s lost, %d gaps, %d duplicates, %d out of order", r.Loss.Lost, count(float64(r.Loss.Expected)), r.Loss.Gaps, r.Loss.Duplicates, r.Loss.Disorder)
	if f := r.Recover; f != nil {
		row(true, "recovered", "%s in %d rounds of %d each, %s/s", count(float64(f.Recovered)), f.Rounds, f.Missed, count(f.RecoveredPerSecond))
		row(r.Server != nil, "", "%.2f µs of server CPU for each", f.CPUUSPerPublication)
	}
	if f := r.Slow; f != nil {
		row(true, "slow readers", "%d, %s/s each, %s deliveries, %d disconnected", f.Clients, size(f.BytesPerSecond), count(float64(f.Deliveries)), f.Disconnected)
	}
	if f := r.Proxy; f != nil {
		row(true, "all in", "%s; clients were told to come back %s times", span(f.AllInS*1000), count(float64(f.CameBack)))
		row(true, "backend", "%s calls of %s, at most %d at the same time (it takes %d)", count(float64(f.Calls)), span(f.BackendMS), f.MaxInFlight, f.Parallel)
		row(f.Unavailable > 0, "", "%d were answered with 503", f.Unavailable)
		row(true, "", "%d timed out, %d connects failed with a call or an open breaker", f.Abandoned, f.FailedConnects)
	}
	for _, f := range r.Ways {
		text := fmt.Sprintf("%s publications, %s/s", count(float64(f.Publications)), count(f.PerSecond))
		if f.CPUUSPerPublication > 0 {
			text += fmt.Sprintf(", %.2f µs of server CPU for each", f.CPUUSPerPublication)
		}
		if f.ToHTTP > 0 {
			text += fmt.Sprintf(", %.1f times as many for the same CPU as requests over HTTP", f.ToHTTP)
		}
		row(true, f.Way, "%s", text)
	}
	if f := r.Server; f != nil {
		row(true, "server memory", "%s, %s with clients, at most %s", size(float64(f.RSSBeforeBytes)), size(float64(f.RSSConnectedBytes)), size(float64(f.RSSMaxBytes)))
		row(f.RSSPerClientBytes > 0, "", "%s for each client", size(f.RSSPerClientBytes)) // a server that had clients before may not grow
		row(f.RSSPerSubscriptionBytes > 0 && r.Subscriptions > r.Clients, "", "%s for each subscription", size(f.RSSPerSubscriptionBytes))
		row(true, "server CPU", "%.2f s user, %.2f s system", f.CPUUserS, f.CPUSystemS)
		row(f.CPUUSPerClientSecond > 0, "", "%.2f µs for each client and second", f.CPUUSPerClientSecond)
		row(r.Deliver.Count > 0 && r.Recover == nil, "", "%.2f µs for each delivery, of it %.2f user", f.CPUUSPerDelivery, f.UserUSPerDelivery)
		row(f.CPUUSPerConnect > 0 && r.Recover == nil, "", "%.1f µs for each connection", f.CPUUSPerConnect)
	}
	row(r.Load.CPUS > 0, "this program", "%.2f s of CPU", r.Load.CPUS)
	row(r.Load.DeliveriesPerCPUSecond > 0, "", "%s deliveries for each second of it", count(r.Load.DeliveriesPerCPUSecond))
	return rows
}

// count writes a number so that it can be read.
func count(n float64) string {
	switch {
	case n >= 1e6:
		return short(n/1e6, 2) + "M"
	case n >= 1e4:
		return short(n/1e3, 1) + "k"
	case n == float64(int64(n)), n >= 100:
		return fmt.Sprintf("%.0f", n)
	}
	return fmt.Sprintf("%.1f", n)
}

// short writes a number with at most so many digits behind the point, and none that say nothing.
func short(n float64, places int) string {
	text := strconv.FormatFloat(n, 'f', places, 64)
	if places == 0 {
		return text
	}
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}

// size writes bytes.
func size(n float64) string {
	switch {
	case n >= 1<<30:
		return short(n/(1<<30), 2) + " GB"
	case n >= 1<<20:
		return short(n/(1<<20), 1) + " MB"
	case n >= 1<<10:
		return short(n/(1<<10), 1) + " KB"
	}
	return fmt.Sprintf("%.0f B", n)
}

// span writes milliseconds.
func span(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d >= time.Second:
		return short(d.Seconds(), 2) + " s"
	case d >= 10*time.Millisecond:
		return short(ms, 0) + " ms"
	case d >= time.Millisecond:
		return short(ms, 1) + " ms"
	}
	return short(ms*1000, 0) + " µs"
}
