package testprocess

import (
	"os/exec"
	"syscall"
)

// EndWithTest makes a process that cmd will start end also when the test is killed.
func EndWithTest(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
}
