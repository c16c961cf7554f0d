// Package testprocess starts the programs that tests need, such as databases and proxies. A
// process ends with the test that started it, also when the test is killed.
package testprocess

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"centrifugo/internal/await"
	"centrifugo/internal/freeport"
)

// Process is a process of a test, which may be started again after its end. Its methods are for
// the goroutine of the test.
type Process struct {
	// Static after construction.
	t   testing.TB
	end os.Signal

	cmd    *exec.Cmd // the latest; nil before Start
	output *await.Output
	done   chan struct{} // closed when the latest process has ended
}

// New returns a process that is not started yet. It gets the signal end when the test ends.
// If the test fails, its output is logged.
func New(t testing.TB, end os.Signal) *Process {
	p := &Process{t: t, end: end}
	t.Cleanup(func() {
		p.End()
		if t.Failed() && p.cmd != nil {
			t.Logf("%s: %s", p.cmd.Path, p)
		}
	})
	return p
}

// Start starts a program, after the end of the one before. Its output is kept, except where cmd
// names a writer of its own.
func (p *Process) Start(cmd *exec.Cmd) {
	p.t.Helper()
	output, done := &await.Output{}, make(chan struct{})
	if cmd.Stdout == nil {
		cmd.Stdout = output
	}
	if cmd.Stderr == nil {
		cmd.Stderr = output
	}
	EndWithTest(cmd)
	if err := cmd.Start(); err != nil {
		p.t.Fatalf("starting %s: %v", cmd.Path, err)
	}
	p.cmd, p.output, p.done = cmd, output, done
	go func() {
		_ = cmd.Wait()
		close(done)
	}()
}

// Await waits until answers returns true, and fails the test if the process ends before. The
// text what completes "waited for".
func (p *Process) Await(what string, answers func() bool) {
	p.t.Helper()
	if !p.answers(what, answers) {
		p.t.Fatalf("%s has ended; want %s", p.cmd.Path, what)
	}
}

// answers returns false if the process has ended.
func (p *Process) answers(what string, answers func() bool) bool {
	p.t.Helper()
	ready := false
	await.Until(p.t, what, func() bool {
		select {
		case <-p.done:
			return true
		default:
		}
		ready = answers()
		return ready
	})
	return ready
}

// Signal sends a signal to the process, which must have been started.
func (p *Process) Signal(signal os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(signal); err != nil {
		p.t.Fatalf("sending %v to %s: %v", signal, p.cmd.Path, err)
	}
}

// End sends the signal given to New and waits for the end of the process. It may be called
// several times.
func (p *Process) End() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Signal(p.end) // the process may have ended
	<-p.done
}

// String returns the output of the latest process so far.
func (p *Process) String() string {
	if p.output == nil {
		return ""
	}
	return p.output.String()
}

// FreePort returns a port of the loopback interface on which nothing listens, and which no other
// test gets before this one has ended.
func FreePort(t testing.TB) int {
	t.Helper()
	port, release, err := freeport.Reserve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(release)
	return port
}

// FreeAddress is 127.0.0.1 with a port of FreePort.
func FreeAddress(t testing.TB) string {
	t.Helper()
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(FreePort(t)))
}
