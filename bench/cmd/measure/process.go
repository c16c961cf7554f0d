//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"centrifugo/internal/freeport"
)

// process is a server under measurement.
type process struct {
	cmd    *exec.Cmd
	addr   string
	secure bool
	ended  chan struct{} // closed by the goroutine that waits for it
}

// subject is what is loaded.
type subject struct {
	floor   bool     // rather than the server
	config  settings // beside configuration
	environ []string // beside the environment, such as GOMAXPROCS=1
	tls     bool
	// metrics says that the server's counters are added to the figures.
	metrics bool
}

// start starts a subject on a port that is free and waits until it answers.
func (m *measurement) start(ctx context.Context, s subject) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	name, args := m.floor, []string{"-addr", "127.0.0.1:" + port}
	if !s.floor {
		config := merge(configuration, s.config)
		if s.tls {
			config = merge(config, m.certificate)
		}
		if s.metrics {
			config = merge(config, settings{"prometheus": settings{"enabled": true}})
		}
		text, err := json.Marshal(config)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(m.dir, "config.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, err
		}
		name, args = m.server, []string{"-c", file, "-a", "127.0.0.1", "-p", port, "--log.level", "error"}
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	cmd.Env = append(os.Environ(), s.environ...)
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, addr: "127.0.0.1:" + port, secure: s.tls, ended: make(chan struct{})}
	go func() {
		_ = cmd.Wait() // it is killed in the end
		close(p.ended)
	}()
	if err := p.await(ctx); err != nil {
		p.stop()
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return p, nil
}

// await waits until the process answers.
func (p *process) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} // our own certificate
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url("http")+"/health", nil)
		if err != nil {
			return err
		}
		if response, err := client.Do(r); err == nil {
			_ = response.Body.Close()
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.New("it does not answer")
		case <-p.ended:
			return errors.New("it has ended")
		case <-tick.C:
		}
	}
}

// url of the process, by http or ws.
func (p *process) url(scheme string) string {
	if p.secure {
		scheme += "s"
	}
	return scheme + "://" + p.addr
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// freePort returns a port that no other process takes before this one ends.
func freePort() (string, error) {
	port, _, err := freeport.Reserve()
	return strconv.Itoa(port), err
}
