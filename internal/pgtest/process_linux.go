package pgtest

import (
	"os/exec"
	"syscall"
)

// runAs makes cmd run as an account.
func runAs(cmd *exec.Cmd, a *account) {
	credential := &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)} //nolint:gosec // ids of the system
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
}
