package testprocess

import (
	"net"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestAProcessEndsWithItsTest(t *testing.T) {
	var p *Process
	t.Run("test", func(t *testing.T) {
		const script = "trap 'echo ended; exit' TERM; echo started; echo a warning >&2; while :; do sleep 0.01; done"
		p = New(t, syscall.SIGTERM)
		p.Start(exec.Command("sh", "-c", script))
		p.Await("the output", func() bool { return strings.Count(p.String(), "\n") == 2 })
	})
	select {
	case <-p.done:
	default:
		t.Error("the process runs after its test; want it ended")
	}
	for _, want := range []string{"started\n", "a warning\n", "ended\n"} {
		if got := p.String(); !strings.Contains(got, want) {
			t.Errorf("output = %q; want %q in it", got, want)
		}
	}
	p.End() // a second time
}

func TestAProcessThatEndsDoesNotAnswer(t *testing.T) {
	p := New(t, syscall.SIGKILL)
	p.Start(exec.Command("sh", "-c", "exit 1"))
	if p.answers("an answer", func() bool { return false }) {
		t.Error("answers = true; want false, since the process has ended")
	}
}

func TestAProcessIsStartedAgain(t *testing.T) {
	p := New(t, syscall.SIGKILL)
	for _, want := range []string{"one\n", "two\n"} {
		p.Start(exec.Command("sh", "-c", "echo "+want+"exec sleep 3600"))
		p.Await("the output", func() bool { return p.String() == want })
		p.End()
	}
}

func TestFreePort(t *testing.T) {
	l, err := net.Listen("tcp", FreeAddress(t))
	if err != nil {
		t.Fatalf("listening on a free port: %v", err)
	}
	_ = l.Close()
}
