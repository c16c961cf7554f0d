//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// against loads a subject by "centrifugo bench" with the arguments, the first of
// which is the scenario.
func against(s subject, args ...string) runner {
	return func(ctx context.Context, m *measurement) (sample, error) {
		p, err := m.start(ctx, s)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		got, err := m.load(ctx, p, args...)
		if err == nil && s.metrics {
			err = p.metrics(ctx, got)
		}
		return got, err
	}
}

// closedAsSlow counts connections that the server has closed because more
// waited than was allowed, or because a write took too long.
var closedAsSlow = []string{`centrifugo_client_num_server_disconnects{code="3008"}`, `centrifugo_client_num_server_disconnects{code="3009"}`}

// metrics adds the counters of a server, each by the name and labels that it
// has in the text of its metrics.
func (p *process) metrics(ctx context.Context, into sample) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url("http")+"/metrics", nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		return fmt.Errorf("reading metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("reading metrics: %s", response.Status)
	}
	for _, name := range closedAsSlow { // a counter that was never raised is not there
		into[name] = 0
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if v, err := strconv.ParseFloat(value, 64); ok && err == nil {
			into[name] = v
		}
	}
	return lines.Err()
}

// paced adds how long to measure: as asked for by flag.
func (m *measurement) paced(args ...string) []string { return m.paused(m.seconds, args...) }

// paused adds how long to measure, in seconds.
func (m *measurement) paused(seconds int, args ...string) []string {
	return append(args, "--duration", strconv.Itoa(seconds)+"s")
}

// load runs the tool against a process. Whatever it holds against the server,
// anything lost above all, is an error.
func (m *measurement) load(ctx context.Context, p *process, args ...string) (sample, error) {
	args = append([]string{"bench", "--address", p.url("ws"), "--api", p.url("http") + "/api", "--insecure-skip-verify=" + strconv.FormatBool(p.secure), "--pid", strconv.Itoa(p.cmd.Process.Pid), "--json", "--quiet"}, args...)
	cmd := exec.CommandContext(ctx, m.server, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return parseReport(stdout.Bytes())
}

// parseReport reads what the tool prints with --json.
func parseReport(text []byte) (sample, error) {
	var document map[string]any
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, fmt.Errorf("reading report: %w", err)
	}
	if ok, _ := document["ok"].(bool); !ok {
		return nil, fmt.Errorf("the run has failed: %v", document["failures"])
	}
	s := make(sample)
	s.flatten("", document)
	for _, name := range []string{"clients", "connect.count", "server.rss_connected_bytes", "load.cpu_s", "loss.expected"} {
		if _, ok := s[name]; !ok {
			return nil, fmt.Errorf("the report has no %s", name)
		}
	}
	if s["loss.received"] != s["loss.expected"] {
		return nil, fmt.Errorf("%.0f of %.0f deliveries have come", s["loss.received"], s["loss.expected"])
	}
	s.derive("load.cores", s["load.cpu_s"], s["duration_s"])
	s.derive("server.cpu_us_per_publication", (s["server.cpu_user_s"]+s["server.cpu_system_s"])*1e6, s["publish.count"])
	s.derive("connect.subscriptions_per_second", s["subscriptions"], s["connect.seconds"])
	return s, nil
}

// crowd is clients that stay connected while others are measured.
type crowd struct{ cmd *exec.Cmd }

// gather connects n clients, subscribes them to a channel, and returns when they are
// there.
func (m *measurement) gather(ctx context.Context, p *process, n int, channel string) (*crowd, error) {
	cmd := exec.CommandContext(ctx, m.server, "bench", "idle", "--address", p.url("ws"), "--clients", strconv.Itoa(n), "--channel", channel, "--warmup", "1s", "--duration", "1h")
	progress, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	c := &crowd{cmd}
	timeout := time.AfterFunc(time.Minute, c.kill)
	defer timeout.Stop()
	for lines := bufio.NewScanner(progress); lines.Scan(); {
		if strings.Contains(lines.Text(), " measure ") {
			return c, nil
		}
	}
	c.leave()
	return nil, errors.New("the clients that were to be there first are not")
}

func (c *crowd) kill() { _ = c.cmd.Process.Kill() }

func (c *crowd) leave() {
	c.kill()
	_ = c.cmd.Wait() // it was killed
}

// amidst is against, with a crowd that is there before and stays.
func amidst(crowd int, s subject, args ...string) runner {
	return func(ctx context.Context, m *measurement) (sample, error) {
		p, err := m.start(ctx, s)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		c, err := m.gather(ctx, p, crowd, "crowd")
		if err != nil {
			return nil, err
		}
		defer c.leave()
		return m.load(ctx, p, args...)
	}
}
