package app

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/redistest"
	"centrifugo/protocol"
	"centrifugo/server/internal/app/apptest"
)

// metricRow is a row of the table of metrics in docs/server.md.
type metricRow struct {
	kind   string // counter, gauge, histogram or summary
	labels []string
}

// metricTable reads section 9 of docs/server.md: the rows by name, without centrifugo_.
func metricTable(t *testing.T) map[string]metricRow {
	t.Helper()
	text, err := os.ReadFile("../../../docs/server.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## 9 ")
	section, _, _ = strings.Cut(section, "\n## ")
	table := map[string]metricRow{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (\\w+) \\| (.*?) \\|").FindAllStringSubmatch(section, -1) {
		labels := strings.FieldsFunc(row[3], func(r rune) bool { return strings.ContainsRune("`, ", r) })
		slices.Sort(labels)
		table[row[1]] = metricRow{row[2], labels}
	}
	if len(table) < 60 {
		t.Fatalf("section 9 has %d metrics; want 60 at least", len(table))
	}
	return table
}

// sampleName takes apart the name of a sample and the names of its labels.
var sampleName = regexp.MustCompile(`^centrifugo_(\w+?)(?:\{(.*)\})?$`)

// labelName finds the labels of a sample; their values have no quotation marks here.
var labelName = regexp.MustCompile(`(\w+)="[^"]*"`)

// checkMetrics reports samples of m that the table does not have, or has with other labels, and
// adds the names of the others to seen.
func (i *instance) checkMetrics(table map[string]metricRow, m apptest.Metrics, seen map[string]bool) {
	i.t.Helper()
	for sample := range m {
		parts := sampleName.FindStringSubmatch(sample)
		if parts == nil {
			continue // go_, process_, promhttp_
		}
		name := parts[1]
		row, ok := table[name]
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			base, cut := strings.CutSuffix(parts[1], suffix)
			if r := table[base]; !ok && cut && (r.kind == "histogram" || r.kind == "summary" && suffix != "_bucket") {
				name, row, ok = base, r, true
			}
		}
		if !ok {
			i.t.Errorf("the server has the sample %s; want one of a metric of the table", sample)
			continue
		}
		seen[name] = true
		var labels []string
		for _, l := range labelName.FindAllStringSubmatch(parts[2], -1) {
			if l[1] != "le" && l[1] != "quantile" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		if !slices.Equal(labels, row.labels) {
			i.t.Errorf("%s has the labels %v; want %v", sample, labels, row.labels)
		}
	}
}

// useOnce connects, subscribes, receives a publication, and has a command refused.
func (s *wireServer) useOnce(t *testing.T) {
	t.Helper()
	p := s.dial(t)
	p.join("news", nil)
	s.publish("news", "1")
	p.wantPub("news", "1")
	if !s.format.Uni() {
		p.command(protocol.Command{ID: 3, Presence: &protocol.PresenceRequest{Channel: "news"}}) // not available: 108
		if reply := p.next(); reply.Error == nil || reply.Error.Code != 108 {
			t.Fatalf("the answer to presence is %+v; want error 108", reply)
		}
	}
}

