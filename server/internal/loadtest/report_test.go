package loadtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// sampleReport has everything in it.
func sampleReport() *Report {
	r := &Report{
		Scenario: Storm, Address: "<script>alert(1)</script>", Encoding: "json", Clients: 10, Recover: &RecoverFigures{Rounds: 1, Recovered: 5}, Slow: &SlowFigures{Clients: 1},
		Server: &ServerFigures{PID: 1, CPUUSPerConnect: 3, RSSPerClientBytes: 5}, Errors: []ErrorFigure{}, Failures: []string{},
		Deliver: DeliverFigures{Count: 5, PerSecond: 12345, Latency: Latencies{Count: 1, P50MS: 1.5}},
	}
	for i := range 20 {
		phase := phaseMeasure
		if i < 3 {
			phase = phaseConnect
		}
		r.Timeline = append(r.Timeline, Point{
			AtS: float64(i) / 4, Phase: phase, Clients: 10, Connects: 5, Publications: 7, Deliveries: float64(1000 * i), BytesPerS: 1e6,
			P50MS: 1 * float64(i%5), P90MS: 3, P99MS: 20, P999MS: 300, MaxMS: 400, RSSBytes: 20 << 20, CPUUser: .5, CPUSystem: .2, LoadCPU: .3,
		})
	}
	r.judge(&Snapshot{Expected: 10, Received: 9, Causes: map[Cause]uint64{{causeReply, 103, "permission denied"}: 2, {causeSlow, 3008, "slow"}: 1}})
	return r
}

// TestSchema: what programs read must not change its name.
func TestSchema(t *testing.T) {
	text, err := json.Marshal(sampleReport())
	if err != nil {
		t.Fatal(err)
	}
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	collect(names, "", value)
	var got []string
	for name := range names {
		got = append(got, name)
	}
	slices.Sort(got)
	want := strings.Fields(`
		address channels clients
		connect connect.count connect.latency connect.per_second connect.seconds
		deflate deliver deliver.bytes deliver.bytes_per_second deliver.count deliver.latency deliver.per_second duration_s encoding
		errors errors.code errors.count errors.kind errors.reason failures http2_streams
		load load.cpu_s load.deliveries_per_cpu_second
		loss loss.disorder loss.duplicates loss.expected loss.foreign loss.gaps loss.lost loss.missing loss.received
		ok payload_bytes publish publish.count publish.latency publish.per_second publishers rate
		recover recover.cpu_us_per_publication recover.missed recover.recovered recover.recovered_per_second recover.rounds
		scenario server server.cpu_system_s server.cpu_us_per_client_second server.cpu_us_per_connect server.cpu_us_per_delivery server.cpu_user_s server.pid
		server.rss_before_bytes server.rss_connected_bytes server.rss_max_bytes server.rss_per_client_bytes server.rss_per_subscription_bytes server.user_us_per_delivery
		slow slow.bytes_per_second slow.clients slow.deliveries slow.disconnected started subscriptions
		timeline timeline.at_s timeline.bytes_per_s timeline.clients timeline.connects_per_s timeline.cpu_system timeline.cpu_user timeline.deliveries_per_s
		timeline.load_cpu timeline.max_ms timeline.p50_ms timeline.p90_ms timeline.p999_ms timeline.p99_ms timeline.phase timeline.publications_per_s timeline.rss_bytes
		transport warmup_s workers`)
	for _, part := range []string{"connect", "deliver", "publish"} {
		for _, name := range []string{"count", "max_ms", "mean_ms", "p50_ms", "p90_ms", "p999_ms", "p99_ms"} {
			want = append(want, part+".latency."+name)
		}
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("names are\n%s\nwant\n%s", strings.Join(got, " "), strings.Join(want, " "))
	}
}

func collect(names map[string]bool, prefix string, value any) {
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			collect(names, prefix, item)
		}
	case map[string]any:
		for name, item := range v {
			names[prefix+name] = true
			collect(names, prefix+name+".", item)
		}
	}
}

func TestJudge(t *testing.T) {
	r := sampleReport()
	if want := []string{"1 deliveries lost", "2 x reply 103: permission denied"}; r.OK || !slices.Equal(r.Failures, want) {
		t.Errorf("OK %v, failures %q; want %q", r.OK, r.Failures, want)
	}
	var good Report
	good.judge(&Snapshot{Expected: 5, Received: 5, Foreign: 3, Causes: map[Cause]uint64{{causeSlow, 3008, "slow"}: 9}})
	if !good.OK || len(good.Errors) != 1 {
		t.Errorf("%+v; want OK and one error", good)
	}
}

func TestPage(t *testing.T) {
	var b bytes.Buffer
	if err := sampleReport().WriteHTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, title := range []string{"Latency", "Deliveries", "Publications", "Connections", "Clients", "Traffic", "Memory of the server", "CPU"} {
		if !strings.Contains(page, fmt.Sprintf(`<svg viewBox="0 0 640 250" role="img" aria-label="%s">`, title)) {
			t.Errorf("the page has no plot of %s; want one", title)
		}
	}
	for _, want := range []string{"20 MB", "500 ms", `class="phase"`, "prefers-color-scheme: dark", "permission denied", "1 deliveries lost", "&lt;script&gt;"} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in the page; want it there", want)
		}
	}
	for _, not := range []string{"<script>alert", "http://", "https://", "NaN", "Inf", "%!", "ZgotmplZ"} {
		if strings.Contains(page, not) {
			t.Errorf("%q is in the page; want it left out", not)
		}
	}
	if err := new(Report).WriteHTML(&b); err != nil {
		t.Errorf("empty report: %v", err)
	}
}

func TestProgress(t *testing.T) {
	points := sampleReport().Timeline
	for terminal, lines := range map[bool]int{true: 0, false: 2} { // one for each phase
		var b bytes.Buffer
		p := NewProgress(&b, terminal, 10)
		for _, at := range points {
			p.Show(at)
		}
		p.Done()
		text := b.String()
		if n := strings.Count(text, "\n"); n != lines || strings.Contains(text, "\r") != terminal || !strings.Contains(text, "10/10 clients") {
			t.Errorf("terminal %v: %d lines: %q; want %d lines with 10/10 clients", terminal, n, text, lines)
		}
	}
}

func TestNumbers(t *testing.T) {
	for got, want := range map[string]string{
		count(0): "0", count(3.25): "3.2", count(999): "999", count(12345): "12.3k", count(2e6): "2M", count(1234567): "1.23M",
		size(0): "0 B", size(2048): "2 KB", size(1536 << 10): "1.5 MB", size(3 << 30): "3 GB",
		span(.0501): "50 µs", span(1.54): "1.5 ms", span(100): "100 ms", span(2500): "2.5 s",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
