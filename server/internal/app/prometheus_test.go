package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/promtest"
	"centrifugo/internal/redistest"
	"centrifugo/server/internal/app/apptest"
)

const (
	alertsFile    = "../../../deploy/prometheus/alerts.yml"
	dashboardFile = "../../../deploy/grafana/centrifugo.json"
)

// observed are servers with the conditions that the alerts are about, and the Prometheus that
// reads their metrics.
type observed struct {
	t          *testing.T
	prometheus *promtest.Prometheus
	redis      *redistest.Server
	onRedis    *instance // with a proxy whose backend is not there, a consumer, and slow clients
	limited    *instance // which admits one connection, and cannot keep history, write its log or send metrics
	stopping   *instance // whose certificate ends in an hour
}

func observe(t *testing.T) *observed {
	t.Helper()
	const proxied = `"rpc": {"proxy": {"endpoint": "http://127.0.0.1:1", "breaker": {"min_calls": 5, "open_time": "3s"}}, "without_namespace": {"proxy_enabled": true}}`
	o := &observed{t: t, redis: redistest.Start(t)}
	settings := strings.Replace(clusterNode("a", redisEngine(o.redis.Address())), `"insecure": true}`, `"insecure": true, "queue_max_size": 10000}`, 1)
	o.onRedis = start(t, settings+`, `+proxied+fmt.Sprintf(`, "consumers": [{"name": "stream", "enabled": true, "type": "redis_stream",
		"redis_stream": {"address": [%q], "streams": ["commands"], "consumer_group": "g"}}]`, o.redis.Address()))
	o.onRedis.awaitReady()
	o.limited = start(t, strings.Replace(clusterNode("b", `"engine": {"memory": {"history_max_channels": 1}}`), `"insecure": true}`, `"insecure": true, "connection_limit": 1}`, 1)+
		`, "log": {"file": "/dev/full"}, "graphite": {"enabled": true, "port": 1, "interval": "100ms"}`)
	o.stopping = start(t, clusterNode("c", securedOutside(t)))
	o.prometheus = promtest.Start(t, promtest.Options{Rules: o.rules(), Targets: []string{o.onRedis.internal(), o.limited.internal(), o.stopping.internal()}})
	return o
}

// rules returns the file of alerts with all waits taken out, after promtool has checked it.
func (o *observed) rules() string {
	o.t.Helper()
	if output, err := exec.Command("promtool", "check", "rules", alertsFile).CombinedOutput(); err != nil {
		o.t.Fatalf("%v: %s", err, output)
	}
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		o.t.Fatal(err)
	}
	file := filepath.Join(o.t.TempDir(), "alerts.yml")
	text = regexp.MustCompile(`(?m)^( *for:) .*$`).ReplaceAll(text, []byte("$1 0s"))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		o.t.Fatal(err)
	}
	return file
}

// traffic causes some of every condition that does not need a failure of Redis.
func (o *observed) traffic() {
	o.t.Helper()
	c := o.onRedis.connected(apptest.Dialer{})
	ask(o.t, c, `{"id":2,"subscribe":{"channel":"x","recover":true,"epoch":"other","offset":7}}`)
	for range 5 { // the breaker counts those of ten seconds
		ask(o.t, c, `{"id":3,"rpc":{"method":"m","data":{}}}`)
	}
	o.onRedis.api("publish", `{"channel":"x","data":{}}`)
	o.onRedis.api("publish", `{"data":{}}`)
	o.redis.Do("XADD", "commands", "*", "payload", "no JSON")
	// The client no longer reads.
	big := `{"channel":"x","data":"` + strings.Repeat("x", 900_000) + `"}`
	for range 3 {
		o.onRedis.api("publish", big)
	}
	for n := range 3 {
		o.limited.api("publish", fmt.Sprintf(`{"channel":"h%d","data":{}}`, n))
	}
	first, err := apptest.Dialer{}.Dial(o.limited.external())
	if err == nil { // the one that is admitted, unless the last one is not forgotten yet
		defer func() { _ = first.Close() }()
	}
	if _, err := (apptest.Dialer{}).Dial(o.limited.external()); err == nil {
		o.t.Log("a second connection was admitted")
	}
}

// rulesIn returns the names of the alerts.
func rulesIn(t *testing.T) (names []string) {
	t.Helper()
	text, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)- alert: (\w+)$`).FindAllSubmatch(text, -1) {
		names = append(names, string(m[1]))
	}
	return names
}

// TestPrometheus runs a real Prometheus: every alert of deploy/prometheus fires when its
// condition is caused, and every query of the dashboard in deploy/grafana has series.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	o := observe(t)
	fired := make(map[string]bool)
	// fires causes a condition again and again, since a rate needs two readings, until alerts fire.
	fires := func(cause func(), alerts ...string) {
		t.Helper()
		if !await.Reached(func() bool {
			cause()
			maps.Copy(fired, o.prometheus.Firing())
			return !slices.ContainsFunc(alerts, func(name string) bool { return !fired[name] })
		}) {
			t.Errorf("want %v, fired %v", alerts, slices.Sorted(maps.Keys(fired)))
		}
	}
	fires(o.traffic, "CentrifugoNodesApart", "CentrifugoConnectionsRefused", "CentrifugoSlowClients", "CentrifugoUnrecovered", "CentrifugoAPIErrors",
		"CentrifugoProxyErrors", "CentrifugoProxyBreakerOpen", "CentrifugoConsumerErrors", "CentrifugoHistoryEvicted", "CentrifugoLogLost", "CentrifugoGraphiteFailing", "CentrifugoCertificateEnds")
	o.checkDashboard()
	fires(func() {
		o.redis.Pause()
		o.onRedis.request(http.MethodPost, o.onRedis.internal(), "/api/history", `{"channel":"x"}`) // ends with an error after some seconds
		o.redis.Resume()
		o.onRedis.awaitReady()
	}, "CentrifugoAPISlow", "CentrifugoGaps")
	o.redis.Kill()
	if err := o.stopping.stop(); err != nil {
		t.Error(err)
	}
	fires(func() { o.onRedis.ready() }, "CentrifugoEngineUnhealthy", "CentrifugoDown")
	o.redis.Restart() // without its data
	o.onRedis.awaitReady()
	fires(func() { o.onRedis.api("publish", `{"channel":"x","data":{}}`) }, "CentrifugoStreamsLost")
	for _, name := range rulesIn(t) {
		if !fired[name] {
			t.Errorf("%s has not fired; want this test to cause its condition", name)
		}
	}
}

// checkDashboard asks Prometheus all queries of the dashboard.
func (o *observed) checkDashboard() {
	o.t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		o.t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		o.t.Fatal(err)
	}
	variables := strings.NewReplacer("$job", ".*", "$instance", ".*", "$__rate_interval", "5m")
	queries := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries++
			query := variables.Replace(target.Expr)
			if !await.Reached(func() bool { n, err := o.prometheus.Query(query); return err != nil || n > 0 }) {
				o.t.Errorf("panel %q: no series of %s; want one at least", p.Title, query)
			} else if _, err := o.prometheus.Query(query); err != nil {
				o.t.Errorf("panel %q: %s: %v", p.Title, query, err)
			}
		}
	}
	if queries < 40 {
		o.t.Errorf("the dashboard has %d queries, want at least 40", queries)
	}
}
