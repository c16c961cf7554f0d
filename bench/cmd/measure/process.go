//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a server under measurement.
type process struct {
	cmd  *exec.Cmd
	addr string
}

func (m *measurement) startServer(namespaces string) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(m.dir, "config.json")
	if err := os.WriteFile(file, fmt.Appendf(nil, configuration, namespaces), 0o600); err != nil {
		return nil, err
	}
	return start(port, m.server, "-c", file, "-a", "127.0.0.1", "-p", port, "--log.level", "error")
}

func (m *measurement) startFloor() (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	return start(port, m.floor, "-addr", "127.0.0.1:"+port)
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer func() { _ = l.Close() }()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// start runs a command and waits until it answers.
func start(port, name string, args ...string) (*process, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{cmd: cmd, addr: "127.0.0.1:" + port}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for ctx.Err() == nil {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addr+"/health", nil)
		if err != nil {
			return nil, err
		}
		response, err := http.DefaultClient.Do(r)
		if err == nil {
			_ = response.Body.Close()
			return p, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	p.stop()
	return nil, errors.New(name + " does not answer")
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// cpuTime is what a process has used.
type cpuTime struct{ user, system time.Duration }

func (c cpuTime) total() time.Duration { return c.user + c.system }

func (c cpuTime) minus(o cpuTime) cpuTime { return cpuTime{c.user - o.user, c.system - o.system} }

// cpu reads /proc/PID/stat, proc(5); its unit is a hundredth of a second.
func (p *process) cpu() (cpuTime, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return cpuTime{}, err
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return cpuTime{}, errors.New("malformed stat")
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return cpuTime{}, err
	}
	system, err := strconv.Atoi(fields[12])
	const tick = 10 * time.Millisecond
	return cpuTime{time.Duration(user) * tick, time.Duration(system) * tick}, err
}

// rss is the resident memory in bytes.
func (p *process) rss() (int, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("malformed statm")
	}
	pages, err := strconv.Atoi(fields[1])
	return pages * syscall.Getpagesize(), err
}
