package graphite

import (
	"bufio"
	"context"
	"log/slog"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"centrifugo/internal/await"
	"centrifugo/internal/testprocess"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func registry(t *testing.T) *prometheus.Registry {
	t.Helper()
	r := prometheus.NewPedanticRegistry()
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "c_total", Help: "h"}, []string{"b", "a"})
	histogram := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: []float64{0.5}})
	summary := prometheus.NewSummaryVec(prometheus.SummaryOpts{Name: "s", Help: "h", Objectives: map[float64]float64{0.5: 0.1}}, []string{"z"})
	nan := prometheus.NewGauge(prometheus.GaugeOpts{Name: "nan", Help: "h"})
	r.MustRegister(counter, histogram, summary, nan)
	nan.Set(math.NaN())
	counter.WithLabelValues("x.y ~z;", "").Add(3)
	histogram.Observe(0.25)
	histogram.Observe(4)
	summary.WithLabelValues("q").Observe(2)
	return r
}

func TestLines(t *testing.T) {
	families, err := registry(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, prefix string
		tags         bool
		want         string
	}{
		{"names", "p", false, `p.c_total.a_.b_x_y_z_ 3 7
p.h_bucket.le_0_5 1 7
p.h_sum 4.25 7
p.h_count 2 7
p.s.quantile_0_5.z_q 2 7
p.s_sum.z_q 2 7
p.s_count.z_q 1 7
`},
		{"tags", "", true, `c_total;b=x.y__z_ 3 7
h_bucket;le=0.5 1 7
h_sum 4.25 7
h_count 2 7
s;quantile=0.5;z=q 2 7
s_sum;z=q 2 7
s_count;z=q 1 7
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := string(Lines(families, tt.prefix, tt.tags, time.Unix(7, 0))); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestPusher sends to a receiver that is not there, and then is.
func TestPusher(t *testing.T) {
	address := testprocess.FreeAddress(t)
	var log strings.Builder
	p := New(Options{
		Address: address, Prefix: "p", Interval: time.Millisecond, Gatherer: registry(t),
		Log: slog.New(slog.NewTextHandler(&log, nil)),
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	await.Until(t, "three failures", func() bool { return p.Failed() >= 3 })
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	_ = conn.Close()
	if err != nil || !strings.HasPrefix(line, "p.c_total.a_.b_x_y_z_ 3 ") {
		t.Errorf("received %q, %v; want p.c_total.a_.b_x_y_z_ 3", line, err)
	}
	cancel()
	<-done
	if warnings := strings.Count(log.String(), "were not sent"); warnings < 1 || warnings > 2 {
		t.Errorf("%d warnings, want one for the failures in a row:\n%s", warnings, log.String())
	}
}

// TestPusherStalled sends to a receiver that never reads: Run ends nevertheless.
func TestPusherStalled(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r := prometheus.NewRegistry()
	big := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "big", Help: "h"}, []string{"l"})
	r.MustRegister(big)
	for i := range 200 { // 20 MB, more than the buffers of sockets
		big.WithLabelValues(strings.Repeat(string(rune('A'+i%26)), 100_000+i)).Set(1)
	}
	p := New(Options{Address: l.Addr().String(), Interval: time.Millisecond, Gatherer: r, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); p.Run(ctx) }()
	await.Until(t, "a transfer that ran out of time", func() bool { return p.Failed() >= 1 })
	cancel()
	<-done
}
