package testprocess

import (
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"centrifugo/internal/await"
)

// TestAProcessEndsWithAKilledTest runs itself as a test that starts a process and is killed. Both
// hold the writing end of a pipe, so its end is that of both.
func TestAProcessEndsWithAKilledTest(t *testing.T) {
	const variable = "TESTPROCESS_KILLED"
	if os.Getenv(variable) != "" {
		cmd := exec.Command("sleep", "3600")
		cmd.Stdout = os.Stdout
		p := New(t, syscall.SIGKILL)
		p.Start(cmd)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		<-p.done
	}
	killed := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$") //nolint:gosec // this program
	killed.Env = append(os.Environ(), variable+"=1")
	output, err := killed.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := killed.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, output)
		ended <- err
	}()
	if err := await.Receive(t, ended, "the end of the test and its process"); err != nil {
		t.Fatalf("reading the output: %v", err)
	}
	if err := killed.Wait(); err == nil {
		t.Error("the test has ended without an error; want it killed")
	}
}