// TestMetricsOfTransports: a transport that was used has its series, and no transport has a
// series that the documentation does not list with the same labels.
func TestMetricsOfTransports(t *testing.T) {
	table := metricTable(t)
	used := map[string]bool{}
	for _, w := range wires {
		if used[w.name] {
			continue
		}
		used[w.name] = true
		t.Run(w.name, func(t *testing.T) {
			sec := secures[slices.IndexFunc(secures, w.over)]
			s := serveWire(t, w, sec, wireSections{"prometheus": {"enabled": true, "publication_latency_sample": 1, "instrument_http_handlers": true, "recovered_publications_histogram": true}})
			s.useOnce(t)
			received := 1.0
			if w.format.Uni() {
				received = 0 // the connect request is not a message, and its size is not counted
			}
			want := make(map[string]float64)
			for sample, atLeast := range map[string]float64{
				`client_connections_accepted{accept_protocol="",client_name="unnamed",client_version="unversioned",transport="%s"}`: 1,
				`client_connections_inflight{accept_protocol="",client_name="unnamed",client_version="unversioned",transport="%s"}`: 1,
				`client_ping_pong_duration_seconds_count{transport="%s"}`:                                                           0,
				`transport_messages_received{channel_namespace="",frame_type="connect",transport="%s"}`:                             1,
				`transport_messages_received_size{channel_namespace="",frame_type="connect",transport="%s"}`:                        received,
				`transport_messages_sent{channel_namespace="",frame_type="push_publication",transport="%s"}`:                        1,
				`transport_publication_latency_seconds_count{channel_namespace="",transport="%s"}`:                                  1,
				`transport_messages_sent_size{channel_namespace="",frame_type="push_publication",transport="%s"}`:                   1,
			} {
				want["centrifugo_"+fmt.Sprintf(sample, w.name)] = atLeast
			}
			var m apptest.Metrics
			lacking := func() (names []string) {
				var err error
				if m, err = apptest.ReadMetrics("http://" + s.address[1] + "/metrics"); err != nil {
					t.Fatal(err)
				}
				for sample, atLeast := range want {
					if value, ok := m[sample]; !ok || value < atLeast {
						names = append(names, fmt.Sprintf("%s = %v, exists: %v; want %v at least", sample, value, ok, atLeast))
					}
				}
				return names
			}
			if !await.Reached(func() bool { return len(lacking()) == 0 }) {
				t.Error(strings.Join(lacking(), "\n"))
			}
			s.checkMetrics(table, m, map[string]bool{})
		})
	}
}

// TestMetricsTable: servers with all that has metrics show every metric of the documentation,
// and no other.
func TestMetricsTable(t *testing.T) {
	table, seen := metricTable(t), map[string]bool{}
	redis := redistest.Start(t)
	settings := strings.Replace(clusterNode("a", redisEngine(redis.Address())), `"prometheus": {`,
		`"log": {"file": "/dev/null"}, "graphite": {"enabled": true, "port": 1, "interval": "1h"},
		"rpc": {"proxy": {"endpoint": "http://127.0.0.1:1"}, "without_namespace": {"proxy_enabled": true}},
		"prometheus": {"instrument_http_handlers": true, "recovered_publications_histogram": true, `, 1)
	settings = strings.Replace(settings, `"client": {"insecure": true}`, `"client": {"insecure": true, "connection_max_delay": "1s", "token": {"jwks_public_endpoint": "http://127.0.0.1:1"}}`, 1)
	first := start(t, settings+fmt.Sprintf(`, "consumers": [{"name": "stream", "enabled": true, "type": "redis_stream",
		"redis_stream": {"address": [%q], "streams": ["commands"], "consumer_group": "g"}}]`, redis.Address()))
	second := start(t, clusterNode("b", `"engine": {"type": "memory"}`))
	secure := start(t, clusterNode("d", securedOutside(t)))
	start(t, clusterNode("c", redisEngine(redis.Address())))
	first.awaitKnown(2)
	if answer := first.api("connections", `{}`); strings.Contains(answer, `"error"`) { // a survey
		t.Fatalf("connections: %s; want no error", answer)
	}
	for _, i := range []*instance{first, second} {
		i.awaitReady()
		c := i.connected(apptest.Dialer{})
		ask(t, c, `{"id":2,"subscribe":{"channel":"news"}}`)
		for _, body := range []string{`{"channel":"news","data":1}`, `{"channel":""}`} {
			i.request(http.MethodPost, i.internal(), "/api/publish", body)
		}
		if code := i.refusedWith("rubbish"); code != 3501 {
			t.Fatalf("closed with %d; want 3501", code)
		}
		if _, err := (apptest.Dialer{Header: http.Header{"Origin": {"http://other.example"}}}).Dial(i.external()); err == nil {
			t.Fatal("a page of another origin is admitted; want status 403")
		}
		d := i.connected(apptest.Dialer{})
		if err := d.Text(`{"id":2,"rpc":{"method":"x"}}` + "\n" + `{"id":3,"subscribe":{"channel":""}}`); err != nil {
			t.Fatal(err)
		}
		i.api("info", `{}`)
		i.api("unsubscribe", `{"user":"","channel":"news"}`)
	}
	missing := func() (names []string) {
		for _, i := range []*instance{first, second, secure} {
			i.checkMetrics(table, i.metrics(), seen)
		}
		for name := range table {
			if !seen[name] {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	if !await.Reached(func() bool { return len(missing()) == 0 }) {
		t.Errorf("no server has a series of %q; want one of each metric of the table", missing())
	}
}
