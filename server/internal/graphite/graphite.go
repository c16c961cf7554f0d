// Package graphite sends metrics to Graphite in its plain text protocol.
//
// The bridge of the Prometheus library has no deadline for writing, writes every line by
// itself, and sends tags that Graphite refuses: empty ones and those with spaces.
package graphite

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// timeout bounds one transfer, the connection included.
const timeout = 10 * time.Second

// Options of a Pusher.
type Options struct {
	// Address of the receiver, host:port.
	Address string
	// Prefix is the first part of names; empty for none.
	Prefix string
	// Interval between transfers.
	Interval time.Duration
	// Tags sends labels as tags of Graphite 1.1, and otherwise as parts of the name.
	Tags bool
	// Gatherer returns what is sent.
	Gatherer prometheus.Gatherer
	Log      *slog.Logger
}

// Pusher sends metrics. It is safe for concurrent use.
type Pusher struct {
	options Options
	failed  atomic.Uint64
}

// New returns a Pusher that does nothing before Run.
func New(o Options) *Pusher { return &Pusher{options: o} }

// Failed returns the number of transfers that have failed. Their values are not sent
// later: the next transfer has newer ones.
func (p *Pusher) Failed() uint64 { return p.failed.Load() }

// Run sends the metrics once in each interval, and a last time when ctx is done.
func (p *Pusher) Run(ctx context.Context) {
	ticker := time.NewTicker(p.options.Interval)
	defer ticker.Stop()
	working := true // so that the log has the first failure, not all of them
	for {
		ended := false
		select {
		case <-ctx.Done():
			ended = true
		case <-ticker.C:
		}
		limit := min(timeout, max(p.options.Interval, time.Second))
		if ended {
			limit = time.Second // the server waits for it
		}
		err := p.push(context.WithoutCancel(ctx), limit)
		switch {
		case err != nil && working:
			p.options.Log.Warn("metrics were not sent to Graphite", "address", p.options.Address, "error", err)
		case err == nil && !working:
			p.options.Log.Info("metrics are sent to Graphite again", "address", p.options.Address, "failures", p.failed.Load())
		}
		working = err == nil
		if ended {
			return
		}
	}
}

func (p *Pusher) push(ctx context.Context, limit time.Duration) (err error) {
	defer func() {
		if err != nil {
			p.failed.Add(1)
		}
	}()
	families, err := p.options.Gatherer.Gather()
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.options.Address)
	if err != nil {
		return fmt.Errorf("connecting: %w", err)
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline) // fails only on a closed connection, where the write fails too
	_, err = conn.Write(Lines(families, p.options.Prefix, p.options.Tags, time.Now()))
	if closed := conn.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("writing: %w", err)
	}
	return nil
}

// Lines returns metrics in the plain text protocol. Histograms are their buckets, sum and
// count, summaries their quantiles, sum and count. What is not a number is left out.
func Lines(families []*dto.MetricFamily, prefix string, tags bool, now time.Time) []byte {
	w := writer{tags: tags, now: strconv.FormatInt(now.Unix(), 10)}
	if prefix != "" {
		w.prefix = prefix + "."
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			w.metric(f.GetName(), m)
		}
	}
	return w.out.Bytes()
}

type writer struct {
	out         bytes.Buffer
	prefix, now string
	tags        bool
}

func (w *writer) metric(name string, m *dto.Metric) {
	labels := m.GetLabel()
	switch {
	case m.GetCounter() != nil:
		w.line(name, labels, m.GetCounter().GetValue())
	case m.GetGauge() != nil:
		w.line(name, labels, m.GetGauge().GetValue())
	case m.GetUntyped() != nil:
		w.line(name, labels, m.GetUntyped().GetValue())
	case m.GetSummary() != nil:
		s := m.GetSummary()
		for _, q := range s.GetQuantile() {
			w.line(name, with(labels, "quantile", q.GetQuantile()), q.GetValue())
		}
		w.line(name+"_sum", labels, s.GetSampleSum())
		w.line(name+"_count", labels, float64(s.GetSampleCount()))
	case m.GetHistogram() != nil:
		h := m.GetHistogram()
		for _, b := range h.GetBucket() {
			w.line(name+"_bucket", with(labels, "le", b.GetUpperBound()), float64(b.GetCumulativeCount()))
		}
		w.line(name+"_sum", labels, h.GetSampleSum())
		w.line(name+"_count", labels, float64(h.GetSampleCount()))
	}
}

// with returns labels and one more, in their order.
func with(labels []*dto.LabelPair, name string, value float64) []*dto.LabelPair {
	text := strconv.FormatFloat(value, 'g', -1, 64)
	all := append(slices.Clone(labels), &dto.LabelPair{Name: &name, Value: &text})
	slices.SortFunc(all, func(a, b *dto.LabelPair) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return all
}

func (w *writer) line(name string, labels []*dto.LabelPair, value float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return // Graphite takes numbers only
	}
	w.out.WriteString(w.prefix)
	w.out.WriteString(plain(name))
	for _, l := range labels {
		switch {
		case !w.tags:
			w.out.WriteString("." + plain(l.GetName()+" "+l.GetValue()))
		case l.GetValue() != "": // a tag has a value
			w.out.WriteString(";" + l.GetName() + "=" + tag(l.GetValue()))
		}
	}
	w.out.WriteByte(' ')
	w.out.Write(strconv.AppendFloat(nil, value, 'g', -1, 64))
	w.out.WriteString(" " + w.now + "\n")
}

// plain replaces what separates the parts of a name, or is not in one, by one underscore.
func plain(text string) string {
	var b strings.Builder
	last := rune(0)
	for _, c := range text {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == ':' || c == '-') {
			c = '_'
		}
		if c != '_' || last != '_' {
			b.WriteRune(c)
		}
		last = c
	}
	return b.String()
}

// tag replaces what a value of a tag cannot have.
func tag(text string) string {
	return strings.Map(func(c rune) rune {
		if c <= ' ' || c == ';' || c == '~' || c == 0x7f {
			return '_'
		}
		return c
	}, text)
}
