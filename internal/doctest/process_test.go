package doctest

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// waitLimit guards against a hang; no command is expected to take that long.
const waitLimit = 10 * time.Minute

// run runs a command in a process group of its own, which ends with it.
func run(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // what it left behind must not keep its output open
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting: %w", err)
	}
	guard := time.AfterFunc(waitLimit, func() { killGroup(cmd) })
	defer guard.Stop()
	defer killGroup(cmd)
	return cmd.Wait()
}

func killGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // it may have ended

// process runs beside the blocks of a document.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}

	// Guarded by mu.
	mu      sync.Mutex
	printed bytes.Buffer
	more    chan struct{} // closed when something is printed
}

func startProcess(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{}), more: make(chan struct{})}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second
	cmd.Stdout, cmd.Stderr = p, p
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting: %w", err)
	}
	go func() {
		_ = cmd.Wait() // what it has printed says more
		close(p.ended)
	}()
	return p, nil
}

// Write takes what the process prints.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.more)
	p.more = make(chan struct{})
	return p.printed.Write(b)
}

// await waits until what was printed satisfies condition.
func (p *process) await(condition func(printed string) error) error {
	guard := time.After(waitLimit)
	for ended := false; ; {
		p.mu.Lock()
		printed, more := p.printed.String(), p.more
		p.mu.Unlock()
		err := condition(printed)
		if err == nil {
			return nil
		}
		if ended {
			return fmt.Errorf("the process ended: %w\n%s", err, printed)
		}
		select {
		case <-more:
		case <-p.ended:
			ended = true
		case <-guard:
			return fmt.Errorf("after %v: %w\n%s", waitLimit, err, printed)
		}
	}
}

// stop ends the process with all that it has started.
func (p *process) stop() {
	if p == nil {
		return
	}
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(waitLimit):
	}
	killGroup(p.cmd)
	<-p.ended
}

// sign makes an HS256 token.
func sign(claims, secret string) string {
	encode := base64.RawURLEncoding.EncodeToString
	text := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + encode([]byte(strings.TrimSpace(claims)))
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return text + "." + encode(mac.Sum(nil))
}
