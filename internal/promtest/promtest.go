// Package promtest starts Prometheus for tests, on a free port of the loopback interface,
// and stops it when the test ends.
package promtest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"centrifugo/internal/testprocess"
)

// Prometheus is a process. Its methods are for the goroutine of the test.
type Prometheus struct {
	t       testing.TB
	address string
}

// Options of Prometheus.
type Options struct {
	// Rules is a file of rules, Targets the addresses whose metrics are read.
	Rules   string
	Targets []string
	// Features are those that are experimental, such as native-histograms, separated by commas.
	Features string
}

// Start starts Prometheus. It reads the metrics every second, as job "centrifugo", and
// evaluates the rules twice as often.
func Start(t testing.TB, o Options) *Prometheus {
	t.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Fatalf("prometheus is not installed; internal/promtest/setup.sh installs it: %v", err)
	}
	var err error
	if o.Rules, err = filepath.Abs(o.Rules); err != nil {
		t.Fatal(err)
	}
	p := &Prometheus{t: t, address: testprocess.FreeAddress(t)}
	dir := t.TempDir()
	file := filepath.Join(dir, "prometheus.yml")
	list, err := json.Marshal(o.Targets) // JSON is YAML
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs:
  - job_name: centrifugo
    static_configs: [{targets: %s}]
`, o.Rules, list)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("prometheus", "--config.file="+file, "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+p.address, "--enable-feature="+o.Features) //nolint:gosec // of the test
	process := testprocess.New(t, syscall.SIGKILL)
	process.Start(cmd)
	process.Await("prometheus to answer", func() bool { return p.get("/-/ready", nil) == nil })
	return p
}

func (p *Prometheus) get(path string, answer any) error {
	response, err := http.Get("http://" + p.address + path) //nolint:noctx // a test
	if err != nil {
		return err //nolint:wrapcheck // a test
	}
	defer func() { _ = response.Body.Close() }()
	if answer != nil {
		err = json.NewDecoder(response.Body).Decode(answer)
	}
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %v", response.StatusCode, answer)
	}
	return err //nolint:wrapcheck // a test
}

// Query returns the number of series that a query has at present, or its error.
func (p *Prometheus) Query(query string) (series int, err error) {
	var answer struct {
		Error string
		Data  struct{ Result []any }
	}
	if err = p.get("/api/v1/query?query="+url.QueryEscape(query), &answer); err != nil {
		return 0, fmt.Errorf("%w %s", err, answer.Error)
	}
	return len(answer.Data.Result), nil
}

// Firing returns the names of the alerts that fire.
func (p *Prometheus) Firing() map[string]bool {
	p.t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
	}
	if err := p.get("/api/v1/alerts", &answer); err != nil {
		p.t.Fatal(err)
	}
	firing := make(map[string]bool)
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			firing[a.Labels["alertname"]] = true
		}
	}
	return firing
}
